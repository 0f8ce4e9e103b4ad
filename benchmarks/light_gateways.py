"""How fast a fleet can be simulated: `python -m benchmarks.light_gateways`.

2,000 light gateways (simulator/light), each reporting each simulated minute: a window of some 300 frames with 900
detections, health, events, aggregates, two alarms. They go through mosquitto into the lake by the real ingest; fleet,
broker and ingest share two cores. The value is simulated seconds a second until the last record is acknowledged; any
record that is lost or there twice makes it 0.
"""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from simulator.light.findings import Findings
from simulator.light.ledger import quantile
from simulator.light.run import run_scenario
from simulator.light.scenario import Gateways, Scenario

GATEWAYS = 2_000
DURATION = "5m"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=GATEWAYS)
    parser.add_argument("--duration", default=DURATION, help="simulated")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    on_two_cores()
    quiet()
    scenario = Scenario("light-gateways", "Nothing happens.", duration=args.duration, gateways=Gateways(args.gateways))
    with tempfile.TemporaryDirectory() as folder:
        findings = run_scenario(scenario, Path(folder), seed=scenario.seed)
    value = findings.factor if findings.holds else 0.0
    measured = f"{args.gateways} gateways, {args.duration} simulated; {measured_by(findings)}"
    return report(Bar("light gateways, simulated time / time", value, 1.0, "higher", "x", measured))


def on_two_cores() -> None:
    """Keep this process, and those that it starts, on the first two cores that it may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def quiet() -> None:
    """Of a thousand gateways, each would say the same about its link."""
    logging.getLogger("edge").setLevel(logging.ERROR)


def measured_by(findings: Findings) -> str:
    """What was counted, in one line."""
    count, cpu_s = findings.count, findings.cpu_s
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in cpu_s.items())
    longest = max(quantile(tally, 1.0) for tally in findings.lanes.values())
    return (
        f"{count.recorded} records with {findings.detections} detections recorded, {count.lost} lost, "
        f"{count.repeated} repeated, {count.unknown + count.mistaken} wrong; {findings.traffic.messages} messages "
        f"({findings.traffic.resent} resent), {findings.traffic.bytes / 1e6:.1f} MB; longest way to the lake "
        f"{longest:.0f} simulated s; {findings.real_s:.0f} s, processor time {spent}; {findings.encoded} batches "
        f"encoded, {findings.encoded_again} from those; at most {findings.behind_s:.0f} s late; {findings.broker}, "
        f"seed {findings.seed}"
    )


if __name__ == "__main__":
    sys.exit(main())
