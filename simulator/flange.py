"""What travels on the simulated belt: machined flanges, whole or defective, drawn from above.

Lengths are parts of the picture's height, angles are in radians, x runs right and y down.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from models.detections import Float32, UInt8

Defect = Literal["none", "missing hole", "scratch", "crack", "chip"]
DEFECTS: tuple[Defect, ...] = ("missing hole", "scratch", "crack", "chip")

_HOLES = 6
_BORE = 0.34  # radii are parts of the flange's own
_HOLE = 0.10
_HOLE_CIRCLE = 0.70
_LAMP = (-0.67, -0.75)  # towards the lamp: upper left
_METALS = ((0.80, 0.79, 0.77), (0.72, 0.72, 0.74), (0.48, 0.68, 0.80))  # steel, dull steel, brass; BGR
_REACH: dict[Defect, float] = {"none": 0.0, "missing hole": 0.70, "scratch": 0.62, "crack": 0.75, "chip": 0.95}


@dataclass(frozen=True, slots=True)
class Flange:
    """One part: `place` is its middle's (dx, y), dx from the middle of its slot; `wear` (0..1 each) says where
    the defect sits and how large it is."""

    number: int
    defect: Defect
    place: tuple[float, float]
    radius: float
    angle: float
    colour: tuple[float, float, float]
    wear: tuple[float, float, float]

    def defect_at(self) -> tuple[float, float]:
        """Where the defect is, (dx, dy) from the part's middle."""
        angle, reach = self.defect_angle(), self.radius * _REACH[self.defect]
        return reach * math.cos(angle), reach * math.sin(angle)

    def defect_angle(self) -> float:
        """The direction of the defect; a missing hole is one of the holes."""
        if self.defect == "missing hole":
            return self.hole_angle(int(self.wear[0] * _HOLES))
        return self.wear[0] * 2 * math.pi

    def hole_angle(self, index: int) -> float:
        return self.angle + index * 2 * math.pi / _HOLES


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A part's picture: `colour` uint8 (S, S, 3) BGR, `alpha` and `shadow` float32 (S, S, 1) 0..1; its middle is
    in the middle."""

    colour: UInt8
    alpha: Float32
    shadow: Float32


def make_flange(number: int, rng: np.random.Generator, *, defect_rate: float) -> Flange:
    """A part as it comes off the lathe: never quite the same size, colour or place."""
    defect: Defect = DEFECTS[rng.integers(len(DEFECTS))] if rng.random() < defect_rate else "none"
    polish = float(rng.uniform(0.9, 1.05))
    blue, green, red = _METALS[rng.integers(len(_METALS))]
    return Flange(
        number=number,
        defect=defect,
        place=(float(rng.uniform(-0.06, 0.06)), 0.5 + float(rng.uniform(-0.06, 0.06))),
        radius=0.27 * float(rng.uniform(0.94, 1.06)),
        angle=float(rng.uniform(0, 2 * math.pi)),
        colour=(blue * polish, green * polish, red * polish),
        wear=(float(rng.random()), float(rng.random()), float(rng.random())),
    )


def draw(flange: Flange, height: int) -> Sprite:
    """The part's picture for frames of `height` pixels: brushed metal, chamfers, holes, and what is wrong with it."""
    # drawn at twice the size and averaged down, which is all the anti-aliasing it needs
    size = 2 * math.ceil(height * flange.radius * 1.25)
    canvas = _Canvas.blank(2 * size, radius=2 * height * flange.radius)
    _turn(canvas)
    for index in range(_HOLES):
        if flange.defect != "missing hole" or flange.hole_angle(index) != flange.defect_angle():
            _drill(canvas, flange.hole_angle(index))
    if flange.defect == "chip":
        _chip(canvas, flange)
    colour = cv2.merge([cv2.convertScaleAbs(canvas.shade, alpha=255 * channel) for channel in flange.colour])
    picture = np.asarray(colour, np.uint8)
    if flange.defect == "scratch":
        _scratch(picture, flange, canvas.radius)
    if flange.defect == "crack":
        _crack(picture, flange, canvas.radius)
    alpha = np.asarray(cv2.resize(canvas.solid, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    reduced = np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    return Sprite(reduced, alpha[:, :, None], _shadow(alpha, reach=max(1, round(height * 0.022))))


@dataclass(frozen=True, slots=True, eq=False)
class _Canvas:
    """Float32 (S, S): `x`, `y` in radii of the part from its middle; `shade` brightness, `solid` 1 where there is
    metal. `radius` is the part's, in pixels."""

    x: Float32
    y: Float32
    shade: Float32
    solid: Float32
    radius: float

    @classmethod
    def blank(cls, size: int, *, radius: float) -> "_Canvas":
        axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / np.float32(radius)
        x, y = np.meshgrid(axis, axis)
        return cls(x, y, np.zeros((size, size), np.float32), np.zeros((size, size), np.float32), radius)

    def around(self, x: float, y: float, reach: float) -> "_Canvas":
        """A window into the same canvas, so that small things cost little."""
        middle = self.x.shape[0] / 2
        rows = slice(max(0, int(middle + (y - reach) * self.radius)), int(middle + (y + reach) * self.radius) + 2)
        columns = slice(max(0, int(middle + (x - reach) * self.radius)), int(middle + (x + reach) * self.radius) + 2)
        cut = (rows, columns)
        return _Canvas(self.x[cut], self.y[cut], self.shade[cut], self.solid[cut], self.radius)


def _turn(canvas: _Canvas) -> None:
    """The disc with its bore, as the lathe leaves it."""
    x, y = canvas.x, canvas.y
    square = x * x + y * y
    r = np.sqrt(square)
    # brushed metal shines in two opposite fans: cos of twice the angle to the lamp
    canvas.shade[:] = 0.80 + 0.16 * ((x * x - y * y) * -0.227 - 2 * x * y * -0.974) / square
    canvas.shade[:] += 0.025 * np.sin(r * 95)
    # a chamfer is bright on the lamp's side and dark on the other; inside the bore it is the other way round
    facing = (x * _LAMP[0] + y * _LAMP[1]) / r
    canvas.shade[:] += facing * (0.30 * ((r > 0.93) & (r < 1)) - 0.26 * ((r > _BORE) & (r < _BORE + 0.06)))
    canvas.shade[:] -= 0.10 * ((r > 0.50) & (r < 0.515))
    canvas.solid[:] = (r < 1) & (r > _BORE)


def _drill(canvas: _Canvas, angle: float) -> None:
    hole_x, hole_y = _HOLE_CIRCLE * math.cos(angle), _HOLE_CIRCLE * math.sin(angle)
    window = canvas.around(hole_x, hole_y, _HOLE * 1.4)
    x, y = window.x - np.float32(hole_x), window.y - np.float32(hole_y)
    r = np.sqrt(x * x + y * y) + 1e-6
    window.shade[:] -= 0.22 * (x * _LAMP[0] + y * _LAMP[1]) / r * (r < _HOLE * 1.25)
    window.solid[:] *= r > _HOLE


def _chip(canvas: _Canvas, flange: Flange) -> None:
    """A bite out of the rim, its edge ragged and bright as freshly broken metal is."""
    angle = flange.defect_angle()
    middle = (1.06 * math.cos(angle), 1.06 * math.sin(angle))
    window = canvas.around(*middle, 0.45)
    x, y = window.x - np.float32(middle[0]), window.y - np.float32(middle[1])
    bite = np.sqrt(x * x + y * y)
    around = np.arctan2(window.y, window.x)
    edge = 0.24 + 0.08 * flange.wear[1] + 0.025 * np.sin(around * 41) + 0.015 * np.sin(around * 87)
    window.shade[:] += 0.25 * (bite < edge + 0.05)
    window.solid[:] *= bite > edge


def _scratch(picture: UInt8, flange: Flange, radius: float) -> None:
    """A bright, slightly bent groove with a dark lip."""
    angle = flange.defect_angle()
    along = angle + math.pi / 2 + (flange.wear[1] - 0.5) * 1.6
    steps = np.linspace(-1, 1, 9) * (0.34 + 0.16 * flange.wear[2])
    bend = 0.05 * np.sin(steps * 6 + flange.wear[1] * 9)
    x = 0.66 * math.cos(angle) + steps * math.cos(along) - bend * math.sin(along)
    y = 0.66 * math.sin(angle) + steps * math.sin(along) + bend * math.cos(along)
    thick = max(2, round(radius * 0.035))
    line = _to_pixels(x, y, picture, radius)
    cv2.polylines(picture, [line + thick // 2], False, (45, 45, 50), thick, cv2.LINE_AA)
    cv2.polylines(picture, [line], False, (245, 248, 250), max(1, thick // 2), cv2.LINE_AA)


def _crack(picture: UInt8, flange: Flange, radius: float) -> None:
    """A dark jagged line that runs inwards from the rim and forks once."""
    angle = flange.defect_angle()
    steps = np.linspace(1.0, 0.50 - 0.08 * flange.wear[1], 8)
    swing = angle + 0.10 * np.sin(np.arange(8) * (1.7 + flange.wear[2]) + 9 * flange.wear[1])
    x, y = steps * np.cos(swing), steps * np.sin(swing)
    fork = np.array((0.0, -0.16))
    thick = max(2, round(radius * 0.035))
    cv2.polylines(picture, [_to_pixels(x, y, picture, radius)], False, (28, 28, 32), thick, cv2.LINE_AA)
    branch = _to_pixels(x[4] + fork * math.cos(angle + 0.9), y[4] + fork * math.sin(angle + 0.9), picture, radius)
    cv2.polylines(picture, [branch], False, (28, 28, 32), max(1, thick - 1), cv2.LINE_AA)


def _to_pixels(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], picture: UInt8, radius: float
) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(np.stack((x, y), axis=1) * radius + picture.shape[0] / 2), np.int32)


def _shadow(alpha: Float32, *, reach: int) -> Float32:
    moved = cv2.warpAffine(alpha, np.array([[1, 0, reach], [0, 1, reach]], np.float32), alpha.shape)
    return np.asarray(cv2.blur(moved, (2 * reach + 1, 2 * reach + 1)) * 0.62, np.float32)[:, :, None]
