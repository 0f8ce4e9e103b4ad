"""What a camera sees in the order in which it sees it, and how to count any stretch of it at once.

A film is an order of an album's pictures: things in runs, as on a belt, or the frames of a few videos by turns. Over
each film the rows of a tape are summed up from its beginning, so that a window of 300 frames is one subtraction.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.rollout_world.album import Album
from simulator.rollout_world.light import MOUNTS

LENGTH = 1800  # frames of a film, which then begins anew
LONGEST = 400  # frames of a window
FILMS = 10

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


def films(album: Album, seed: int = 0) -> Int64:
    """(FILMS, LENGTH) indices into what the album's gateways see."""
    make = _belt if album.task == "classification" else _cameras
    return np.stack([make(album.groups, np.random.default_rng((seed, number))) for number in range(FILMS)])


class Reel:
    """A tape over every film: `day` and `night` have a row for each view (views of album.py), and any columns."""

    def __init__(self, order: Int64, day: Int32, night: Int32, *, every: int = 1) -> None:
        """Only one frame in `every` is counted."""
        pictures = len(day) // len(MOUNTS)
        self._every = every
        self._films = len(order)
        looped = np.concatenate((order, order[:, :LONGEST]), axis=1)[:, ::every]
        views = np.arange(len(MOUNTS))[:, None, None] * pictures + looped[None]  # (mounts, films, frames)
        rows = np.stack((day[views], night[views]))  # (2, mounts, films, frames, columns)
        rows = rows.reshape(-1, *rows.shape[3:])
        self._sums = np.zeros((len(rows), rows.shape[1] + 1, rows.shape[2]), np.int32)
        np.cumsum(rows, axis=1, out=self._sums[:, 1:])

    def count(self, night: Bool, mount: Int64, film: Int64, start: Int64, frames: Int64) -> Int32:
        """The rows of `frames` consecutive frames from `start`, summed: a row for each of n windows."""
        which = (night * len(MOUNTS) + mount) * self._films + film
        # of frames 0, every, 2 every ... those in start <= frame < start + frames
        first, last = -(-start // self._every), -(-(start + frames) // self._every)
        return np.asarray(self._sums[which, last] - self._sums[which, first], np.int32)


def _belt(groups: Int64, rng: np.random.Generator) -> Int64:
    """Things come in runs of a class, each of them seen in a few frames."""
    classes = np.unique(groups)
    habit = rng.dirichlet(np.full(len(classes), 1.5))
    order: list[Any] = []
    while len(order) < LENGTH:
        members = np.flatnonzero(groups == rng.choice(classes, p=habit))
        for _ in range(int(rng.integers(2, 12))):
            order += [int(rng.choice(members))] * int(rng.integers(1, 6))
    return np.array(order[:LENGTH], np.int64)


def _cameras(groups: Int64, rng: np.random.Generator) -> Int64:
    """One to three videos by turns, each from a frame of its own on."""
    videos = rng.permutation(np.unique(groups))[: int(rng.integers(1, 4))]
    members = [np.flatnonzero(groups == video) for video in videos]
    starts = [int(rng.integers(len(mine))) for mine in members]
    order = np.empty(LENGTH, np.int64)
    for frame in range(LENGTH):
        camera = frame % len(videos)
        mine = members[camera]
        order[frame] = mine[(starts[camera] + frame // len(videos)) % len(mine)]
    return order
