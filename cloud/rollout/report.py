"""A roll-out's report: a page of Markdown with a picture, made of the audit log and of what gateways reported."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from cloud.rollout.audit import Log
from cloud.rollout.events import Event, Row
from cloud.rollout.history import Story
from cloud.rollout.place import Place
from cloud.rollout.timeline import draw_timeline, numbered
from cloud.rollout.windows import Report
from models.durable import write_atomic

_QUIET = ("wait", "hold", "trouble")


def write_report(
    folder: Path,
    place: Place,
    story: Story,
    rings: Sequence[Sequence[str]],
    log: Log,
    reports: Sequence[Report],
    *,
    zone: tzinfo = UTC,
) -> Path:
    """Write `RELEASE-TIME.md` and its picture into `folder`; the page's path. `reports`: health from before the
    beginning on, empty where there is no lake."""
    folder.mkdir(parents=True, exist_ok=True)
    name = story.rollout.replace("@", "-")
    picture = folder / f"{name}.png"
    draw_timeline(picture, story, rings, reports, zone=zone)
    page = folder / f"{name}.md"
    write_atomic(page, _page(place, story, rings, log, picture.name, zone).encode())
    return page


def _page(place: Place, story: Story, rings: Sequence[Sequence[str]], log: Log, picture: str, zone: tzinfo) -> str:
    ended = f"{_at(story.ended_us, zone)}, {story.how}" if story.ended_us else "under way"
    parts = [
        f"# {story.release} on {place.fleet}",
        f"**{story.how}**: {story.because}",
        "\n".join(
            [
                "| | |",
                "| --- | --- |",
                f"| began | {_at(story.began_us, zone)}, by {story.by} |",
                f"| ended | {ended} |",
                f"| gateways | {sum(map(len, rings))} in {len(rings)} rings |",
                f"| audit log | {log.head.count} entries, {'DAMAGED: ' + log.damage if log.damage else 'whole'}; head "
                f"`{log.head.sha256[:16]}` |",
            ]
        ),
        f"![who ran what when]({picture})",
        "## What happened",
        _events(story.events, zone),
    ]
    told = (event for event in reversed(story.events) if any(row.verdict != "untouched" for row in event.rows))
    decided = next(told, None)
    if decided is not None:
        parts += [f"## The figures behind the last decision ({decided.kind})", _figures(decided.rows)]
    return "\n\n".join(parts) + "\n"


def _events(events: Sequence[Event], zone: tzinfo) -> str:
    numbers = {id(event): number for number, event in numbered(events)}
    rows = ["| | when | who | what | |", "| ---: | --- | --- | --- | --- |"]
    for event in events:
        number = numbers.get(id(event), "")
        text = event.text.replace("|", "\\|")
        kind = f"*{event.kind}*" if event.kind in _QUIET else f"**{event.kind}**"
        rows.append(f"| {number} | {_at(event.at_us, zone)} | {event.by} | {kind} | {text} |")
    return "\n".join(rows)


def _figures(rows: Sequence[Row]) -> str:
    lines = [
        "In brackets: the release before, on the same gateway.",
        "",
        "| ring | gateway | reports | verdict | windows | frames | frames/s | p95 ms | memory MB | score | errors |",
        "| ---: | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if row.verdict == "untouched":
            continue
        lines.append(
            f"| {row.ring} | {row.gateway} | {row.release or '-'} | {row.verdict} | {row.windows} | {row.frames} "
            f"| {row.fps:.1f} ({row.fps_was:.1f}) | {row.p95_ms:.1f} ({row.p95_ms_was:.1f}) "
            f"| {row.memory_bytes / 1e6:.0f} ({row.memory_bytes_was / 1e6:.0f}) "
            f"| {row.mean_score:.2f} ({row.mean_score_was:.2f}) | {row.errors} |"
        )
    untouched = sum(row.verdict == "untouched" for row in rows)
    if untouched:
        lines += ["", f"{untouched} gateways were not touched."]
    return "\n".join(lines)


def _at(at_us: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, zone):%Y-%m-%d %H:%M:%S}"
