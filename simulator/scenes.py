"""What the simulated cameras look at, with the truth known: machined parts on a conveyor, or a folder's photos.

A scene is a pure function of its seed and the frame's number, so that a camera, a data set and a count afterwards
agree on what was to be seen.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from models.detections import UInt8
from models.errors import DataError
from simulator.part import Defect, Part, Sprite, draw, make_part

LABELS = ("defect", "empty", "good")
_MARGIN = 0.46  # a part and its shadow, from its middle
_BLUR = 0.09  # what is less than this from the picture's edge is half in and half out
_LINES = 6
_PART_PASSES = 100  # frames, more than a part is in view for


@dataclass(frozen=True, slots=True)
class Truth:
    """What a frame shows: its class, and for a part on the belt its number, its defect and its box (xyxy, pixels).

    `clear` is false where two people might label the picture differently: a part or its defect is cut by the edge.
    """

    label: str
    clear: bool = True
    part: int = -1
    defect: Defect = "none"
    xyxy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class Shot(NamedTuple):
    """A picture, uint8 (H, W, 3) BGR, and what is to be seen on it."""

    image: UInt8
    truth: Truth


class Scene(Protocol):
    """Something a simulated camera can look at."""

    def frame(self, number: int) -> Shot:
        """Frame `number` (0, 1, 2 ...): always the same for the same number."""
        ...

    def truth(self, number: int) -> Truth:
        """What that frame shows, without making the picture."""
        ...


class Photos:
    """Photographs by class, as a line would show them: the first class most of the time, each after it a fifth as
    often as the one before."""

    def __init__(
        self, pictures: Mapping[str, Sequence[Path]], *, width: int = 320, height: int = 240, seed: int = 0
    ) -> None:
        self._pictures = {label: tuple(paths) for label, paths in pictures.items() if paths}
        if not self._pictures:
            raise DataError("there are no pictures to show; expected some for at least one class")
        shares = 0.2 ** np.arange(len(self._pictures))
        self._shares = shares / shares.sum()
        self._seed = seed
        self._size = (width, height)

    def truth(self, number: int) -> Truth:
        return Truth(self._pick(number)[0])

    def frame(self, number: int) -> Shot:
        label, path = self._pick(number)
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise DataError(f"{path} is not a picture that OpenCV can read; remove it from the folder")
        resized = cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA)
        return Shot(np.asarray(resized, np.uint8), Truth(label))

    def _pick(self, number: int) -> tuple[str, Path]:
        rng = np.random.default_rng((self._seed, number))
        label = list(self._pictures)[rng.choice(len(self._shares), p=self._shares)]
        paths = self._pictures[label]
        return label, paths[rng.integers(len(paths))]


class Conveyor:
    """A belt that carries parts past the camera, some of them defective, under a lamp that drifts.

    A frame is labelled by what it shows: `defect` when the middle of a part is in view and its defect is visible,
    `good` when no defect is, `empty` when no part's middle is in view. Lengths are parts of the picture's height.
    """

    def __init__(
        self,
        seed: int,
        width: int = 320,
        height: int = 240,
        *,
        defect_rate: float = 0.3,
        gap_rate: float = 0.1,
        speed: float = 0.055,
    ) -> None:
        self._seed = seed
        self._width, self._height = width, height
        self._view = width / height
        self._pitch = self._view + 2 * _MARGIN  # so far apart that at most one part is in view
        self._defect_rate, self._gap_rate, self._speed = defect_rate, gap_rate, speed
        rng = np.random.default_rng((seed, 1))
        self._belt = _belt_texture(height, rng)
        self._lamp = _lamp(width, height, rng)
        self._grain = rng.normal(0, 5.0, (height + 64, width + 64, 3)).astype(np.int16)
        self._phase = rng.uniform(0, 2 * math.pi, 2)
        self._sprite = lru_cache(maxsize=4)(draw)

    def truth(self, number: int) -> Truth:
        """What frame `number` shows, without rendering it."""
        clear = True
        for part, x, y in self._parts_near(number):
            label, sure = _judge(part, x, self._view)
            if label != "empty":
                return Truth(label, sure, part.number, part.defect, self._box(part, x, y))
            clear &= sure
        return Truth("empty", clear)

    def frame(self, number: int) -> Shot:
        rng = np.random.default_rng((self._seed, 3, number))
        shift = int(number * self._speed * self._height) % self._belt.shape[1]
        picture = np.roll(self._belt, shift, axis=1)[:, : self._width].copy()
        for part, x, y in self._parts_near(number):
            _paste(picture, self._sprite(part, self._height), x * self._height, y * self._height)
        lit = cv2.multiply(picture, self._lamp, scale=self._brightness(number) / 255, dtype=cv2.CV_16S)
        top, left = rng.integers(0, 64, 2)
        grain = self._grain[top : top + self._height, left : left + self._width]
        image = cv2.add(lit, grain, dtype=cv2.CV_8U)
        return Shot(np.asarray(image, np.uint8), self.truth(number))

    def _box(self, part: Part, x: float, y: float) -> tuple[float, float, float, float]:
        left, right = ((x + side * part.radius) * self._height for side in (-1, 1))
        top, bottom = ((y + side * part.radius) * self._height for side in (-1, 1))
        return max(0.0, left), max(0.0, top), min(float(self._width), right), min(float(self._height), bottom)

    def _brightness(self, number: int) -> float:
        """The lamp warms up and ages, and mains hum beats with the shutter."""
        slow = math.sin(number / 190 + self._phase[0])
        hum = math.sin(number * 2.1 + self._phase[1])
        return 1.0 + 0.16 * slow + 0.03 * hum

    def _parts_near(self, number: int) -> Iterator[tuple[Part, float, float]]:
        """Parts that may reach into the view, with their middle's (x, y). The belt runs from left to right."""
        travelled = number * self._speed
        first = math.floor((travelled - self._view - _MARGIN) / self._pitch)
        last = math.ceil((travelled + _MARGIN) / self._pitch)
        for slot in range(first, last + 1):
            part = _in_slot(self._seed, slot, self._defect_rate, self._gap_rate)
            if part is not None:
                yield part, travelled - slot * self._pitch + part.place[0], part.place[1]


