"""The demo's pictures: drawn from the findings, one PNG each."""

import math
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed, nor asked for

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from simulator.demo.findings import Findings

_BLUE, _ORANGE, _GREEN, _RED, _GREY = "#2b6cb0", "#dd6b20", "#2f855a", "#c53030", "#a0aec0"
_READABLE_S = 3.0
_BY_RELEASE = (_GREY, _BLUE, _RED, _GREEN, _ORANGE)


def draw_all(findings: Findings, folder: Path) -> list[Path]:
    """The plots for which there are figures; the files written."""
    with plt.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 120}):
        figures = {
            "variants.png": _variants(findings) if findings.variants else None,
            "gateways.png": _gateways(findings) if findings.health else None,
            "bytes.png": _bytes(findings) if findings.traffic else None,
            "rollouts.png": _rollouts(findings) if findings.rollouts else None,
        }
        written = []
        for name, figure in figures.items():
            if figure is not None:
                figure.savefig(folder / name, bbox_inches="tight")
                plt.close(figure)
                written.append(folder / name)
    return written


def _variants(findings: Findings) -> Figure:
    """Size, accuracy and latency of each variant, side by side."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    names = [variant.name for variant in findings.variants]
    colours = [_GREEN if variant.chosen else _GREY for variant in findings.variants]
    panels = (
        ("size, KB", [variant.bytes / 1000 for variant in findings.variants], "{:.0f}"),
        ("accuracy on held-out images", [variant.accuracy or 0 for variant in findings.variants], "{:.3f}"),
        ("latency p50, ms (one thread)", [variant.p50_ms or 0 for variant in findings.variants], "{:.2f}"),
    )
    for axis, (title, values, form) in zip(axes, panels, strict=True):
        bars = axis.bar(names, values, color=colours, width=0.6)
        axis.bar_label(bars, [form.format(value) for value in values], padding=3)
        axis.set_title(title)
        axis.margins(y=0.15)
    chosen = next((variant.name for variant in findings.variants if variant.chosen), "none")
    figure.suptitle(f"{findings.model}: the gate takes {chosen}")
    return figure


def _gateways(findings: Findings) -> Figure:
    """Throughput and latency by gateway, over time."""
    figure, (rate, latency) = plt.subplots(2, 1, figsize=(10, 5.6), sharex=True, layout="constrained")
    for index, gateway in enumerate(sorted({row.gateway for row in findings.health})):
        rows = sorted((row.health for row in findings.health if row.gateway == gateway), key=lambda row: row.at_us)
        # the window in which a process starts or a model changes is short, and says little about its rate
        rows = [row for row in rows if row.window_s >= findings.window_s / 2]
        times = [row.at_us / 1e6 - findings.started_at for row in rows]
        colour = plt.get_cmap("tab10")(index)
        rate.plot(times, [row.frames_inferred / row.window_s for row in rows], ".-", color=colour, label=gateway)
        # nothing inferred: no latency, rather than one of zero
        p50 = [row.p50_ms if row.frames_inferred else math.nan for row in rows]
        p95 = [row.p95_ms if row.frames_inferred else math.nan for row in rows]
        latency.plot(times, p50, ".-", color=colour)
        latency.fill_between(times, p50, p95, color=colour, alpha=0.12, linewidth=0)
    rate.set_ylabel("frames inferred a second")
    rate.set_ylim(bottom=0)
    figure.legend(ncols=4, frameon=False, loc="outside lower center")
    latency.set_ylabel("inference, ms (p50; band to p95)")
    latency.set_ylim(bottom=0)
    latency.set_xlabel("seconds since the demo began")
    figure.suptitle("Throughput and latency by gateway, as each reports it")
    return figure


def _bytes(findings: Findings) -> Figure:
    """What a detection costs on the wire, beside the two usual ways of sending it."""
    figure, axis = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    traffic = list(findings.traffic.values())
    detections = max(1, sum(seen.detections for seen in traffic))
    ways = {
        "tidegate": sum(seen.bytes for seen in traffic) / detections,
        "tidegate with health reports": sum(seen.bytes + seen.health_bytes for seen in traffic) / detections,
        "JSON, gzip, same batches": sum(seen.json_gzip_bytes for seen in traffic) / detections,
        "JSON, one message a frame": sum(seen.json_bytes for seen in traffic) / detections,
    }
    bars = axis.barh(list(ways), list(ways.values()), color=[_GREEN, _GREEN, _GREY, _GREY])
    axis.bar_label(bars, [f"{value:.1f} B" for value in ways.values()], padding=4)
    axis.margins(x=0.12)
    axis.invert_yaxis()
    axis.set_title(f"bytes per detection on the wire ({detections:,} detections)")
    return figure


def _rollouts(findings: Findings) -> Figure:
    """Which release answered on which gateway, when, and what the roll-outs did."""
    gateways = [name for ring in findings.rollouts[0].rings for name in ring]
    rings = {name: k for k, ring in enumerate(findings.rollouts[0].rings) for name in ring}
    figure, axis = plt.subplots(figsize=(11, 1.6 + 0.6 * len(gateways)), layout="constrained")
    releases = sorted({span.release for span in findings.spans})
    for span in findings.spans:
        axis.barh(
            gateways.index(span.gateway),
            span.end_s - span.start_s,
            left=span.start_s,
            height=0.55,
            color=_BY_RELEASE[span.release % len(_BY_RELEASE)],
        )
    for release in releases:
        axis.barh(0, 0, color=_BY_RELEASE[release % len(_BY_RELEASE)], label=f"release {release}")
    marked = [
        (story, moment)
        for story in findings.rollouts
        for before, moment in zip((None, *story.moments), story.moments, strict=False)
        # two names at one place cannot be read
        if before is None or moment.at_s - before.at_s >= _READABLE_S
    ]
    for story, moment in marked:
        axis.axvline(moment.at_s, color=_RED if moment.action == "revert" else "#4a5568", linewidth=0.9, linestyle=":")
        text = f"{moment.action} {story.release}" + (f", ring {moment.ring}" if moment.ring >= 0 else "")
        axis.annotate(
            text, (moment.at_s, -0.55), rotation=35, fontsize=8, ha="left", va="bottom", annotation_clip=False
        )
    axis.set_yticks(range(len(gateways)), [f"{name}  (ring {rings[name]})" for name in gateways])
    axis.set_ylim(len(gateways) - 0.5, -0.6)
    axis.set_xlabel("seconds since the demo began")
    axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=len(releases))
    return figure
