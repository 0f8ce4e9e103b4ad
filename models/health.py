"""A gateway's account of itself."""

import math
from dataclasses import dataclass, field
from typing import get_type_hints

from models.bounds import MAX_TIME_US, check_counts

SCORE_BINS = 10
CAMERA_COUNTS = ("seen", "inferred", "skipped", "missed", "still", "failed", "pictures_withheld")


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera within a window: its state ("ok", "down", "stalled", "frozen", "dark", "waiting" for the first model,
    "ended") and what became of its frames: each that was `seen` is `inferred`, `skipped` for want of time, `still`
    (held back, because nothing moved), `failed` (the model raised), or still under way. `missed` ones were never seen.
    `pictures_withheld`: of events, for which its budget had no room."""

    name: str
    state: str
    seen: int = 0
    inferred: int = 0
    skipped: int = 0
    missed: int = 0
    still: int = 0
    failed: int = 0
    pictures_withheld: int = 0

    def __post_init__(self) -> None:
        check_counts(self, CAMERA_COUNTS)


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a second model, in shadow, compares with the running one in a window: `frames` seen by both, of which
    `agreed` (same classes, boxes at IoU >= 0.5), the detections of both, those that match, and both score
    histograms (SCORE_BINS bins over 0..1)."""

    model: str
    release: int
    digest: str
    frames: int = 0
    agreed: int = 0
    matched: int = 0
    ours: int = 0
    theirs: int = 0
    mean_iou: float = 0.0
    our_scores: tuple[int, ...] = (0,) * SCORE_BINS
    their_scores: tuple[int, ...] = (0,) * SCORE_BINS
    p50_ms: float = 0.0

    def __post_init__(self) -> None:
        check_counts(self, ("release", "frames", "agreed", "matched", "ours", "theirs", "mean_iou", "p50_ms"))


@dataclass(frozen=True, slots=True)
class Health:
    """The gateway's account of one window with one release; fields and units as in tidegate.proto."""

    at_us: int
    window_s: float
    model: str
    release: int
    digest: str
    variant: str
    frames_seen: int = 0
    frames_inferred: int = 0
    frames_skipped: int = 0
    frames_missed: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    memory_bytes: int = 0
    errors: int = 0
    last_error: str = ""
    score_histogram: tuple[int, ...] = (0,) * SCORE_BINS
    class_mix: dict[str, int] = field(default_factory=dict)
    detections: int = 0
    camera_state: str = "ok"
    spool_records: int = 0
    spool_bytes: int = 0
    swaps: int = 0
    failed_release: str = ""
    records_dropped: int = 0
    batches_refused: int = 0
    frames_still: int = 0
    cpu_s: float = 0.0
    temperature_c: float = 0.0
    throttled: str = ""
    disk_free_bytes: int = 0
    spool_age_s: float = 0.0
    bytes_sent: int = 0
    records_held: int = 0
    messages_ignored: int = 0
    clock_jumps: int = 0
    cameras: tuple[CameraHealth, ...] = ()
    challenge: Challenge | None = None
    frames_failed: int = 0
    picture_parts_held: int = 0
    configuration_refused: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.at_us <= MAX_TIME_US:
            raise ValueError(f"at_us must be in 0..{MAX_TIME_US}, got {self.at_us}")
        check_counts(self, _HEALTH_COUNTS)
        if not math.isfinite(self.temperature_c):
            raise ValueError(f"temperature_c must be finite, got {self.temperature_c}")


_HEALTH_COUNTS = tuple(
    name
    for name, kind in get_type_hints(Health).items()
    if kind in (int, float) and name not in ("at_us", "temperature_c")
)
