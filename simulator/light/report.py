"""What a scenario found, for people and for machines."""

import math
from dataclasses import asdict

from rich.table import Table

from simulator.light.findings import Findings, Now, Recovery
from simulator.light.ledger import Tally, quantile

_EVENT_CHARACTERS = 220


def live_table(now: Now) -> Table:
    """The fleet now."""
    scenario, real_s = now.scenario, max(now.real_s, 0.1)
    table = Table(title=f"{scenario.name}, seed {now.seed}", show_header=False, min_width=64)
    is_light = scenario.gateways.kind == "light"
    table.add_row(
        "simulated time" if is_light else "time", f"{clock_text(now.at_s)} of {clock_text(scenario.duration_s)}"
    )
    if is_light:
        table.add_row("speed", f"{now.at_s / real_s:.1f} x, {clock_text(now.real_s)} so far")
    table.add_row("gateways", f"{now.connected} connected, {now.on} on, {scenario.gateways.count}")
    table.add_row("records", f"{now.recorded:,} recorded, {now.waiting:,} wait")
    table.add_row("detections", f"{now.detections:,}, {now.detections / real_s:,.0f} a second")
    table.add_row("messages", f"{now.messages:,}, {now.bytes / 1e6:,.1f} MB, {now.resent:,} resent")
    table.add_row("processor", ", ".join(f"{name} {100 * spent / real_s:.0f} %" for name, spent in now.cpu_s.items()))
    table.add_row("wrong now", ", ".join(sorted(set(now.wrong))) or "nothing")
    return table


def progress_line(now: Now) -> str:
    """The same in a line, for who has no terminal."""
    wrong = f"; {', '.join(sorted(set(now.wrong)))}" if now.wrong else ""
    return (
        f"{clock_text(now.at_s)} of {clock_text(now.scenario.duration_s)}, {clock_text(now.real_s)} so far: "
        f"{now.recorded:,} recorded, {now.waiting:,} wait, {now.connected} connected{wrong}"
    )


def final_table(findings: Findings) -> Table:
    """What was counted."""
    count, traffic = findings.count, findings.traffic
    table = Table(title=f"{findings.scenario.name}: what was found", show_header=False, min_width=64)
    table.add_row("recorded", f"{count.recorded:,} records with {findings.detections:,} detections")
    table.add_row("lost", _good(count.lost) + " (recorded, and not in the lake)")
    table.add_row("repeated", _good(count.repeated) + " (in the lake more than once)")
    table.add_row("unknown or mistaken", _good(count.unknown + count.mistaken))
    if count.given_up:
        table.add_row("given up", f"{count.given_up:,} (a spool was full; each is in `losses`)")
    for reason, frames in sorted(findings.not_recorded.items()):
        table.add_row("frames not recorded", f"{frames:,} ({reason})")
    if count.left:
        table.add_row("left in spools", f"{count.left:,} (recorded while the gateways were shut down)")
    troubles = {
        "resent": traffic.resent,
        "vanished": traffic.lost,
        "doubled": traffic.doubled,
        "overtaken": traffic.overtaken,
    }
    trouble = "".join(f", {number:,} {name}" for name, number in troubles.items() if number)
    table.add_row("on the way", f"{traffic.messages:,} messages, {traffic.bytes / 1e6:,.1f} MB{trouble}")
    for lane, tally in findings.lanes.items():
        table.add_row(f"{lane}: to the lake", _latency(tally))
    for recovery in slowest_recoveries(findings):
        took = "not before the end" if recovery.took_s is None else f"{recovery.took_s:.0f} s"
        table.add_row(f"after {recovery.strike.fault.title}", f"{_gateways(recovery.gateways)} caught up: {took}")
    for command in findings.commands:
        ended = "stopped at the end" if command.code is None else f"exit code {command.code}"
        said = f": {command.said}"[:_EVENT_CHARACTERS] if command.said else ""
        told = f"{command.words}\n{ended} after {command.took_s:.0f} s{said}"
        table.add_row(f"command, {clock_text(command.at_s)}", told)
    if findings.refused_by_aws:
        calls = ", ".join(f"{operation} {times}" for operation, times in sorted(findings.refused_by_aws.items()))
        table.add_row("calls refused on purpose", calls)
    for at_s, event in findings.rollouts:
        table.add_row(f"roll-out, {clock_text(at_s)}", f"{event.kind}: {event.text}"[:_EVENT_CHARACTERS])
    if findings.setup_s:
        table.add_row("from nothing to first results", f"{findings.setup_s:.0f} s")
    if findings.scenario.gateways.kind == "light":
        table.add_row("speed", f"{findings.factor:.1f} x time ({clock_text(findings.real_s)})")
    busy = (f"{name} {spent:.1f} s" for name, spent in findings.cpu_s.items())
    table.add_row("processor time", ", ".join(busy))
    return table


