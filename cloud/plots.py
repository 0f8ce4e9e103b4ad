"""Pictures of what training and compression did. matplotlib lives here, drawing to files only."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from models.detections import UInt8
from models.durable import write_atomic

BLUE, ORANGE, GREEN, RED, GREY = "#2563a8", "#d9822b", "#2e8b57", "#b83232", "#6b7280"

_STYLE: Any = {
    "text.parse_math": False,  # a class may be called "5$ or 10$"
    "font.size": 10.5,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@contextmanager
def drawing(path: Path, *, width: float = 7.0, height: float = 4.2, columns: int = 1) -> Iterator[list[Axes]]:
    """`columns` axes side by side (inches) that become the PNG `path` when the block ends well."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
        canvas = FigureCanvasAgg(figure)
        yield list(np.atleast_1d(figure.subplots(1, columns)))
        picture = io.BytesIO()
        canvas.print_png(picture)  # type: ignore[no-untyped-call]
    write_atomic(path, picture.getvalue())


def draw_learning_curve(
    path: Path,
    *,
    loss: Sequence[float],
    val_loss: Sequence[float],
    figure: Sequence[float],
    val_metric: Sequence[float],
    metric: str,
) -> None:
    """Loss and the task's metric by epoch, on augmented training pictures (where measured) and on validation ones."""
    epochs = np.arange(1, len(loss) + 1)
    with drawing(path, width=10, columns=2) as (left, right):
        for axes, title, train, val in ((left, "Loss", loss, val_loss), (right, metric, figure, val_metric)):
            if np.isfinite(train).any():
                axes.plot(epochs, train, color=ORANGE, label="training, augmented", marker="o", markersize=3)
            axes.plot(epochs, val, color=BLUE, label="validation", marker="o", markersize=3)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        left.set_ylim(bottom=0)
        right.set_ylim(top=1.01)
        right.annotate(
            f"{val_metric[-1]:.3f}",
            (float(epochs[-1]), val_metric[-1]),
            xytext=(-4, -14),
            textcoords="offset points",
            ha="right",
            color=BLUE,
            fontweight="bold",
        )


def draw_confusion(path: Path, confusion: npt.NDArray[np.int64], labels: Sequence[str], *, title: str) -> None:
    """Counts of pictures by true class (rows) and answer (columns), shaded by the part of the row."""
    count = len(labels)
    side = min(14.0, max(4.6, 0.62 * count + 2.6))
    parts = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    with drawing(path, width=side, height=side * 0.92) as (axes,):
        axes.grid(visible=False)
        axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(count), labels, rotation=40 if count > 3 else 0, ha="right" if count > 3 else "center")
        axes.set_yticks(range(count), labels)
        axes.set_xlabel("the model's answer")
        axes.set_ylabel("truth")
        axes.set_title(title)
        for row in range(count):
            for column in range(count):
                if confusion[row, column] and count <= 25:
                    dark = parts[row, column] > 0.55
                    axes.text(
                        column,
                        row,
                        str(confusion[row, column]),
                        ha="center",
                        va="center",
                        color="white" if dark else "#111827",
                    )


def draw_precision_recall(
    path: Path, curves: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]], *, title: str
) -> None:
    """Recall and precision of each class as its threshold falls; where there are many, of them all without names."""
    with drawing(path, width=7, height=5) as (axes,):
        named = len(curves) <= 10
        for label, (recall, precision) in curves.items():
            axes.plot(recall, precision, label=label if named else None, alpha=1.0 if named else 0.4)
        axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall: part of the things that is found at IoU 0.5")
        axes.set_ylabel("precision: part of the finds that is right")
        axes.set_title(title)
        if named and curves:
            axes.legend(loc="lower left")


def draw_variants(
    path: Path,
    *,
    names: Sequence[str],
    kilobytes: Sequence[float],
    accuracy: Sequence[float],
    p50_ms: Sequence[float],
    chosen: str,
    metric: str,
) -> None:
    """What each variant costs and is worth, the chosen one in colour."""
    colours = [BLUE if name == chosen else "#b6c2d1" for name in names]
    ticks = [f"{name}\n(ships)" if name == chosen else name for name in names]
    panels = (
        ("Size, kB", kilobytes, "{:,.0f}"),
        (metric, accuracy, "{:.3f}"),
        ("Latency p50, ms, one thread", p50_ms, "{:.2f}"),
    )
    with drawing(path, width=max(10, 2.6 * len(names)), height=3.6, columns=3) as all_axes:
        for axes, (title, values, form) in zip(all_axes, panels, strict=True):
            bars = axes.bar(ticks, values, color=colours, width=0.6)
            axes.bar_label(bars, [form.format(value) for value in values], padding=3)
            axes.set_title(title)
            axes.grid(visible=False, axis="x")
            axes.margins(y=0.16)


