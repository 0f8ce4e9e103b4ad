"""What a camera makes of a scene: by day as it is, at night with few photons, and from where it was mounted."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from models.detections import Float32, UInt8

_GAMMA = 2.2
_NIGHT_LIGHT = 0.10  # of the light by day
_FULL_WELL = 900.0  # photons that make white, on a small sensor
_READ_NOISE = 0.004  # of white
_NIGHT_GAIN = 2.0  # the camera turns it up, but not so far that night looks like day
_NIGHT_COLOUR = 0.55  # of the saturation
_NOISE = 1 << 22  # values to draw from; each picture begins somewhere else


@dataclass(frozen=True, slots=True)
class Mount:
    """How a camera hangs: moved by parts of the picture's sides, nearer by `zoom`, brighter by `exposure`."""

    right: float = 0.0
    down: float = 0.0
    zoom: float = 1.0
    exposure: float = 1.0


MOUNTS = (Mount(), Mount(0.03, -0.02, 1.05, 0.88), Mount(-0.03, 0.03, 0.98, 1.12))


def seen_from(picture: UInt8, mount: Mount) -> UInt8:
    """The picture, uint8 (H, W, 3), as a camera on this mount has it."""
    height, width = picture.shape[:2]
    right = (1 - mount.zoom) * width / 2 + mount.right * width
    down = (1 - mount.zoom) * height / 2 + mount.down * height
    move = np.array([[mount.zoom, 0, right], [0, mount.zoom, down]], np.float32)
    moved = cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.convertScaleAbs(moved, alpha=mount.exposure), np.uint8)


def at_night(picture: UInt8, seed: int) -> UInt8:
    """The same scene, uint8 (H, W, 3), with a part of the light: shot noise, read noise, gain, and paler colours."""
    light, shot = _tables()
    start = int(np.random.default_rng(seed).integers(_NOISE))
    noise = np.take(_noise(), np.arange(start, start + picture.size), mode="wrap").reshape(picture.shape)
    # many photons: a Poisson count is as good as normal
    linear = cv2.LUT(picture, light) + noise * cv2.LUT(picture, shot)
    shown = np.clip(linear * (_NIGHT_GAIN * 4095), 0, 4095).astype(np.uint16)
    toned = _toned()[shown]
    grey = toned.mean(axis=2, keepdims=True, dtype=np.float32)
    return np.asarray(np.clip(grey + (toned - grey) * _NIGHT_COLOUR, 0, 255), np.uint8)


@cache
def _tables() -> tuple[Float32, Float32]:
    light = ((np.arange(256) / 255) ** _GAMMA * _NIGHT_LIGHT).astype(np.float32)
    return light, np.sqrt(light / _FULL_WELL + _READ_NOISE**2).astype(np.float32)


@cache
def _noise() -> Float32:
    return np.random.default_rng(0).standard_normal(_NOISE, np.float32)


@cache
def _toned() -> Float32:
    return ((np.arange(4096) / 4095) ** (1 / _GAMMA) * 255).astype(np.float32)
