"""A window is one subtraction, and yet the sum of its frames."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.rollout_world.films import FILMS, LENGTH, LONGEST, Reel, films
from simulator.rollout_world.light import MOUNTS
from tests.simulator.rollout_world.tiny import album

ALBUM = album()
ORDER = films(ALBUM)
VIEWS = len(MOUNTS) * len(ALBUM.seen)
RNG = np.random.default_rng(4)
DAY, NIGHT = RNG.integers(9, size=(2, VIEWS, 4)).astype(np.int32)
REELS = {every: Reel(ORDER, DAY, NIGHT, every=every) for every in (1, 5)}


@given(
    night=st.booleans(),
    mount=st.integers(0, len(MOUNTS) - 1),
    film=st.integers(0, FILMS - 1),
    start=st.integers(0, LENGTH - 1),
    frames=st.integers(0, LONGEST),
    every=st.sampled_from(sorted(REELS)),
)
def test_a_stretch_counts_what_its_frames_count(
    night: bool, mount: int, film: int, start: int, frames: int, every: int
) -> None:
    table = NIGHT if night else DAY
    shown = [at for at in range(start, start + frames) if at % every == 0]
    views = [mount * len(ALBUM.seen) + ORDER[film, at % LENGTH] for at in shown]
    counted = REELS[every].count(*(np.array([value]) for value in (night, mount, film, start, frames)))
    assert counted[0].tolist() == table[views].sum(axis=0).tolist()


def test_things_come_in_runs_of_a_class() -> None:
    classes = ALBUM.groups[ORDER]
    changes = (np.diff(classes, axis=1) != 0).mean()
    assert 0.01 < changes < 0.25
