"""Drawn defects: good pictures with something wrong in them, to learn from and to judge by where real ones are missing.

After CutPaste (Li et al. 2021, https://arxiv.org/abs/2104.04015: patches and scars from another place), NSA
(Schlüter et al. 2022, https://arxiv.org/abs/2109.15222: resized, and blended in) and DRAEM (Zavrtanik et al. 2021,
https://arxiv.org/abs/2108.07610: blots of any shape and strength).
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from models.detections import Float32, UInt8

_VISIBLE = 12.0  # of 255, by which the most different channel of a pixel must change to be part of a defect
_LEAST_PIXELS = 5
_TRIES = 8

Mask = npt.NDArray[np.bool_]


def spoil(picture: UInt8, other: UInt8, rng: np.random.Generator) -> tuple[UInt8, Mask]:
    """The picture (H, W, 3) with a drawn defect, made of pieces of `other` among else, and where it is, bool (H, W)."""
    for _ in range(_TRIES):
        spoiled = picture.astype(np.float32)
        for _ in range(int(rng.integers(1, 4))):
            shape = _SHAPES[rng.integers(len(_SHAPES))](picture.shape[0], picture.shape[1], rng)
            filling = _FILLINGS[rng.integers(len(_FILLINGS))](spoiled, other, rng)
            strength = shape[:, :, None] * np.float32(rng.uniform(0.35, 1.0))
            spoiled = spoiled + strength * (filling - spoiled)
        result = np.clip(np.rint(spoiled), 0, 255).astype(np.uint8)
        changed = cv2.absdiff(result, picture).max(axis=2) > _VISIBLE
        if changed.sum() >= _LEAST_PIXELS:
            return result, changed
    return _marked(picture, rng)


def spoil_all(pictures: UInt8, *, seed: int) -> UInt8:
    """A defect in each of the pictures (n, H, W, 3); the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    others = rng.permutation(len(pictures))
    return np.stack([spoil(picture, pictures[other], rng)[0] for picture, other in zip(pictures, others, strict=True)])


def _patch(height: int, width: int, rng: np.random.Generator) -> Float32:
    """A rectangle of 0.2 to 8 % of the picture, of any proportions and turned."""
    area = height * width * math.exp(rng.uniform(math.log(0.002), math.log(0.08)))
    proportion = math.exp(rng.uniform(-1.2, 1.2))
    return _turned(height, width, math.sqrt(area * proportion), math.sqrt(area / proportion), rng)


def _scar(height: int, width: int, rng: np.random.Generator) -> Float32:
    """A long thin rectangle, turned: a scratch."""
    side = min(height, width)
    return _turned(height, width, side * rng.uniform(0.12, 0.6), max(1.0, side * rng.uniform(0.008, 0.04)), rng)


def _turned(height: int, width: int, long: float, short: float, rng: np.random.Generator) -> Float32:
    centre = (float(rng.uniform(0, width)), float(rng.uniform(0, height)))
    corners = cv2.boxPoints((centre, (long, short), float(rng.uniform(0, 180))))
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(corners * 8).astype(np.int32)], 255, cv2.LINE_AA, shift=3)
    return np.asarray(mask / 255, np.float32)


def _scratch(height: int, width: int, rng: np.random.Generator) -> Float32:
    """A wandering line, one to three pixels thick."""
    steps = int(rng.integers(3, 9))
    stride = min(height, width) * rng.uniform(0.03, 0.12)
    headings = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.5, steps))
    start = rng.uniform((0, 0), (width, height))
    points = start + np.cumsum(np.stack((np.cos(headings), np.sin(headings)), axis=1) * stride, axis=0)
    mask = np.zeros((height, width), np.uint8)
    line = np.rint(points * 8).astype(np.int32)
    cv2.polylines(mask, [line], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA, shift=3)
    return np.asarray(mask / 255, np.float32)


def _blot(height: int, width: int, rng: np.random.Generator) -> Float32:
    """Blots of any shape in a part of the picture: smooth noise above a threshold, soft at its edges."""
    cells = int(rng.integers(4, 12))
    coarse = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    noise = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    reach = min(height, width) * rng.uniform(0.08, 0.25)
    row, column = rng.uniform(0, height), rng.uniform(0, width)
    rows, columns = np.mgrid[:height, :width]
    near = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * reach**2))
    height_of = (noise - noise.mean()) / (noise.std() + 1e-6) + 3 * near
    return np.asarray(np.clip((height_of * near - 1.0) * 4, 0, 1), np.float32)


def _piece(spoiled: Float32, other: UInt8, rng: np.random.Generator) -> Float32:
    """Another good picture, moved, turned and in another light."""
    height, width = spoiled.shape[:2]
    source = other if rng.random() < 0.5 else spoiled
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-45, 45), math.exp(rng.uniform(-0.5, 0.5)))
    away = np.zeros((2, 3))
    away[:, 2] = rng.uniform((-width / 2, -height / 2), (width / 2, height / 2))
    size = (width, height)
    moved = cv2.warpAffine(source.astype(np.float32), matrix + away, size, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved * rng.uniform(0.8, 1.2) + rng.normal(0, 20, 3), np.float32)


def _paint(spoiled: Float32, other: UInt8, rng: np.random.Generator) -> Float32:
    """One colour, with a little grain."""
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0, 255))
    return np.asarray(colour + rng.normal(0, rng.uniform(0, 20), spoiled.shape), np.float32)


def _light(spoiled: Float32, other: UInt8, rng: np.random.Generator) -> Float32:
    """The same place, darker, brighter or in another tint."""
    shift = rng.choice((-1, 1)) * rng.uniform(20, 90) * (1 if rng.random() < 0.5 else rng.uniform(0.2, 1, 3))
    return np.asarray(spoiled + shift, np.float32)


def _smear(spoiled: Float32, other: UInt8, rng: np.random.Generator) -> Float32:
    """The same place out of focus."""
    return np.asarray(cv2.GaussianBlur(spoiled, (0, 0), float(rng.uniform(1.5, 4))), np.float32)


_SHAPES = (_patch, _scar, _scratch, _blot)
_FILLINGS = (_piece, _piece, _paint, _light, _smear)


def _marked(picture: UInt8, rng: np.random.Generator) -> tuple[UInt8, Mask]:
    """A patch in a colour that its place does not have: on an even picture most else changes nothing."""
    mask = np.zeros(picture.shape[:2], np.bool_)
    height, width = picture.shape[0], picture.shape[1]
    side = max(3, min(height, width) // 8)
    row, column = (int(rng.integers(0, max(1, length - side))) for length in (height, width))
    mask[row : row + side, column : column + side] = True
    spoiled = picture.copy()
    spoiled[mask] = np.where(picture[mask].mean() > 127, 30, 225)
    return spoiled, mask
