"""What a window is told in: a release's answers, each camera's frames, and the moments between which they fell."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, Self

import numpy as np

from edge.cameras.camera import Tally
from edge.loading import LoadedModel
from models.health import CAMERA_COUNTS, SCORE_BINS, CameraHealth, Health
from models.manifest import Manifest
from models.tally import AnswerTally

# the worst first; "waiting": not looked through yet, for want of a model or because it is just being opened
CameraState = Literal["down", "stalled", "frozen", "dark", "waiting", "ok", "ended"]


@dataclass(frozen=True, slots=True)
class Who:
    """A release that answers; not the model itself, whose session must not be kept from going for a whole window."""

    label: str
    digest: str
    variant: str
    manifest: Manifest = field(compare=False)

    @classmethod
    def of(cls, model: LoadedModel) -> Self:
        return cls(model.label, model.digest, model.variant, model.manifest)

    def is_of(self, model: LoadedModel) -> bool:
        """Whether it is certainly this model's: cheap, for each frame."""
        return self.manifest is model.manifest and self.variant == model.variant

    def named_in(self, health: Health) -> Health:
        """The message with the release's name."""
        manifest = self.manifest
        return replace(health, model=manifest.name, release=manifest.release, digest=self.digest, variant=self.variant)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far all that is counted had come at a moment: by the clock, the process' time on processors, errors, and each
    camera's counts but for those that are a release's own."""

    at: float
    cpu_s: float
    errors: int = 0
    last_error: str = ""
    cameras: tuple[CameraHealth, ...] = ()


@dataclass(slots=True)
class Figures:
    """What one release answered within a window, the first of it at `began`, and for how many frames of each camera."""

    began: Mark
    times_ms: "array[float]" = field(default_factory=lambda: array("f"))
    answers: AnswerTally = field(default_factory=AnswerTally)
    inferred: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    failed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def told_in(self, health: Health, labels: tuple[str, ...]) -> Health:
        """The message with these answers."""
        p50, p95 = np.percentile(self.times_ms, (50, 95)) if self.times_ms else (0.0, 0.0)
        return replace(
            health,
            frames_inferred=len(self.times_ms),
            p50_ms=float(p50),
            p95_ms=float(p95),
            score_histogram=tuple(self.answers.histogram),
            class_mix=self.answers.mix(labels),
            detections=self.answers.detections,
        )


@dataclass(slots=True)
class Totals:
    """What the windows before this one add up to."""

    inferred: int = 0
    inference_s: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    classes: Counter[str] = field(default_factory=Counter)

    def add(self, figures: Figures, labels: tuple[str, ...]) -> None:
        self.inferred += len(figures.times_ms)
        self.inference_s += sum(figures.times_ms) / 1000
        self.histogram = [a + b for a, b in zip(self.histogram, figures.answers.histogram, strict=True)]
        self.classes.update(figures.answers.mix(labels))

    def copy(self) -> "Totals":
        return replace(self, classes=Counter(self.classes))


@dataclass(slots=True)
class CameraCounts:
    """A camera's state and counts since the start; `inferred` and `failed` without those of the window that is under
    way."""

    tally: Tally
    state: CameraState = "waiting"
    inferred: int = 0
    failed: int = 0
    pictures_withheld: int = 0

    def by_now(self, name: str, figures: Iterable[Figures] = ()) -> CameraHealth:
        """All of it, with what these add."""
        tally, inferred, failed = self.tally, self.inferred, self.failed
        for its in figures:
            inferred += its.inferred.get(name, 0)
            failed += its.failed.get(name, 0)
        return CameraHealth(
            name,
            self.state,
            seen=tally.seen,
            inferred=inferred,
            skipped=tally.skipped,
            missed=tally.missed,
            still=tally.still,
            failed=failed,
            pictures_withheld=self.pictures_withheld,
        )


def tell(whole: Health, figures: dict[Who, Figures], begin: Mark, end: Mark) -> list[Health]:
    """A message for each release, in the order of their first answers, for the time in which it answered: until the
    next one did; `whole` for all of it where there was none."""
    marks = [begin, *(its.began for its in list(figures.values())[1:]), end]
    told = []
    for (who, its), (since, until) in zip(figures.items(), pairwise(marks), strict=True) if figures else ():
        told.append(_told_between(its.told_in(who.named_in(whole), who.manifest.labels), its, since, until))
    return told or [_told_between(whole, Figures(begin), begin, end)]


def together(cameras: Iterable[CameraHealth]) -> CameraHealth:
    """What became of the frames of all of these."""
    counts: Counter[str] = Counter()
    for camera in cameras:
        counts.update({name: getattr(camera, name) for name in CAMERA_COUNTS})
    return CameraHealth("", "ended", **counts)


def add_up(health: Health, cameras: tuple[CameraHealth, ...]) -> Health:
    """The message with these cameras, and their frames in its own counts."""
    return replace(
        health,
        cameras=cameras,
        frames_seen=sum(camera.seen for camera in cameras),
        frames_skipped=sum(camera.skipped for camera in cameras),
        frames_missed=sum(camera.missed for camera in cameras),
        frames_still=sum(camera.still for camera in cameras),
        frames_failed=sum(camera.failed for camera in cameras),
    )


def _told_between(health: Health, figures: Figures, since: Mark, until: Mark) -> Health:
    errors = until.errors - since.errors
    before = {camera.name: camera for camera in since.cameras}
    cameras = tuple(
        _difference(now, before.get(now.name, CameraHealth(now.name, now.state)), figures) for now in until.cameras
    )
    return replace(
        add_up(health, cameras),
        window_s=until.at - since.at,
        cpu_s=max(0.0, until.cpu_s - since.cpu_s),
        errors=errors,
        last_error=until.last_error if errors else "",
    )


def _difference(now: CameraHealth, before: CameraHealth, figures: Figures) -> CameraHealth:
    return CameraHealth(
        now.name,
        now.state,
        seen=now.seen - before.seen,
        inferred=figures.inferred.get(now.name, 0),
        skipped=now.skipped - before.skipped,
        missed=now.missed - before.missed,
        still=now.still - before.still,
        failed=figures.failed.get(now.name, 0),
        pictures_withheld=now.pictures_withheld - before.pictures_withheld,
    )
