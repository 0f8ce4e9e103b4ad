"""Choosing golden frames: pictures that a broken model could not get right by luck."""

from collections.abc import Iterable

import cv2
import numpy as np

from models.detections import Detections, UInt8
from models.golden import MAX_SCORE_DIFFERENCE
from models.manifest import InputSpec
from models.runner import Runner

WANTED = 6


def choose_golden(frames: Iterable[UInt8], runner: Runner, *, wanted: int = WANTED) -> tuple[list[UInt8], int]:
    """At most `wanted` of the fitted frames, those first in which the model is sure of something new; and how many
    things it is sure of in them (0: they would agree with a model that sees nothing)."""
    sure = [(frame, _sure_classes(runner.run_fitted(frame), runner.threshold)) for frame in frames]
    chosen: list[UInt8] = []
    covered: set[int] = set()
    count = 0
    while sure and len(chosen) < wanted:
        # new classes first, then the most things; of equals the first
        best = max(range(len(sure)), key=lambda index: (len(set(sure[index][1]) - covered), len(sure[index][1])))
        frame, classes = sure.pop(best)
        chosen.append(frame)
        covered.update(classes)
        count += len(classes)
    return chosen, count


def drawn_pictures(spec: InputSpec, *, count: int, seed: int = 1) -> Iterable[UInt8]:
    """Pictures drawn by chance, for models that came without any: shaded discs, boxes, lines and dials on a shaded
    ground, uint8 (height, width, 3). A detector takes some of them for oranges, clocks, screens or kites."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield _draw(rng, spec.height, spec.width)


def _sure_classes(found: Detections, threshold: float) -> list[int]:
    # twice the tolerance: another machine's rounding can't bring them near the threshold
    return [int(class_id) for class_id in found.class_ids[found.scores > threshold + 2 * MAX_SCORE_DIFFERENCE]]


def _draw(rng: np.random.Generator, height: int, width: int) -> UInt8:
    corners = rng.integers(30, 226, (2, 2, 3)).astype(np.uint8)
    picture = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(1, 7))):
        kind = rng.integers(4)
        at = (int(rng.integers(width)), int(rng.integers(height)))
        size = int(rng.integers(min(height, width) // 12, max(2, min(height, width) // 3)))
        colour, dark = (tuple(int(value) for value in rng.integers(0, 256, 3)) for _ in range(2))
        if kind == 0:
            for ring in range(size, 0, -max(1, size // 12)):
                shade = ring / size
                mixed = tuple(a * shade + b * (1 - shade) for a, b in zip(dark, colour, strict=True))
                cv2.circle(
                    picture, (at[0] - (size - ring) // 3, at[1] - (size - ring) // 3), ring, mixed, -1, cv2.LINE_AA
                )
        elif kind == 1:
            far = (at[0] + size * 2, at[1] + int(size * rng.uniform(0.5, 2)))
            cv2.rectangle(picture, at, far, colour, -1)
            cv2.rectangle(picture, at, far, dark, max(1, size // 10))
        elif kind == 2:
            cv2.line(picture, at, (at[0] + size * 2, at[1] - size), colour, max(2, size // 8), cv2.LINE_AA)
        else:
            cv2.circle(picture, at, size, (235, 235, 235), -1, cv2.LINE_AA)
            cv2.circle(picture, at, size, dark, max(2, size // 10), cv2.LINE_AA)
            for turn in rng.uniform(0, 2 * np.pi, 2):
                tip = (int(at[0] + size * 0.7 * np.cos(turn)), int(at[1] + size * 0.7 * np.sin(turn)))
                cv2.line(picture, at, tip, (20, 20, 20), max(2, size // 12), cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)
