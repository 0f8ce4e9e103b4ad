"""Health messages as columns: a day of two hundred gateways is 288,000 windows, and no Python object for each."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.errors import DataError
from models.health import SCORE_BINS, Health

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

OTHER_MODEL = -1  # as a release: of another model


class Report(Protocol):
    """A gateway's health of one window, as the lake holds it."""

    @property
    def gateway(self) -> str: ...
    @property
    def stream(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Windows:
    """n health windows of one model in a fleet, in any order. The four tuples say what the numbers stand for.

    `gateway`, `digest` and `failed` are indices into `gateways`, `digests` and `failures` (of the last two, 0 is "").
    `release` is 0 where none runs and OTHER_MODEL where another model does. `stream` and `seq` identify a row within
    its gateway, in every batch alike (one that comes twice counts once); a `seq` of 0 is never a repetition.
    `looking` is true while the camera is well. `bins` is (n, SCORE_BINS), `mix` (n, len(labels)). `shadow` is the
    release of a challenger, 0 for none, and `shadow_*` how it compares with the running one ("ours"). Times are
    microseconds UTC by the gateway's own clock.
    """

    gateways: tuple[str, ...]
    labels: tuple[str, ...]
    digests: tuple[str, ...] = ("",)
    failures: tuple[str, ...] = ("",)

    gateway: Int64
    at_us: Int64
    window_s: Float64
    release: Int64
    digest: Int64
    stream: Int64
    seq: Int64
    looking: Bool
    frames: Int64  # inferred
    skipped: Int64
    crashed: Int64  # the model raised an error instead of answering
    errors: Int64
    p50_ms: Float64
    p95_ms: Float64
    memory_bytes: Float64
    temperature_c: Float64  # 0 where unknown
    detections: Int64
    bins: Int64
    mix: Int64
    failed: Int64
    shadow: Int64
    shadow_frames: Int64
    shadow_agreed: Int64
    shadow_matched: Int64
    shadow_ours: Int64
    shadow_theirs: Int64
    shadow_iou: Float64  # the mean of the matched
    shadow_our_bins: Int64
    shadow_their_bins: Int64
    shadow_p50_ms: Float64

    def __post_init__(self) -> None:
        n = len(self.gateway)
        for name in COLUMNS:
            column = getattr(self, name)
            width = {"mix": (len(self.labels),)}.get(name, (SCORE_BINS,) if name in _BINNED else ())
            if column.shape != (n, *width):
                raise DataError(f"column {name} of health windows must be {(n, *width)}, got {column.shape}")

    def __len__(self) -> int:
        return len(self.gateway)

    def take(self, rows: Bool | Int64 | slice) -> "Windows":
        """These rows alone."""
        names = {name: getattr(self, name) for name in _NAMES}
        return Windows(**names, **{name: getattr(self, name)[rows] for name in COLUMNS})


_NAMES = ("gateways", "labels", "digests", "failures")
_BINNED = frozenset({"bins", "shadow_our_bins", "shadow_their_bins"})
COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Windows) if field.name not in _NAMES)
_FLOATS = frozenset(
    {"window_s", "p50_ms", "p95_ms", "memory_bytes", "temperature_c", "shadow_iou", "shadow_p50_ms"},
)


def windows_of(
    gateways: Sequence[str],
    labels: Sequence[str] = (),
    *,
    digests: Sequence[str] = ("",),
    failures: Sequence[str] = ("",),
    **columns: npt.ArrayLike,
) -> Windows:
    """Windows of arrays, for a simulated fleet: `gateway` and `at_us` must be given, a column left out is all zero
    (`looking`: all true; `window_s`: 60). What is given may be a number for all rows."""
    unknown = sorted(set(columns).difference(COLUMNS))
    if unknown:
        raise DataError(f"health windows have no column {unknown[0]}; known are {', '.join(COLUMNS)}")
    n = len(np.atleast_1d(np.asarray(columns["gateway"])))
    defaults: dict[str, float] = {"looking": 1, "window_s": 60.0}
    made: dict[str, npt.NDArray[Any]] = {}
    for name in COLUMNS:
        shape: tuple[int, ...] = (n, len(labels)) if name == "mix" else (n, SCORE_BINS) if name in _BINNED else (n,)
        kind = np.float64 if name in _FLOATS else np.bool_ if name == "looking" else np.int64
        value: npt.NDArray[Any] = np.asarray(columns.get(name, defaults.get(name, 0)), kind)
        made[name] = np.ascontiguousarray(np.broadcast_to(value, shape))
    return Windows(
        gateways=tuple(gateways), labels=tuple(labels), digests=tuple(digests), failures=tuple(failures), **made
    )


