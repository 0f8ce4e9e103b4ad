"""A glance at a picture: small, grey and smooth, for whatever need not see details."""

import cv2
import numpy as np

from models.detections import UInt8

SIZE = (80, 60)  # width, height: cells of 8 x 8 pixels at 480p
_ROWS = 2  # of the picture for one of the glance; all of them would take six times as long and say the same


def glance(image: UInt8) -> UInt8:
    """A picture (H, W, 3) as grey cells (60, 80), each the mean of a part of its pixels."""
    rows = image[:: max(1, image.shape[0] // (SIZE[1] * _ROWS))]
    return np.asarray(cv2.resize(cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY), SIZE, interpolation=cv2.INTER_AREA), np.uint8)
