"""What makes a picture fit to leave the gateway.

Masks need nothing here: the camera paints them over before anything looks at a picture (edge/cameras/view.py). Blur
covers what the model found, and only that: where a face must never leave, mask the place, or send no pictures.
"""

from collections.abc import Collection

import cv2

from models.detections import Detections, UInt8

_CELLS = 6  # along a box's longer side, whatever its size: too few to know anybody or to read a plate by
_MARGIN = 0.1  # of a box's size, on each side: boxes are cut close


def conceal(image: UInt8, found: Detections, labels: tuple[str, ...], *, blur: Collection[str]) -> UInt8:
    """The picture (H, W, 3) with every detection of a class in `blur` made unrecognisable: a copy, if there is any.

    `labels` has one entry per detection; pass all detections, also those whose score is too low for anything else.
    Boxes are replaced by a few cells of their mean colours, which, unlike a soft blur, can't be undone.
    """
    boxes = [box for box, label in zip(found.xyxy.tolist(), labels, strict=True) if label in blur]
    if not boxes:
        return image
    concealed = image.copy()
    for box in boxes:
        _coarsen(concealed, box)
    return concealed


def _coarsen(image: UInt8, xyxy: list[float]) -> None:
    height, width = image.shape[:2]
    dx, dy = ((xyxy[2] - xyxy[0]) * _MARGIN + 1, (xyxy[3] - xyxy[1]) * _MARGIN + 1)
    left, top = max(0, int(xyxy[0] - dx)), max(0, int(xyxy[1] - dy))
    right, bottom = min(width, int(xyxy[2] + dx) + 1), min(height, int(xyxy[3] + dy) + 1)
    if left >= right or top >= bottom:
        return
    part = image[top:bottom, left:right]
    size = (right - left, bottom - top)
    scale = min(1.0, _CELLS / max(size))
    cells = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    coarse = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST)
