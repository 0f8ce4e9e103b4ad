"""A glance at a picture: small, grey and smooth, for whatever need not see details."""

import cv2
import numpy as np
from cv2.typing import MatLike

from models.detections import UInt8

SIZE = (80, 60)  # width, height: cells of 8 x 8 pixels at 480p


def glance(image: UInt8) -> UInt8:
    """A picture (H, W, 3) as grey cells (60, 80), each the mean of some of its pixels."""
    # grey first: a third of the bytes to shrink
    return _shrink(cv2.cvtColor(_rows(image), cv2.COLOR_BGR2GRAY))


def brightest(image: UInt8) -> UInt8:
    """The same cells (60, 80), each with the strongest of its colours: a blue lamp is bright, its grey is not."""
    return np.asarray(_shrink(_rows(image)).max(axis=2), np.uint8)


def _rows(image: UInt8) -> UInt8:
    # one of the picture for one of the glance: all of them would take four times as long and say the same
    return image[:: max(1, image.shape[0] // SIZE[1])]


def _shrink(image: MatLike) -> UInt8:
    return np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8)
