"""The part of a camera's picture that is looked at: turned, cut, and without what is masked."""

import cv2
import numpy as np
import numpy.typing as npt

from edge.polygons import Polygon, corners
from models.detections import UInt8
from models.fitting import PAD

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class View:
    """`turn`, then `cut`; arguments as in CameraConfig."""

    def __init__(
        self, *, rotate: int = 0, crop: tuple[float, ...] | None = None, masks: tuple[Polygon, ...] = ()
    ) -> None:
        self._turn = _TURNS.get(rotate)
        self._crop = crop
        self._masks = masks
        self._painted: dict[tuple[int, int], list[npt.NDArray[np.int32]]] = {}

    @property
    def turns(self) -> bool:
        """Whether `turn` needs a second buffer."""
        return self._turn is not None

    def turn(self, image: UInt8, into: UInt8 | None) -> UInt8:
        """The picture upright: in `into` where that has its shape, else in a new array."""
        assert self._turn is not None, "it need not be turned"
        return np.asarray(cv2.rotate(image, self._turn, into), np.uint8)

    def cut(self, image: UInt8) -> UInt8:
        """The part of an upright picture that is looked at, within the same buffer, masks painted over."""
        if self._crop is not None:
            image = _cut(image, self._crop)
        if self._masks:
            size = (image.shape[1], image.shape[0])
            if size not in self._painted:
                self._painted = {size: [corners(mask, size) for mask in self._masks]}
            # the grey of the margins that detectors are used to: black would have edges
            for outline in self._painted[size]:
                cv2.fillPoly(image, [outline], (PAD, PAD, PAD))
        return image


def _cut(image: UInt8, crop: tuple[float, ...]) -> UInt8:
    height, width = image.shape[:2]
    left, right = round(crop[0] * width), round(crop[2] * width)
    top, bottom = round(crop[1] * height), round(crop[3] * height)
    # at least a pixel is left of the smallest picture
    left, top = min(left, width - 1), min(top, height - 1)
    return image[top : max(bottom, top + 1), left : max(right, left + 1)]
