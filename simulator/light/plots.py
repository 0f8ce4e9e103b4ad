"""A scenario's pictures, one PNG each."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed, nor asked for

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from edge.lanes import LANES, Lane
from simulator.light.findings import Findings
from simulator.light.happenings import Kind
from simulator.light.ledger import BIN_S, LATENCY_EDGES_S

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#2b6cb0", "#dd6b20", "#2f855a", "#c53030", "#a0aec0"
_BY_LANE: dict[Lane, str] = {
    "alarms": _RED,
    "health": _GREEN,
    "events": _ORANGE,
    "aggregates": "#805ad5",
    "frames": _BLUE,
}
_HOURS_FROM_S = 3 * 3600
_BINS = 300  # at most, of the series over time
_FAULTS = 12  # rows of them
_KINDS: dict[Kind, str] = {"light": "light gateways", "process": "process gateways"}


def draw_all(findings: Findings, folder: Path) -> list[Path]:
    """All plots; the files written."""
    with plt.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 120}):
        figures = {
            "timeline.png": _timeline(findings),
            "gateways.png": _gateways(findings),
            "latency.png": _latency(findings),
            "machine.png": _machine(findings),
        }
        for name, figure in figures.items():
            figure.savefig(folder / name, bbox_inches="tight")
            plt.close(figure)
    return [folder / name for name in figures]


def _timeline(findings: Findings) -> Figure:
    """What was recorded, what arrived, what waited and for how long."""
    figure, (rate, waiting, latency) = _panels(findings, (2.0, 2.0, 2.0))
    unit_s, unit = _unit(findings)
    series = _binned(findings)
    times, width_s = series[:, 0] / unit_s, (series[1, 0] - series[0, 0] if len(series) > 1 else BIN_S)
    # a bin in which the scenario, or all, ended is not full
    whole = times * unit_s + width_s <= findings.scenario.duration_s + 1
    rate.step(times, np.where(whole, series[:, 1] / width_s, np.nan), where="post", color=_GREY, label="recorded")
    seen = times * unit_s + width_s <= findings.simulated_s + 1
    rate.step(times, np.where(seen, series[:, 2] / width_s, np.nan), where="post", color=_BLUE, label="in the lake")
    rate.set_ylabel("records a second")
    rate.set_ylim(0, 1.25 * float((series[:, 1:3] / width_s).max(initial=1.0)))  # with room for the legend
    rate.legend(frameon=False, loc="upper right", ncols=2)
    at = [sample.at_s / unit_s for sample in findings.samples]
    waiting.fill_between(at, [sample.waiting for sample in findings.samples], color=_ORANGE, alpha=0.35, linewidth=0)
    waiting.set_ylabel("records that wait", color=_ORANGE)
    waiting.set_ylim(bottom=0)
    waiting.yaxis.set_major_formatter(lambda value, _: _short(value))
    connected = waiting.twinx()
    connected.plot(at, [sample.connected for sample in findings.samples], color=_GREEN, linewidth=1.2)
    connected.set_ylabel("gateways connected", color=_GREEN)
    connected.set_ylim(0, findings.scenario.gateways.count * 1.08)
    connected.spines["right"].set_visible(True)
    latency.plot(times, series[:, 4], color=_RED, linewidth=1.2, label="longest")
    latency.plot(times, series[:, 3], color=_BLUE, linewidth=1.2, label="mean")
    latency.set_yscale("log")
    latency.set_ylim(top=2 * latency.get_ylim()[1])  # with room for the legend
    _plain(latency.yaxis)
    latency.set_ylabel("from capture to\nacknowledgement, s")
    latency.legend(frameon=False, loc="upper right", ncols=2)
    latency.set_xlabel(f"{_time(findings)}, {unit}")
    figure.suptitle(_title(findings))
    return figure


def _gateways(findings: Findings) -> Figure:
    """How long the oldest record of each gateway had waited, over time."""
    figure, (axis,) = _panels(findings, (4.5,))
    unit_s, unit = _unit(findings)
    # sorted by site: what hits a site is a block
    sites = findings.scenario.gateways.sites
    order = sorted(range(len(findings.names)), key=lambda index: (index % sites, index))
    ages = np.maximum(findings.ages_s[order], 1.0)
    # within a window waiting is as it should be
    usual_s = 1.2 * findings.scenario.window_s
    longest = max(4 * usual_s, float(ages.max(initial=1.0)))
    times = np.array(findings.age_times_s) / unit_s
    edges = np.concatenate((times, [times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1.0)]))
    mesh = axis.pcolormesh(
        edges, np.arange(len(order) + 1), ages, norm=LogNorm(usual_s, longest), cmap="magma_r", rasterized=True
    )
    bar = figure.colorbar(mesh, ax=axis, label="oldest record waits for, s", extend="min", pad=0.01)
    _plain(bar.ax.yaxis)
    if sites > 1:
        sizes = [sum(index % sites == site for index in range(len(order))) for site in range(sites)]
        ends = np.cumsum(sizes)
        axis.set_yticks(ends - np.array(sizes) / 2, [f"site-{site + 1}" for site in range(sites)])
        axis.hlines(ends[:-1], edges[0], edges[-1], color=_GREY, linewidth=0.8)
        axis.tick_params(axis="y", length=0)
    else:
        axis.set_ylabel("gateways")
    axis.invert_yaxis()
    axis.set_xlabel(f"{_time(findings)}, {unit}")
    figure.suptitle(_title(findings))
    return figure


def _latency(findings: Findings) -> Figure:
    """Which part of a lane's records was in the lake after how long."""
    figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for lane in LANES:
        tally = findings.lanes.get(lane)
        if tally is None or not tally.latency.sum():
            continue
        parts = np.cumsum(tally.latency)[:-1] / tally.latency.sum()
        axis.plot(LATENCY_EDGES_S, parts, color=_BY_LANE.get(lane, _GREY), label=f"{lane} ({tally.acknowledged:,})")
    longest = max((tally.slowest_s for tally in findings.lanes.values()), default=1.0)
    axis.set_xscale("log")
    _plain(axis.xaxis)
    axis.set_xlim(0.1, max(100.0, longest * 1.3))
    axis.set_ylim(0, 1.02)
    axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axis.set_xlabel(f"{_seconds(findings)} from capture to acknowledgement")
    axis.set_ylabel("of the records")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False, loc="upper left")
    axis.set_title(_title(findings))
    return figure


