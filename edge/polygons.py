"""Areas of a picture, as polygons whose points are parts of it: (0, 0) is its top left, (1, 1) its bottom right."""

import cv2
import numpy as np
import numpy.typing as npt

from models.detections import UInt8

Polygon = tuple[tuple[float, float], ...]


def check_polygon(polygon: Polygon, *, what: str) -> None:
    """ValueError, with `what` in it, for anything but three or more points (x, y) in 0..1 that enclose something."""
    if len(polygon) < 3:
        raise ValueError(f"{what} must have at least 3 points, got {len(polygon)}")
    for point in polygon:
        if len(point) != 2 or not all(0 <= part <= 1 for part in point):
            raise ValueError(f"{what} must have points [x, y] in parts of the picture, 0..1, got {list(point)}")
    x, y = np.array(polygon, np.float64).T
    if abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) < 2e-6:  # twice the area
        raise ValueError(f"{what} must enclose an area, its points lie on a line")


def corners(polygon: Polygon, size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Its points in pixels of a picture of `size` (width, height), (n, 2)."""
    return np.rint(np.array(polygon) * size).astype(np.int32)


def cover(polygons: tuple[Polygon, ...], size: tuple[int, int]) -> UInt8:
    """A mask (height, width) that is 255 within any of them and 0 elsewhere."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [corners(polygon, size)], 255)
    return mask


def within(polygon: Polygon, points: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which of the points (n, 2), in parts of the picture, lie inside: an odd number of its sides is to their right."""
    x, y = points[:, :1], points[:, 1:]  # (n, 1)
    ends = np.array(polygon, np.float64)
    (x0, y0), (x1, y1) = ends.T, np.roll(ends, -1, axis=0).T  # (sides,)
    spans = (y0 > y) != (y1 > y)  # (n, sides)
    with np.errstate(divide="ignore", invalid="ignore"):  # level sides span nothing
        crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return np.asarray((spans & (x < crossing)).sum(axis=1) % 2 == 1)
