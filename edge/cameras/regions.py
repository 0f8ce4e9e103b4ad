"""Regions of interest: where in the picture detections count."""

import numpy as np
import numpy.typing as npt

from edge.polygons import Polygon, within
from models.detections import Detections


def counts(found: Detections, regions: tuple[Polygon, ...], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which detections count (n,), on a picture of `size` (width, height): those whose box has its middle in a region,
    and those about the whole picture, as a classifier's answer is. All do where there are no regions."""
    if not regions or not len(found):
        return np.ones(len(found), bool)
    middles = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / (2 * np.array(size))
    whole = (found.xyxy == (0, 0, *size)).all(axis=1)
    return np.asarray(np.logical_or.reduce([whole, *(within(region, middles) for region in regions)]))
