"""Counting frames from end to end, by numbers that left the camera in the pixels and by what the witness saw."""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from simulator.witness import RecordedFrame


@dataclass(frozen=True, slots=True)
class LakeFrame:
    """A row of the lake's table `frames`."""

    stream: str
    seq: int
    camera: str
    frame: int
    release: int


@dataclass(frozen=True, slots=True)
class Count:
    """What became of the frames that one gateway's camera showed.

    `lost`: recorded, but not in the lake. `twice`: rows in the lake beyond one, by (stream, seq) or by frame number.
    `unknown`: in the lake, but never recorded. `down`: not recorded because the process was down, with the tail of at
    most 1 s that a kill takes along. `skipped`: shown while it ran, and not recorded.
    """

    gateway: str
    shown: int
    recorded: int
    in_lake: int
    lost: int
    twice: int
    unknown: int
    down: int
    skipped: int


def count_frames(
    gateway: str, *, shown: Collection[int], recorded: Sequence[RecordedFrame], lake: Sequence[LakeFrame], kills: int
) -> Count:
    """The count for one gateway with one camera. `shown` are the numbers of the frames that its camera showed from
    the first recorded one on; the `kills` widest gaps between recorded numbers are where its process was down."""
    known = {(row.stream, row.seq) for row in recorded}
    landed = Counter((row.stream, row.seq) for row in lake)
    numbers = Counter((row.camera, row.frame) for row in lake)
    down = _widest_gaps(sorted({row.frame for row in recorded}), kills)
    missing = set(shown) - {row.frame for row in recorded}
    while_down = {number for number in missing if any(first < number < last for first, last in down)}
    return Count(
        gateway=gateway,
        shown=len(shown),
        recorded=len(known),
        in_lake=len(landed),
        lost=len(known - landed.keys()),
        twice=max(_repeats(landed.values()), _repeats(numbers.values())),
        unknown=len(landed.keys() - known),
        down=len(while_down),
        skipped=len(missing - while_down),
    )


def lost_at_swaps(lake: Iterable[LakeFrame]) -> list[int]:
    """For each change of release in the order of frame numbers of one camera: how many numbers are missing between
    the last frame of the old and the first of the new."""
    rows = sorted(lake, key=lambda row: row.frame)
    return [
        after.frame - before.frame - 1 for before, after in itertools.pairwise(rows) if after.release != before.release
    ]


def releases_in_order(lake: Iterable[LakeFrame]) -> list[int]:
    """The releases that answered one camera's frames, in the order of frame numbers, each change once."""
    rows = sorted(lake, key=lambda row: row.frame)
    return [release for release, _ in itertools.groupby(row.release for row in rows)]


def _repeats(counts: Iterable[int]) -> int:
    return sum(count - 1 for count in counts)


def _widest_gaps(numbers: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    gaps = sorted(itertools.pairwise(numbers), key=lambda gap: gap[0] - gap[1])
    return gaps[:wanted]