def draw_sheet(path: Path, pictures: Sequence[UInt8], captions: Sequence[str], *, title: str, columns: int = 6) -> None:
    """Pictures, uint8 (H, W, 3) BGR, side by side, each under its caption."""
    rows = max(1, -(-len(pictures) // columns))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(1.9 * columns, 1.95 * rows + 0.5), layout="constrained", dpi=110)
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        for axes in figure.subplots(rows, columns, squeeze=False).flat:
            axes.axis("off")
        for axes, picture, caption in zip(figure.axes, pictures, captions, strict=False):
            axes.imshow(picture[:, :, ::-1], interpolation="nearest")
            axes.set_title(caption, fontsize=8, fontweight="normal", loc="left")
        content = io.BytesIO()
        canvas.print_png(content)  # type: ignore[no-untyped-call]
    write_atomic(path, content.getvalue())


def draw_pareto(
    path: Path,
    *,
    names: Sequence[str],
    kilobytes: Sequence[float],
    accuracy: Sequence[float],
    p50_ms: Sequence[float],
    accepted: Sequence[bool],
    chosen: str,
    metric: str,
) -> None:
    """Each variant by size and accuracy, its latency written beside it; refused ones are hollow."""
    spread = (max(kilobytes) - min(kilobytes), max(accuracy) - min(accuracy))
    labelled: list[tuple[float, float]] = []
    with drawing(path, width=8) as (axes,):
        for name, size, worth, latency, passed in zip(names, kilobytes, accuracy, p50_ms, accepted, strict=True):
            colour = BLUE if name == chosen else GREEN if passed else RED
            axes.scatter([size], [worth], s=70, color=colour if passed else "none", edgecolors=colour, zorder=3)
            note = ", ships" if name == chosen else "" if passed else ", refused"
            axes.annotate(
                f"{name}  {latency:.2f} ms{note}",
                (size, worth),
                xytext=(8, -4 + 12 * _beside(size, worth, labelled, spread)),
                textcoords="offset points",
                fontsize=9,
                color=colour,
            )
            labelled.append((size, worth))
        axes.set_xlabel("size, kB")
        axes.set_ylabel(metric)
        axes.set_title("What each variant costs and is worth")
        axes.margins(x=0.3, y=0.3)


def _beside(x: float, y: float, labelled: Sequence[tuple[float, float]], spread: tuple[float, float]) -> int:
    """How many labels there are already where this point's would be."""
    return sum(abs(x - a) <= 0.35 * spread[0] and abs(y - b) <= 0.04 * spread[1] for a, b in labelled)


def draw_sensitivity(path: Path, *, nodes: Sequence[str], errors: Sequence[float], floating: Sequence[bool]) -> None:
    """How much each node alone disturbs the answers when it is int8, the worst first; those left in float in colour."""
    shown = min(len(nodes), 40)
    with drawing(path, width=10) as (axes,):
        colours = [ORANGE if kept else "#b6c2d1" for kept in floating[:shown]]
        axes.bar(range(shown), errors[:shown], color=colours)
        axes.set_xticks(range(shown), nodes[:shown], rotation=90, fontsize=7)
        axes.set_ylabel("error at the network's ends, relative")
        kept_count = sum(floating)
        axes.set_title(f"Sensitivity to int8 by node ({kept_count} left in float, orange)")
        axes.grid(visible=False, axis="x")


def draw_search(
    path: Path,
    *,
    kilobytes: Sequence[float],
    accuracy: Sequence[float],
    p50_ms: Sequence[float],
    on_front: Sequence[bool],
    chosen: Sequence[bool],
) -> None:
    """Every trial of a search by size and accuracy; those that none beats in the colour of their latency."""
    size, worth, latency = (np.array(values, float) for values in (kilobytes, accuracy, p50_ms))
    best, taken = np.array(on_front, bool), np.array(chosen, bool)
    with drawing(path, width=8) as (axes,):
        axes.scatter(size[~best], worth[~best], s=24, color="#c3cad3", label="beaten by another")
        shown = axes.scatter(
            size[best], worth[best], s=64, c=latency[best], cmap="viridis", zorder=3, label="the front"
        )
        axes.scatter(
            size[taken], worth[taken], s=220, facecolors="none", edgecolors=ORANGE, linewidths=2, label="chosen"
        )
        order = np.argsort(size[best])
        axes.plot(size[best][order], worth[best][order], color=GREY, linewidth=0.8, zorder=2)
        axes.figure.colorbar(shown, ax=axes, label="latency p50, ms")
        axes.set_xscale("log")
        # powers of ten would be mathematics, and between two of them is where all sizes are
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("size, kB")
        axes.set_ylabel("accuracy")
        axes.set_title("What the search found")
        axes.legend(loc="lower right")