def _judge(part: Part, x: float, view: float) -> tuple[str, bool]:
    """The class of a frame with this part's middle at `x`, and whether that is clear to anybody who looks."""
    inside = min(x, view - x)  # how far the middle is in view
    if inside < 0:
        return "empty", inside < -_BLUR
    if part.defect == "none":
        return "good", inside > _BLUR
    at = x + part.defect_at()[0]
    shown = min(at, view - at)
    return ("defect" if shown > 0 else "good"), inside > _BLUR and shown > _BLUR


def render_dataset(folder: Path, *, count: int, seed: int, width: int = 320, height: int = 240) -> None:
    """Write about `count` clear pictures, as many of each class, as folder/{train,val}/<class>/*.jpg.

    They come from several belts. A fifth is val. Its pictures come from later on the same belts: no part is in both.
    """
    lines = [Conveyor(seed * 100 + line, width, height, defect_rate=0.5) for line in range(_LINES)]
    rng = np.random.default_rng((seed, 2))
    quota = -(-count // len(LABELS) // _LINES)
    val_quota = max(1, quota // 5)
    for index, scene in enumerate(lines):
        start = 0
        for split, wanted in (("train", quota - val_quota), ("val", val_quota)):
            for label in LABELS:
                (folder / split / label).mkdir(parents=True, exist_ok=True)
            for number, truth in _choose(scene, rng, after=start, each=wanted):
                path = folder / split / truth.label / f"line{index}-{number:06d}.jpg"
                _write_jpeg(path, scene.frame(number))
                start = number + _PART_PASSES


def _choose(scene: Conveyor, rng: np.random.Generator, *, after: int, each: int) -> list[tuple[int, Truth]]:
    """Numbers of clear frames, well apart, `each` of them of every class."""
    missing = dict.fromkeys(LABELS, each)
    chosen: list[tuple[int, Truth]] = []
    number = after
    while any(missing.values()):
        number += int(rng.integers(3, 30))
        truth = scene.truth(number)
        if truth.clear and missing[truth.label]:
            missing[truth.label] -= 1
            chosen.append((number, truth))
    return chosen


def _write_jpeg(path: Path, shot: Shot) -> None:
    if not cv2.imwrite(str(path), shot.image, (cv2.IMWRITE_JPEG_QUALITY, 88)):
        raise DataError(f"{path} could not be written; is the disk full?")


@lru_cache(maxsize=256)
def _in_slot(seed: int, slot: int, defect_rate: float, gap_rate: float) -> Part | None:
    """What lies in a slot of the belt: always the same for the same seed."""
    rng = np.random.default_rng((seed, 4, slot + 2**31))
    return None if rng.random() < gap_rate else make_part(slot, rng, defect_rate=defect_rate)


def _paste(picture: UInt8, sprite: Sprite, x: float, y: float) -> None:
    """Lay a sprite, its middle at pixel (x, y), and its shadow into the picture; what hangs over is cut off."""
    size = sprite.painted.shape[0]
    left, top = round(x) - size // 2, round(y) - size // 2
    x0, x1 = max(left, 0), min(left + size, picture.shape[1])
    y0, y1 = max(top, 0), min(top + size, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    below = picture[y0:y1, x0:x1]
    below[:] = below * sprite.through[cut] + sprite.painted[cut]


def _belt_texture(height: int, rng: np.random.Generator) -> UInt8:
    """A worn rubber belt with a chevron profile between two steel rails, periodic along x."""
    width = 4 * height
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None] / height
    ribs = width / 48
    chevron = np.sin(2 * np.pi * (x / ribs + np.abs(y - 0.5) * 2.2))
    grey = 74 + 7 * np.tanh(3 * chevron)
    blotches = rng.normal(0, 1, (height // 8, width // 8)).astype(np.float32)
    grey += 6 * cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    grey += rng.normal(0, 3.5, (height, width))
    belt = np.repeat(grey[:, :, None], 3, axis=2) * np.array((0.98, 1.0, 0.94))
    for _ in range(10):  # oil that dripped
        centre = (int(rng.integers(20, width - 20)), int(rng.uniform(0.2, 0.8) * height))
        axes = (int(height * rng.uniform(0.01, 0.035)), int(height * rng.uniform(0.008, 0.02)))
        cv2.ellipse(belt, centre, axes, float(rng.uniform(0, 180)), 0, 360, (50, 52, 54), -1, cv2.LINE_AA)
    profile = np.clip(np.minimum(y, 1 - y) / 0.075, 0, 1)
    rail = 118 + 60 * np.sin(np.pi * profile) * np.ones_like(x)
    on_rail = profile < 1
    belt = np.where(on_rail[:, :, None], rail[:, :, None] * np.array((1.0, 0.98, 0.95)), belt)
    return np.asarray(np.clip(belt, 0, 255), np.uint8)


def _lamp(width: int, height: int, rng: np.random.Generator) -> UInt8:
    """A ring lamp, off centre: uint8 (H, W, 3), 255 is full light; a little warmer where it is brightest."""
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - float(rng.uniform(-0.3, 0.3))
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - float(rng.uniform(-0.3, 0.3))
    light = np.clip(1.02 - 0.22 * (x * x + 0.8 * y * y), 0.3, 1)
    tint = np.stack((light**1.15, light, light**0.97), axis=2)
    return np.asarray(tint * 255, np.uint8)
