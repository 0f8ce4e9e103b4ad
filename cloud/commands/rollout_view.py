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
from cloud.rollout.run import utc_us
from cloud.rollout.state import Rollout
from cloud.rollout.timetable import timetable
from cloud.rollout.words import duration

_STATES = ("wait", "hold")  # which are told below the table, as long as they last
MAX_ROWS = 30  # a terminal's height; the touched rings come first

_STYLES: dict[Kind, str] = {
    "advance": "bold",
    "paused": "bold yellow",
    "hold": "bold yellow",
    "refused": "yellow",
    "stranger": "bold white on red",
    "astray": "bold white on red",
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
                console.print(event_line(event), soft_wrap=True)
            said = event.text
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        rows: tuple[Row, ...] = ()
        for event in events:
            if event.kind not in _STATES:
                live.console.print(event_line(event))
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
    now_us = utc_us()
    takes_s = (timetable(plan, now_us, window_s=window_s, limits=limits)[-1].ends_us - now_us) / 1e6
    console.print(
        f"{duration(takes_s)} if all goes well; `tidegate rollout plan` tells more; nothing was changed",
        highlight=False,
    )


def show_status(console: Console, rollout: Rollout, events: Sequence[Event], *, held: str, damage: str) -> None:
    """Where it stands, and its timeline. `held`: who acts on it, `damage`: of the audit log; both may be empty."""
    plan = rollout.plan
    style = next((style for kind, style in _STYLES.items() if kind == rollout.phase), "bold")
    console.print(f"{plan.candidate} to {plan.fleet}: {rollout.phase}", style=style, highlight=False)
    if damage:
        console.print(Text(f"the audit log is damaged: {damage}", "bold white on red"), soft_wrap=True)
    if rollout.paused:
        console.print(f"paused by {rollout.paused}; `tidegate rollout resume` goes on", style="yellow", highlight=False)
    if held:
        console.print(held, highlight=False, soft_wrap=True)
    elif not rollout.ended:
        console.print(_unwatched(rollout), style="yellow", highlight=False, soft_wrap=True)
    if rollout.successor is not None:
        console.print(f"{plan.model}@{rollout.successor.release} comes next", highlight=False)
    if rollout.outcome:
        console.print(Text(rollout.outcome), soft_wrap=True)
    if rollout.watched:
        console.print(f"watched until they come back: {', '.join(rollout.watched)}", highlight=False)
    for index, ring in enumerate(plan.rings):
        touched = waves_of(plan, index).start < len(rollout.touched)
        console.print(f"  ring {index} {'touched' if touched else 'not touched'}: {', '.join(ring.names)}")
    for event in events:
        if event.kind not in ("wait", "hold", "trouble"):
            console.print(event_line(event), soft_wrap=True)
    if rollout.waits_for and not rollout.ended:
        console.print(Text.assemble(("now      ", "dim"), rollout.waits_for), soft_wrap=True)


def _unwatched(rollout: Rollout) -> str:
    plan = rollout.plan
    since = (
        f" since {datetime.fromtimestamp(rollout.looked_us / 1e6).astimezone():%H:%M:%S}" if rollout.looked_us else ""
    )
    return (
        f"nobody acts on it{since}: the next `tidegate rollout tick` does, or `tidegate rollout start {plan.candidate} "
        f"--fleet {plan.fleet}`"
    )


def event_line(event: Event) -> Text:
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
