"""Where tracked boxes are and where they go: a constant-velocity Kalman filter for many boxes at once.

The filter of ByteTrack and BoT-SORT (https://arxiv.org/abs/2110.06864, https://arxiv.org/abs/2206.14651) over centre,
width and height. Its noise is independent in each of the four, so that its 8 x 8 covariance falls apart into four of
2 x 2 (place and speed), which need no matrix algebra. Time is counted in frames of the camera.
"""

import numpy as np
import numpy.typing as npt

from models.detections import Float32, Int64
from models.overlap import Float64

Bool = npt.NDArray[np.bool_]

# standard deviations as parts of a box's size, per frame; BoT-SORT's
_PLACE = 1 / 20
_SPEED = 1 / 160


class Motion:
    """n boxes in motion; the rows of every method are in the order in which boxes were added and kept."""

    def __init__(self) -> None:
        self._place = np.empty((0, 4))  # (n, 4) centre x, centre y, width, height; pixels
        self._speed = np.empty((0, 4))  # the same a frame
        # the covariance of a place and its speed: [[pp, pv], [pv, vv]]
        self._pp, self._pv, self._vv = (np.empty((0, 4)) for _ in range(3))

    def __len__(self) -> int:
        return len(self._place)

    def xyxy(self) -> Float64:
        """Where they are believed to be, (n, 4)."""
        half = self._place[:, 2:] / 2
        return np.concatenate((self._place[:, :2] - half, self._place[:, :2] + half), axis=1)

    def advance(self, frames: float, hidden: Bool) -> None:
        """Let time pass. `hidden` (n,): boxes that were not found last time keep their size."""
        self._speed[hidden, 2:] = 0
        size = self._size()
        self._place += frames * self._speed
        np.maximum(self._place[:, 2:], 1, out=self._place[:, 2:])
        self._pp += frames * (2 * self._pv + frames * self._vv) + frames * (_PLACE * size) ** 2
        self._pv += frames * self._vv
        self._vv += frames * (_SPEED * size) ** 2

    def correct(self, rows: Int64, found: Float32 | Float64) -> None:
        """Learn where the boxes of `rows` were found, xyxy (len(rows), 4)."""
        pp, pv = self._pp[rows], self._pv[rows]
        spread = pp + (_PLACE * self._size()[rows]) ** 2
        place_gain, speed_gain = pp / spread, pv / spread
        surprise = _to_place(found) - self._place[rows]
        self._place[rows] += place_gain * surprise
        self._speed[rows] += speed_gain * surprise
        self._vv[rows] -= speed_gain * pv
        self._pv[rows] = pv * (1 - place_gain)
        self._pp[rows] = pp * (1 - place_gain)

    def stand(self) -> None:
        """Forget all speeds: too long was not looked."""
        size = self._size()
        self._speed[:] = 0
        self._pp[:] = (2 * _PLACE * size) ** 2
        self._pv[:] = 0
        self._vv[:] = (10 * _SPEED * size) ** 2

    def add(self, found: Float32 | Float64) -> None:
        """New boxes, xyxy (k, 4), at rest."""
        place = _to_place(found)
        size = place[:, [2, 3, 2, 3]]
        zero = np.zeros_like(place)
        self._place = np.concatenate((self._place, place))
        self._speed = np.concatenate((self._speed, zero))
        self._pp = np.concatenate((self._pp, (2 * _PLACE * size) ** 2))
        self._pv = np.concatenate((self._pv, zero))
        self._vv = np.concatenate((self._vv, (10 * _SPEED * size) ** 2))

    def keep(self, mask: Bool) -> None:
        """Drop all boxes but those of the mask (n,)."""
        self._place, self._speed = self._place[mask], self._speed[mask]
        self._pp, self._pv, self._vv = self._pp[mask], self._pv[mask], self._vv[mask]

    def _size(self) -> Float64:
        return self._place[:, [2, 3, 2, 3]]  # (n, 4): what x, y, width and height are measured by


def _to_place(xyxy: Float32 | Float64) -> Float64:
    corners = xyxy.astype(np.float64)
    size = corners[:, 2:] - corners[:, :2]
    return np.concatenate((corners[:, :2] + size / 2, np.maximum(size, 1)), axis=1)
