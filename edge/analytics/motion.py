"""Where tracked boxes are and where they go: a constant-velocity Kalman filter for many boxes at once.

The filter of ByteTrack and BoT-SORT (https://arxiv.org/abs/2110.06864, https://arxiv.org/abs/2206.14651) over centre,
width and height, whose noise is a part of the box's size and independent in each of the four. Measured by that size,
the covariance of place and speed is the same in all four: three numbers a box are left of an 8 x 8 matrix. Time is
counted in frames of the camera.
"""

import functools

import numpy as np

from models.detections import Float32
from models.overlap import Float64

# variances as parts of a box's size squared; BoT-SORT's, per frame
_PLACE = (1 / 20) ** 2
_SPEED = (1 / 160) ** 2
_AT_FIRST = (4 * _PLACE, 0.0, 100 * _SPEED)


class Motion:
    """n boxes in motion; the rows of every method are in the order in which boxes were added and kept."""

    def __init__(self) -> None:
        # place (centre x, centre y, width, height; pixels), and its change a frame
        self._state = np.empty((2, 4, 0))
        # variance of the place, covariance of place and speed, variance of the speed
        self._spread = np.empty((3, 0))

    def __len__(self) -> int:
        return self._spread.shape[1]

    def xyxy(self) -> Float64:
        """Where they are believed to be, (n, 4)."""
        centre, size = self._state[0, :2], self._state[0, 2:]
        half = size / 2
        return np.concatenate((centre - half, centre + half)).T

    def advance(self, frames: float, *, hidden: list[int]) -> None:
        """Let time pass. The boxes of rows `hidden`, which were not found last time, keep their size."""
        place, speed = self._state
        if hidden:
            speed[2:, hidden] = 0
        place += frames * speed
        np.maximum(place[2:], 1, out=place[2:])
        self._spread = _passing(frames) @ self._spread
        self._spread[0] += frames * _PLACE
        self._spread[2] += frames * _SPEED

    def correct(self, rows: list[int], found: Float32 | Float64) -> None:
        """Learn where the boxes of `rows` were found, xyxy (len(rows), 4)."""
        spread = self._spread[:, rows]
        gain = spread[:2] / (spread[0] + _PLACE)  # (2, k)
        state = self._state[:, :, rows]
        state += gain[:, None] * (_to_place(found) - state[0])
        self._state[:, :, rows] = state
        spread[2] -= gain[1] * spread[1]
        spread[:2] -= gain[0] * spread[:2]
        self._spread[:, rows] = spread

    def stand(self) -> None:
        """Forget all speeds: too long was not looked."""
        self._state[1] = 0
        self._spread.T[:] = _AT_FIRST

    def add(self, found: Float32 | Float64) -> None:
        """New boxes, xyxy (k, 4), at rest."""
        place = _to_place(found)
        self._state = np.concatenate((self._state, np.stack((place, np.zeros_like(place)))), axis=2)
        self._spread = np.concatenate((self._spread, np.tile(_AT_FIRST, (len(found), 1)).T), axis=1)

    def keep(self, rows: list[int]) -> None:
        """Drop all boxes but those of these rows."""
        self._state, self._spread = self._state[:, :, rows], self._spread[:, rows]


@functools.lru_cache(maxsize=64)  # nearly always one frame
def _passing(frames: float) -> Float64:
    return np.array([[1.0, 2 * frames, frames * frames], [0.0, 1.0, frames], [0.0, 0.0, 1.0]])


def _to_place(xyxy: Float32 | Float64) -> Float64:
    place = xyxy.T.astype(np.float64)  # (4, k)
    place[2:] -= place[:2]
    np.maximum(place[2:], 1, out=place[2:])
    place[:2] += place[2:] / 2
    return place