def _machine(findings: Findings) -> Figure:
    """How fast time went where it is simulated, and what that took."""
    figure, panels = _panels(findings, (2.4,) if _is_real(findings) else (2.0, 2.0))
    busy = panels[-1]
    unit_s, unit = _unit(findings)
    samples = list(findings.samples)
    # so that a step takes some real time, or the processor's clock is too coarse
    kept = [samples[0]]
    for sample in samples[1:]:
        if sample.real_s - kept[-1].real_s >= max(0.5, findings.real_s / 150):
            kept.append(sample)
    pairs = list(itertools.pairwise(kept))
    times = [after.at_s / unit_s for _, after in pairs]
    spans = [after.real_s - before.real_s for before, after in pairs]
    if not _is_real(findings):
        _draw_speed(panels[0], times, [(b.at_s - a.at_s) / span for (a, b), span in zip(pairs, spans, strict=True)])
    names = list(samples[-1].cpu_s)
    shares = [
        [max(0.0, b.cpu_s[name] - a.cpu_s.get(name, 0.0)) / span for (a, b), span in zip(pairs, spans, strict=True)]
        for name in names
    ]
    busy.stackplot(times, shares, labels=names, colors=[_GREEN, _BLUE, _ORANGE, _GREY][: len(names)], alpha=0.8)
    busy.set_ylabel("cores busy")
    busy.set_ylim(0, 1.15 * busy.get_ylim()[1])
    busy.set_xlabel(f"{_time(findings)}, {unit}")
    busy.legend(frameon=False, loc="upper right", ncols=4)
    over_all = "" if _is_real(findings) else f": {findings.factor:.1f} x time over all"
    figure.suptitle(f"{_title(findings)}{over_all}")
    return figure


def _draw_speed(axis: Axes, times: Sequence[float], factors: Sequence[float]) -> None:
    axis.step(times, factors, color=_BLUE)
    axis.axhline(1, color=_GREY, linewidth=1, linestyle=":")
    axis.set_yscale("log")
    _plain(axis.yaxis)
    axis.set_ylabel("simulated seconds\na second")


def _title(findings: Findings) -> str:
    many = findings.scenario.gateways
    return f"{findings.scenario.name}: {many.count:,} {_KINDS[many.kind]}, seed {findings.seed}"


