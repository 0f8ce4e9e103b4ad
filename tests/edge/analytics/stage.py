"""Things that move before a camera, with the truth about who is who."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.detections import Detections, Int64

Path = Callable[[int], tuple[float, float]]  # frame -> centre, pixels


@dataclass(frozen=True, slots=True)
class Actor:
    """Something of `size` (width, height) on its way; not found in the frames `hidden`, at score `dim` in `faint`."""

    path: Path
    size: tuple[float, float] = (60.0, 120.0)
    kind: int = 0
    score: float = 0.8
    hidden: range = range(0)
    faint: range = range(0)
    dim: float = 0.3
    present: range = range(10**6)


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame's detections and who each of them is: the actor's place in the cast, -1 for clutter."""

    found: Detections
    who: Int64


def perform(
    cast: list[Actor], frames: int, *, jitter: float = 0.0, clutter: float = 0.0, missed: float = 0.0, seed: int = 0
) -> Iterator[Shown]:
    """The cast in each frame: boxes off by `jitter` (standard deviation, a part of their size), `clutter` false boxes a
    frame, each actor missed with probability `missed`."""
    rng = np.random.default_rng(seed)
    for number in range(frames):
        rows: list[tuple[npt.NDArray[np.float64], float, int, int]] = []
        for who, actor in enumerate(cast):
            if number in actor.hidden or number not in actor.present or rng.random() < missed:
                continue
            centre, size = np.array(actor.path(number)), np.array(actor.size)
            box = np.concatenate((centre - size / 2, centre + size / 2)) + rng.normal(0, 1, 4) * jitter * np.tile(
                size, 2
            )
            rows.append((box, actor.dim if number in actor.faint else actor.score, actor.kind, who))
        for _ in range(rng.poisson(clutter)):
            corner, size = rng.uniform(0, 500, 2), rng.uniform(30, 120, 2)
            rows.append((np.concatenate((corner, corner + size)), float(rng.uniform(0.25, 0.7)), 0, -1))
        rows.sort(key=lambda row: -row[1])
        found = Detections.of([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        yield Shown(found, np.array([row[3] for row in rows], np.int64))
