"""A roll-out as a picture: who ran which release when, and what was decided."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed, nor asked for

from matplotlib import dates as mdates
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cloud.rollout.events import Event, Kind
from cloud.rollout.history import Story
from cloud.rollout.windows import Report

_BEFORE, _CANDIDATE, _OTHER, _NONE = "#a0aec0", "#2b6cb0", "#805ad5", "#edf2f7"
_MARKS: dict[Kind, tuple[str, str]] = {
    "shadow": ("#805ad5", "shadow"),
    "advance": ("#2b6cb0", "on"),
    "hold": ("#d69e2e", "waits for an approval"),
    "paused": ("#d69e2e", "paused"),
    "resumed": ("#718096", "resumed"),
    "approved": ("#718096", "approved"),
    "superseded": ("#d69e2e", "superseded"),
    "stranger": ("#c53030", "unknown digest"),
    "revert": ("#c53030", "goes back"),
    "reverted": ("#2f855a", "is back"),
    "revert-failed": ("#c53030", "THE REVERT FAILED"),
    "done": ("#2f855a", "done"),
    "astray": ("#c53030", "astray"),
}
_MOST_NAMED = 12  # events that have their names beside their numbers
_MOST_ROWS = 60  # gateways that get a line of their own; of more, a ring's are drawn together


def draw_timeline(
    path: Path, story: Story, rings: Sequence[Sequence[str]], reports: Sequence[Report], *, zone: tzinfo = UTC
) -> None:
    """Write the picture as PNG: a line for each gateway, ring by ring, coloured by the release it reported; above it
    what was decided, with the numbers that the report's table has."""
    model, _, number = story.release.partition("@")
    names = [name for ring in rings for name in ring]
    thin = len(names) > _MOST_ROWS
    end_us = max(story.ended_us, max((event.at_us for event in story.events), default=0))
    span_us = max(end_us - story.began_us, 1_000_000)
    since_us, until_us = story.began_us - span_us // 12, end_us + span_us // 20
    height = 1.9 + (0.055 if thin else 0.24) * len(names)
    with plt.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130}):
        figure, (decisions, lines) = plt.subplots(
            2, 1, figsize=(10, height), sharex=True, height_ratios=(0.9, max(height - 1.9, 0.8)), layout="constrained"
        )
        _decisions(decisions, story.events, zone)
        rows = {name: row for row, name in enumerate(reversed(names))}
        spans = _spans(reports, model, since_us, until_us)
        for name, row in rows.items():
            for begin_us, stop_us, release in spans.get(name, ()):
                colour = {int(number): _CANDIDATE, 0: _OTHER}.get(release, _BEFORE)
                lines.barh(
                    row, (stop_us - begin_us) / 86_400e6, left=_day(begin_us), height=1.0 if thin else 0.7, color=colour
                )
        for event in story.events:
            if event.kind in _MARKS:
                lines.axvline(_day(event.at_us), color=_MARKS[event.kind][0], linewidth=0.8, alpha=0.7)
        _name_rows(lines, rings, rows, thin=thin)
        lines.set_xlim(_day(since_us), _day(until_us))
        locator = mdates.AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
        lines.xaxis.set_major_locator(locator)
        formatter = mdates.ConciseDateFormatter(locator, tz=zone)  # type: ignore[no-untyped-call]
        lines.xaxis.set_major_formatter(formatter)
        figure.legend(
            handles=[
                Patch(color=_BEFORE, label="reports the release before"),
                Patch(color=_CANDIDATE, label=f"reports {story.release}"),
                Line2D([], [], color="none", label="(white: says nothing)"),
            ],
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
        figure.suptitle(f"{story.release}: {story.how}", x=0.01, ha="left", fontweight="bold")
        figure.savefig(path)
        plt.close(figure)


def numbered(events: Sequence[Event]) -> list[tuple[int, Event]]:
    """The events that the picture marks, numbered as there."""
    return list(enumerate((event for event in events if event.kind in _MARKS), start=1))


def _decisions(axes: Axes, events: Sequence[Event], zone: tzinfo) -> None:
    axes.set_ylim(0, 1)
    axes.axis("off")
    marked = numbered(events)
    for number, event in marked:
        colour, name = _MARKS[event.kind]
        level = 0.2 + 0.6 * ((number - 1) % 3) / 2  # close ones must not hide each other
        axes.plot([_day(event.at_us)] * 2, [0, level], color=colour, linewidth=0.8, alpha=0.7)
        axes.text(
            _day(event.at_us),
            level,
            str(number),
            color="white",
            ha="center",
            va="center",
            fontsize=7.5,
            bbox={"boxstyle": "circle,pad=0.25", "color": colour},
        )
        if len(marked) <= _MOST_NAMED:
            what = f"on to ring {event.ring}" if event.kind == "advance" else name
            axes.annotate(
                what,
                (_day(event.at_us), level),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=colour,
            )


def _spans(
    reports: Sequence[Report], model: str, since_us: int, until_us: int
) -> Mapping[str, Sequence[tuple[int, int, int]]]:
    """When each gateway said that it ran which release of the model; 0 stands for another model's."""
    spans: dict[str, list[tuple[int, int, int]]] = {}
    for report in sorted(reports, key=lambda report: (report.health.at_us, report.seq)):
        health = report.health
        begin_us = max(health.at_us - int(health.window_s * 1e6), since_us)
        stop_us = min(health.at_us, until_us)
        if stop_us <= begin_us:
            continue
        release = health.release if health.model == model else 0
        mine = spans.setdefault(report.gateway, [])
        if mine and mine[-1][2] == release and begin_us - mine[-1][1] <= health.window_s * 0.5e6:
            mine[-1] = (mine[-1][0], stop_us, release)
        else:
            mine.append((begin_us, stop_us, release))
    return spans


def _name_rows(axes: Axes, rings: Sequence[Sequence[str]], rows: Mapping[str, int], *, thin: bool) -> None:
    ticks: list[float] = []
    labels: list[str] = []
    for number, ring in enumerate(rings):
        mine = [rows[name] for name in ring]
        if number:
            axes.axhline(max(mine) + 0.5, color="#cbd5e0", linewidth=0.8, linestyle=":")
        if thin:
            ticks.append(sum(mine) / len(mine))
            labels.append(f"ring {number} ({len(ring)})")
        else:
            ticks += mine
            labels += [f"ring {number}   {name}" if place == 0 else name for place, name in enumerate(ring)]
    axes.set_yticks(ticks, labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(rows) - 0.4)


def _day(at_us: int) -> float:
    return float(mdates.date2num(datetime.fromtimestamp(at_us / 1e6, UTC)))  # type: ignore[no-untyped-call]