def document(findings: Findings) -> dict[str, object]:
    """The report as JSON."""
    scenario = findings.scenario
    per_detection = findings.traffic.bytes / max(1, findings.detections)
    return {
        "scenario": scenario.name,
        "about": scenario.about,
        "seed": findings.seed,
        "broker": findings.broker,
        "gateways": scenario.gateways.count,
        "kind": scenario.gateways.kind,
        "simulated_s": round(findings.simulated_s, 1),
        "real_s": round(findings.real_s, 1),
        "factor": round(findings.factor, 2),
        "holds": findings.holds,
        "drained": findings.drained,
        "count": asdict(findings.count),
        "detections": findings.detections,
        "detections_per_simulated_s": round(findings.detections / max(1.0, findings.simulated_s), 1),
        "detections_per_real_s": round(findings.detections / max(1e-9, findings.real_s), 1),
        "bytes_per_detection": round(per_detection, 2),
        "frames_not_recorded": dict(findings.not_recorded),
        "traffic": asdict(findings.traffic),
        "latency_s": {
            lane: {
                "records": tally.acknowledged,
                "p50": _number(quantile(tally, 0.5)),
                "p95": _number(quantile(tally, 0.95)),
                "p99": _number(quantile(tally, 0.99)),
                "max": _number(tally.slowest_s),
            }
            for lane, tally in findings.lanes.items()
        },
        "recoveries": [
            {
                "fault": recovery.strike.fault.title,
                "ended_s": recovery.strike.end_s,
                "gateways": recovery.gateways,
                "took_s": None if recovery.took_s is None else round(recovery.took_s, 1),
            }
            for recovery in slowest_recoveries(findings)
        ],
        "rollouts": [
            {"at_s": round(at_s, 1), "kind": event.kind, "text": event.text} for at_s, event in findings.rollouts
        ],
        "commands": [asdict(command) for command in findings.commands],
        "refused_by_aws": dict(findings.refused_by_aws),
        "setup_s": round(findings.setup_s, 1),
        "cpu_s": {name: round(spent, 2) for name, spent in findings.cpu_s.items()},
        "held_s": round(findings.held_s, 1),
        "behind_s": round(findings.behind_s, 1),
        "answers_that_never_came": findings.unanswered,
        "batches_encoded": findings.encoded,
        "batches_encoded_before": findings.encoded_again,
    }


def slowest_recoveries(findings: Findings) -> list[Recovery]:
    """Of each fault, the strike from which it took longest to recover."""
    worst: dict[str, Recovery] = {}
    for recovery in findings.recoveries:
        title = recovery.strike.fault.title
        if title not in worst or _took(recovery) > _took(worst[title]):
            worst[title] = recovery
    return list(worst.values())


def clock_text(seconds: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def _took(recovery: Recovery) -> float:
    return math.inf if recovery.took_s is None else recovery.took_s


def _latency(tally: Tally) -> str:
    p50, p95 = quantile(tally, 0.5), quantile(tally, 0.95)
    return f"{tally.acknowledged:,} records, p50 {p50:.1f} s, p95 {p95:.1f} s, longest {tally.slowest_s:.1f} s"


def _gateways(count: int) -> str:
    return f"{count} gateway{'s' if count > 1 else ''}"


def _good(count: int) -> str:
    return f"[green]{count}[/green]" if count == 0 else f"[red]{count:,}[/red]"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
