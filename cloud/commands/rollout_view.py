"""How a roll-out looks in a terminal: a line an event, and below them a table that follows the gateways."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloud.rollout.events import Event, Kind, Row
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, waves_of
from cloud.rollout.state import Rollout

MAX_ROWS = 30  # a terminal's height; the touched rings come first

_STYLES: dict[Kind, str] = {
    "advance": "bold",
    "revert": "bold yellow",
    "reverted": "bold green",
    "revert-failed": "bold white on red",
    "done": "bold green",
    "trouble": "red",
}
_VERDICTS = {"well": "green", "bad": "bold red", "unknown": "yellow", "absent": "dim", "untouched": "dim"}


def show_events(console: Console, rollout: Rollout, events: Iterator[Event]) -> None:
    """Print events as they come, until there are no more."""
    if not console.is_terminal:
        said = ""
        for event in events:
            if event.text != said:
                console.print(_line(event), soft_wrap=True)
            said = event.text
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        rows: tuple[Row, ...] = ()
        for event in events:
            if event.kind != "wait":
                live.console.print(_line(event))
            rows = event.rows or rows
            live.update(_watch(rollout.plan, event, rows))


def show_plan(console: Console, plan: Plan, limits: Limits, window_s: float) -> None:
    """What a roll-out would do."""
    before = "no release" if plan.incumbent is None else f"{plan.model}@{plan.incumbent}"
    console.print(f"{plan.candidate} would replace {before} on {len(plan.names())} gateways", highlight=False)
    table = Table("ring", "thing group", "gateways", box=None, header_style="dim")
    for index, ring in enumerate(plan.rings):
        for wave in ring.waves:
            table.add_row(str(index), wave.group, ", ".join(wave.names))
    console.print(table)
    windows = limits.windows if plan.incumbent is not None else limits.first_windows
    least_s = len(plan.rings) * windows * window_s
    console.print(
        f"at least {least_s:g} s, and a deployment's time for each ring; nothing was changed", highlight=False
    )


def show_status(console: Console, rollout: Rollout, events: Sequence[Event], *, at_work: bool) -> None:
    """Where it stands, and its timeline."""
    plan = rollout.plan
    console.print(f"{plan.candidate} to {plan.fleet}: {rollout.phase}", style="bold", highlight=False)
    if not rollout.ended and not at_work:
        console.print(
            f"it stands still: `tidegate rollout start {plan.candidate} --fleet {plan.fleet}` goes on",
            style="yellow",
            highlight=False,
        )
    if rollout.outcome:
        console.print(Text(rollout.outcome), soft_wrap=True)
    for index, ring in enumerate(plan.rings):
        touched = waves_of(plan, index).start < len(rollout.touched)
        console.print(f"  ring {index} {'touched' if touched else 'not touched'}: {', '.join(ring.names)}")
    for event in events:
        if event.kind not in ("wait", "trouble"):
            console.print(_line(event), soft_wrap=True)
    if events and not rollout.ended:
        console.print(_line(events[-1]), soft_wrap=True)


def _line(event: Event) -> Text:
    at = datetime.fromtimestamp(event.at_us / 1e6).astimezone()
    return Text.assemble(
        (f"{at:%H:%M:%S} ", "dim"), (f"{event.kind:<13} ", _STYLES.get(event.kind, "")), (event.text, "")
    )


def _watch(plan: Plan, event: Event, rows: Sequence[Row]) -> RenderableType:
    table = Table(title=f"{plan.candidate} to {plan.fleet}", title_justify="left", header_style="dim")
    for name in ("ring", "gateway", "release", "verdict"):
        table.add_column(name)
    for name in ("windows", "frames", "frames/s", "p95 ms", "memory MB", "mix moved", "score", "errors"):
        table.add_column(name, justify="right")
    for row in rows[:MAX_ROWS]:
        table.add_row(
            str(row.ring),
            row.gateway,
            str(row.release or "-"),
            Text(row.verdict, _VERDICTS.get(row.verdict, "")),
            *(_figures(row) if row.windows else ()),
        )
    if len(rows) > MAX_ROWS:
        table.caption = f"and {len(rows) - MAX_ROWS} more"
    return Group(table, Text(event.text, "red" if event.kind == "trouble" else "dim"))


def _figures(row: Row) -> tuple[str, ...]:
    return (
        str(row.windows),
        str(row.frames),
        f"{row.fps:.1f} ({row.fps_was:.1f})",
        f"{row.p95_ms:.1f} ({row.p95_ms_was:.1f})",
        f"{row.memory_bytes / 1e6:.0f} ({row.memory_bytes_was / 1e6:.0f})",
        f"{row.mix_distance:.2f} ({row.mix_spread:.2f})",
        f"{row.mean_score:.2f} ({row.mean_score_was:.2f})",
        str(row.errors),
    )
