"""What travels on the simulated belt: machined rings, whole or defective, drawn from above.

Lengths are parts of the picture's height, angles are in radians, x runs right and y down.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from models.detections import Float32, UInt8

Defect = Literal["none", "rust", "scratch", "crack", "chip"]
DEFECTS: tuple[Defect, ...] = ("rust", "scratch", "crack", "chip")

_LARGEST = 0.34  # the largest part's radius
_ROOM = 1.25  # half a sprite's side in radii of its part: the shadow needs some
_BORE = 0.34  # from here on, lengths are in radii of the part
_LAMP = (-0.67, -0.75)  # towards the lamp: upper left
_METALS = ((0.80, 0.79, 0.77), (0.72, 0.72, 0.74), (0.48, 0.68, 0.80))  # steel, dull steel, brass; BGR
_REACH: dict[Defect, float] = {"none": 0.0, "rust": 0.66, "scratch": 0.62, "crack": 0.75, "chip": 0.95}


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `place` is its middle's (dx, y), dx from the middle of its slot; `wear` (0..1 each) says where
    the defect sits and how large it is."""

    number: int
    defect: Defect
    place: tuple[float, float]
    radius: float
    colour: tuple[float, float, float]
    wear: tuple[float, float, float]

    def defect_at(self) -> tuple[float, float]:
        """Where the defect is, (dx, dy) from the part's middle."""
        angle, reach = self.defect_angle(), self.radius * _REACH[self.defect]
        return reach * math.cos(angle), reach * math.sin(angle)

    def defect_angle(self) -> float:
        """The direction of the defect from the part's middle."""
        return self.wear[0] * 2 * math.pi


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A part's picture, its middle in the middle: what is below it shows `through` (float32 (S, S, 1), 0..1; less in
    its shadow) and `painted` (float32 (S, S, 3) BGR) is added."""

    through: Float32
    painted: Float32


def make_part(number: int, rng: np.random.Generator, *, defect_rate: float) -> Part:
    """A part as it comes off the lathe: never quite the same size, colour or place."""
    defect: Defect = DEFECTS[rng.integers(len(DEFECTS))] if rng.random() < defect_rate else "none"
    polish = float(rng.uniform(0.9, 1.05))
    blue, green, red = _METALS[rng.integers(len(_METALS))]
    return Part(
        number=number,
        defect=defect,
        place=(float(rng.uniform(-0.06, 0.06)), 0.5 + float(rng.uniform(-0.05, 0.05))),
        radius=0.32 * float(rng.uniform(0.94, 1.06)),
        colour=(blue * polish, green * polish, red * polish),
        wear=(float(rng.random()), float(rng.random()), float(rng.random())),
    )


def draw(part: Part, height: int) -> Sprite:
    """The part's picture for frames of `height` pixels: brushed metal, chamfers, and what is wrong with it."""
    canvas = _turned(2 * math.ceil(2 * height * _LARGEST * _ROOM)).copy()
    if part.defect == "chip":
        _chip(canvas, part)
    colour = cv2.merge([cv2.convertScaleAbs(canvas.shade, alpha=255 * channel) for channel in part.colour])
    picture = np.asarray(colour, np.uint8)
    if part.defect == "rust":
        _rust(picture, part, canvas.radius)
    if part.defect == "scratch":
        _scratch(picture, part, canvas.radius)
    if part.defect == "crack":
        _crack(picture, part, canvas.radius)
    # drawn at twice the size and brought down, which is all the anti-aliasing it needs
    size = 2 * round(height * part.radius * _ROOM)
    alpha = np.asarray(cv2.resize(canvas.solid, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    reduced = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    lit = 1 - _shadow(alpha, reach=max(1, round(height * 0.022)))
    return Sprite(((1 - alpha) * lit)[:, :, None], reduced * alpha[:, :, None])


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """Float32 (S, S): `x`, `y` in radii of the part from its middle; `shade` brightness, `solid` 1 where there is
    metal. `radius` is the part's, in pixels."""

    x: Float32
    y: Float32
    shade: Float32
    solid: Float32
    radius: float

    def copy(self) -> "_Canvas":
        """A canvas to draw on; the coordinates are shared."""
        return _Canvas(self.x, self.y, self.shade.copy(), self.solid.copy(), self.radius)

    def around(self, x: float, y: float, reach: float) -> "_Canvas":
        """A window into the same canvas, so that small things cost little."""
        middle = self.x.shape[0] / 2
        rows = slice(max(0, int(middle + (y - reach) * self.radius)), int(middle + (y + reach) * self.radius) + 2)
        columns = slice(max(0, int(middle + (x - reach) * self.radius)), int(middle + (x + reach) * self.radius) + 2)
        cut = (rows, columns)
        return _Canvas(self.x[cut], self.y[cut], self.shade[cut], self.solid[cut], self.radius)


@lru_cache(maxsize=4)
def _turned(size: int) -> _Canvas:
    """The disc with its bore, as it comes off the lathe; the same for every part, so drawn once."""
    radius = size / 2 / _ROOM
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / np.float32(radius)
    x, y = np.meshgrid(axis, axis)
    square = x * x + y * y
    r = np.sqrt(square)
    # brushed metal shines in two opposite fans: cos of twice the angle to the lamp
    shade = 0.80 + 0.16 * ((x * x - y * y) * -0.227 - 2 * x * y * -0.974) / square
    shade += 0.025 * np.sin(r * 95)
    # a chamfer is bright on the lamp's side and dark on the other; inside the bore it is the other way round
    facing = (x * _LAMP[0] + y * _LAMP[1]) / r
    shade += facing * (0.30 * ((r > 0.93) & (r < 1)) - 0.26 * ((r > _BORE) & (r < _BORE + 0.06)))
    shade -= 0.10 * ((r > 0.50) & (r < 0.515))
    solid = ((r < 1) & (r > _BORE)).astype(np.float32)
    return _Canvas(x, y, np.asarray(shade, np.float32), solid, radius)


def _chip(canvas: _Canvas, part: Part) -> None:
    """A bite out of the rim, its edge ragged and bright as freshly broken metal is."""
    angle = part.defect_angle()
    middle = (1.06 * math.cos(angle), 1.06 * math.sin(angle))
    window = canvas.around(*middle, 0.55)
    x, y = window.x - np.float32(middle[0]), window.y - np.float32(middle[1])
    bite = np.sqrt(x * x + y * y)
    around = np.arctan2(window.y, window.x)
    edge = 0.34 + 0.10 * part.wear[1] + 0.025 * np.sin(around * 41) + 0.015 * np.sin(around * 87)
    window.shade[:] += 0.40 * (bite < edge + 0.11)
    window.solid[:] *= bite > edge


def _rust(picture: UInt8, part: Part, radius: float) -> None:
    """Blotches of orange brown that have eaten into the face."""
    angle = part.defect_angle()
    for step in range(5):
        around = angle + 0.22 * (step - 2) + 0.1 * math.sin(9 * part.wear[1] + 2 * step)
        reach = 0.66 + 0.12 * math.sin(7 * part.wear[2] + 3 * step)
        x, y = np.array([reach * math.cos(around)]), np.array([reach * math.sin(around)])
        centre = _to_pixels(x, y, picture, radius)[0].tolist()
        size = radius * (0.10 + 0.05 * math.sin(5 * part.wear[1] + 4 * step))
        colour = (26 + 10 * step, 62 + 8 * step, 128 + 9 * step)
        cv2.ellipse(picture, centre, (round(size), round(0.7 * size)), 60 * step, 0, 360, colour, -1, cv2.LINE_AA)


def _scratch(picture: UInt8, part: Part, radius: float) -> None:
    """A bright, slightly bent groove with a dark lip."""
    angle = part.defect_angle()
    along = angle + math.pi / 2 + (part.wear[1] - 0.5) * 1.6
    steps = np.linspace(-1, 1, 9) * (0.42 + 0.16 * part.wear[2])
    bend = 0.05 * np.sin(steps * 6 + part.wear[1] * 9)
    x = 0.66 * math.cos(angle) + steps * math.cos(along) - bend * math.sin(along)
    y = 0.66 * math.sin(angle) + steps * math.sin(along) + bend * math.cos(along)
    thick = max(2, round(radius * 0.07))
    line = _to_pixels(x, y, picture, radius)
    cv2.polylines(picture, [line + thick // 2], False, (45, 45, 50), thick, cv2.LINE_AA)
    cv2.polylines(picture, [line], False, (245, 248, 250), max(1, thick // 2), cv2.LINE_AA)


def _crack(picture: UInt8, part: Part, radius: float) -> None:
    """A dark jagged line that runs inwards from the rim and forks once."""
    angle = part.defect_angle()
    steps = np.linspace(1.0, 0.42 - 0.06 * part.wear[1], 8)
    swing = angle + 0.10 * np.sin(np.arange(8) * (1.7 + part.wear[2]) + 9 * part.wear[1])
    x, y = steps * np.cos(swing), steps * np.sin(swing)
    fork = np.array((0.0, -0.24))
    thick = max(2, round(radius * 0.065))
    cv2.polylines(picture, [_to_pixels(x, y, picture, radius)], False, (28, 28, 32), thick, cv2.LINE_AA)
    branch = _to_pixels(x[4] + fork * math.cos(angle + 0.9), y[4] + fork * math.sin(angle + 0.9), picture, radius)
    cv2.polylines(picture, [branch], False, (28, 28, 32), max(1, thick - 1), cv2.LINE_AA)


def _to_pixels(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], picture: UInt8, radius: float
) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(np.stack((x, y), axis=1) * radius + picture.shape[0] / 2), np.int32)


def _shadow(alpha: Float32, *, reach: int) -> Float32:
    moved = cv2.warpAffine(alpha, np.array([[1, 0, reach], [0, 1, reach]], np.float32), alpha.shape)
    return np.asarray(cv2.blur(moved, (2 * reach + 1, 2 * reach + 1)) * 0.62, np.float32)
