"""Fitting a camera's picture into a model's input, and bringing boxes back."""

from dataclasses import dataclass

import cv2
import numpy as np

from models.detections import Float32, UInt8
from models.manifest import InputSpec

PAD = 114  # the grey that YOLO-family detectors were trained with

_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}


@dataclass(frozen=True, slots=True)
class Placement:
    """fitted = original * scale + offset, per axis (x, y); `size` is the original's (width, height)."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    size: tuple[int, int]

    def to_original(self, xyxy: Float32) -> Float32:
        """Boxes (n, 4) in pixels of the fitted picture -> pixels of the original, clipped to it."""
        width, height = self.size
        scale = np.array(self.scale * 2, np.float32)
        offset = np.array(self.offset * 2, np.float32)
        limit = np.array((width, height, width, height), np.float32)
        return np.asarray(np.clip((xyxy - offset) / scale, 0, limit), np.float32)


def place(size: tuple[int, int], spec: InputSpec) -> Placement:
    """Where a picture of `size` (width, height) lands inside the model's input."""
    width, height = size
    if spec.fit == "stretch":
        return Placement((spec.width / width, spec.height / height), (0.0, 0.0), size)
    ratios = (spec.width / width, spec.height / height)
    ratio = max(ratios) if spec.fit == "crop" else min(ratios)
    if spec.fit == "letterbox":
        return Placement((ratio, ratio), (0.0, 0.0), size)
    inner = _scaled(size, ratio)
    offset = ((spec.width - inner[0]) // 2, (spec.height - inner[1]) // 2)
    return Placement((ratio, ratio), (float(offset[0]), float(offset[1])), size)


def fit(image: UInt8, spec: InputSpec) -> tuple[UInt8, Placement]:
    """uint8 (H, W, 3) -> uint8 (spec.height, spec.width, 3), and where the picture went."""
    fitted = np.empty((spec.height, spec.width, 3), np.uint8)
    return fitted, fit_into(fitted, image, spec)


def fit_into(fitted: UInt8, image: UInt8, spec: InputSpec) -> Placement:
    """The same into an array that is there, uint8 (spec.height, spec.width, 3); all of it is written."""
    size = (image.shape[1], image.shape[0])
    placement = place(size, spec)
    interpolation = _INTERPOLATION[spec.interpolation]
    if spec.fit == "stretch":
        _resize(image, fitted, interpolation)
        return placement
    inner = _scaled(size, placement.scale[0])
    left, top = int(placement.offset[0]), int(placement.offset[1])
    if spec.fit == "crop":
        resized = np.empty((inner[1], inner[0], 3), np.uint8)
        _resize(image, resized, interpolation)
        # the offset is negative or zero: the picture hangs over the input's edges
        fitted[:] = resized[-top : spec.height - top, -left : spec.width - left]
        return placement
    inside = fitted[top : top + inner[1], left : left + inner[0]]
    if inside.shape != fitted.shape:
        fitted[:] = PAD
    _resize(image, inside, interpolation)
    return placement


def _scaled(size: tuple[int, int], ratio: float) -> tuple[int, int]:
    # int(), not round(): what YOLOX's own preprocessing does; max() keeps a 1-pixel side alive.
    # The epsilon stops 640 * (416 / 640) from truncating to 415.
    return max(1, int(size[0] * ratio + 1e-6)), max(1, int(size[1] * ratio + 1e-6))


def _resize(image: UInt8, into: UInt8, interpolation: int) -> None:
    if image.shape == into.shape:
        into[:] = image
    else:
        cv2.resize(image, (into.shape[1], into.shape[0]), dst=into, interpolation=interpolation)