def windows_of_reports(reports: Iterable[Report], *, model: str) -> Windows:
    """Windows of the lake's rows (or of anybody's that look like them)."""
    reports = list(reports)
    gateways, labels, digests = _Numbers(), _Numbers(), _Numbers([""])
    failures = _Numbers([""])
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS if name != "mix"}
    mixes: list[dict[int, int]] = []
    for report in reports:
        health, duel = report.health, report.health.challenge
        ours = health.model == model
        shadow = duel if duel is not None and duel.model == model else None
        mixes.append({labels[label]: count for label, count in health.class_mix.items()})
        row = {
            "gateway": gateways[report.gateway],
            "at_us": health.at_us,
            "window_s": health.window_s,
            "release": health.release if ours else OTHER_MODEL,
            "digest": digests[health.digest],
            "stream": stream_number(report.stream),
            "seq": report.seq,
            "looking": health.camera_state == "ok",
            "frames": health.frames_inferred,
            "skipped": health.frames_skipped,
            "crashed": health.frames_failed,
            "errors": health.errors,
            "p50_ms": health.p50_ms,
            "p95_ms": health.p95_ms,
            "memory_bytes": health.memory_bytes,
            "temperature_c": health.temperature_c,
            "detections": health.detections,
            "bins": health.score_histogram,
            "failed": failures[health.failed_release],
            "shadow": shadow.release if shadow else 0,
            "shadow_frames": shadow.frames if shadow else 0,
            "shadow_agreed": shadow.agreed if shadow else 0,
            "shadow_matched": shadow.matched if shadow else 0,
            "shadow_ours": shadow.ours if shadow else 0,
            "shadow_theirs": shadow.theirs if shadow else 0,
            "shadow_iou": shadow.mean_iou if shadow else 0.0,
            "shadow_our_bins": shadow.our_scores if shadow else (0,) * SCORE_BINS,
            "shadow_their_bins": shadow.their_scores if shadow else (0,) * SCORE_BINS,
            "shadow_p50_ms": shadow.p50_ms if shadow else 0.0,
        }
        for name, value in row.items():
            columns[name].append(value)
    mix = np.zeros((len(reports), len(labels.names)), np.int64)
    for index, counts in enumerate(mixes):
        for label, count in counts.items():
            mix[index, label] = count
    empty = not reports
    given = {
        name: np.zeros((0, SCORE_BINS) if name in _BINNED else 0) if empty else values
        for name, values in columns.items()
    }
    return windows_of(
        gateways.names, labels.names, digests=digests.names, failures=failures.names, **{**given, "mix": mix}
    )


def renumbered(index: Int64, names: Sequence[str], known: Mapping[str, int]) -> Int64:
    """Indices into `names` -> the numbers that `known` gives them, -1 where it gives none."""
    table = np.array([known.get(name, -1) for name in names], np.int64)
    return table[index] if len(table) else np.zeros(0, np.int64)


def stream_number(stream: str) -> int:
    """The same number for the same id in every batch of windows."""
    try:
        return int(stream, 16) >> 1
    except ValueError:
        return zlib.crc32(stream.encode())


class _Numbers(dict[str, int]):
    """Names numbered in the order in which they are first asked for."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__({name: number for number, name in enumerate(names)})

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self)
