"""How long a fleet's backlog takes to be in the lake after an outage of an hour: `python -m benchmarks.recovery_storm`.

2,000 light gateways (simulator/light) lose the network for an hour and come back within seconds of each other. From
then on simulated time is real time: broker and ingest get none for free, and live results go on beside the backlog. On
two cores, which fleet, broker and ingest share.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.light_gateways import measured_by, on_two_cores, quiet
from simulator.light.happenings import Fault, Pace
from simulator.light.report import slowest_recoveries
from simulator.light.run import run_scenario
from simulator.light.scenario import Gateways, Scenario

GATEWAYS = 2_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=GATEWAYS)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    on_two_cores()
    quiet()
    scenario = Scenario(
        "recovery-storm",
        "An hour without network for all.",
        duration="67m",
        gateways=Gateways(args.gateways),
        faults=(Fault("partition", "2m", "1h"),),
        paces=(Pace("62m", 1.0),),
        workers=2,
    )
    with tempfile.TemporaryDirectory() as folder:
        findings = run_scenario(scenario, Path(folder), seed=scenario.seed)
    (recovery,) = slowest_recoveries(findings)
    took_s = recovery.took_s if recovery.took_s is not None and findings.count.is_exact else float("inf")
    measured = f"{recovery.gateways} gateways; {measured_by(findings)}"
    return report(Bar("recovery storm, simulated minutes", took_s / 60, 5.0, "lower", "min", measured))


if __name__ == "__main__":
    sys.exit(main())