def _is_real(findings: Findings) -> bool:
    """Whether its time is everybody's."""
    return findings.scenario.gateways.kind == "process"


def _time(findings: Findings) -> str:
    return "time" if _is_real(findings) else "simulated time"


def _seconds(findings: Findings) -> str:
    return "seconds" if _is_real(findings) else "simulated seconds"


def _unit(findings: Findings) -> tuple[float, str]:
    return (3600.0, "hours") if findings.scenario.duration_s > _HOURS_FROM_S else (60.0, "minutes")


def _binned(findings: Findings) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """The ledger's series with few enough rows: rates added up, latencies weighed by what was acknowledged."""
    series = findings.series
    factor = max(1, math.ceil(max(len(series) / _BINS, findings.scenario.window_s / BIN_S)))
    rows = []
    for begin in range(0, len(series), factor):
        part = series[begin : begin + factor]
        acked = part[:, 2].sum()
        mean = np.nansum(part[:, 3] * part[:, 2]) / acked if acked else np.nan
        worst = np.nanmax(part[:, 4]) if acked else np.nan
        rows.append((part[0, 0], part[:, 1].sum(), acked, mean, worst))
    return np.array(rows, np.float64)


def _draw_what_happened(axis: Axes, findings: Findings, unit_s: float) -> None:
    """A row for each fault, with a bar for each time that it happened, and for each thing that an operator did."""
    rows = _rows(findings)
    end_s, least_s = findings.scenario.duration_s, findings.simulated_s / 400
    faults = [(strike.fault.title, strike.begin_s, strike.end_s, _RED) for strike in findings.strikes]
    for title, begin_s, until_s, colour in faults + [(*act, _BLUE) for act in _acts(findings)]:
        if title in rows:
            length_s = max(least_s, min(until_s, end_s) - begin_s)
            left, row = begin_s / unit_s, rows.index(title)
            axis.barh(row, length_s / unit_s, left=left, height=0.6, color=colour, alpha=0.6, linewidth=0)
    axis.set_yticks(range(len(rows)), rows, fontsize=8.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.tick_params(axis="both", length=0, labelbottom=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _rows(findings: Findings) -> list[str]:
    """The titles of what has a row, and how many faults there are besides."""
    titles = list(dict.fromkeys(strike.fault.title for strike in findings.strikes))
    if len(titles) > _FAULTS:
        titles = [*titles[: _FAULTS - 1], f"and {len(titles) - _FAULTS + 1} more"]
    return [*titles, *dict.fromkeys(title for title, _, _ in _acts(findings))]


def _acts(findings: Findings) -> list[tuple[str, float, float]]:
    """What an operator did, from when to when."""
    acts = [
        (title, command.at_s, command.at_s + command.took_s)
        for command in findings.commands
        for title in ("rollout start", "deploy")
        if command.words.startswith(f"tidegate {title}")
    ]
    if findings.scenario.gateways.kind == "light":
        begins = [rollout.at_s for rollout in findings.scenario.rollouts]
        for begin_s, next_s in itertools.pairwise([*begins, math.inf]):
            moments = [at_s for at_s, _ in findings.rollouts if begin_s <= at_s < next_s]
            acts.append(("roll-out", begin_s, max(moments, default=begin_s)))
    return acts


def _panels(findings: Findings, heights: Sequence[float], *, width: float = 11) -> tuple[Figure, list[Axes]]:
    """Panels on one axis of time, below a narrow one that shows what was wrong when."""
    rows = _rows(findings)
    strip = 0.25 * len(rows) + 0.1 if rows else 0.0
    all_heights = [*([strip] if strip else []), *heights]
    figure, axes = plt.subplots(
        len(all_heights),
        1,
        figsize=(width, sum(all_heights) + 0.9),
        sharex=True,
        layout="constrained",
        height_ratios=all_heights,
        squeeze=False,
    )
    panels = list(axes[:, 0])
    if strip:
        _draw_what_happened(panels.pop(0), findings, _unit(findings)[0])
    panels[-1].xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 3, 6, 10]))  # as hours and minutes are divided
    panels[-1].set_xlim(0, findings.simulated_s / _unit(findings)[0])
    return figure, panels


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _plain(axis: Axis) -> None:
    """Ticks of a logarithmic axis as people write them: 60 and not 6 x 10^1."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
