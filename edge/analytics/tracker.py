"""Following things from frame to frame: ByteTrack (https://arxiv.org/abs/2110.06864), for any number of classes.

What scores high is paired with every known track first; what scores low may then continue a track that was in sight
just now. What scores high and is left over starts a new track.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.analytics.assignment import assign
from edge.analytics.config import TrackerConfig
from edge.analytics.motion import Motion
from models.detections import UNTRACKED, Detections, Int64
from models.overlap import Float64, overlaps

# the largest cost of a pair, which is 1 - IoU and _OTHER_CLASS for a change of class: of one class a pair needs an IoU
# of 0.2, of two classes 0.5
_FAR = 0.8
_FAR_IF_NEW = 0.7  # for a track of one frame
_FAR_IF_LOW = 0.5  # with what scores low
_OTHER_CLASS = 0.3
_SAME = 0.8  # IoU; a detector that suppresses by class says a thing twice where it wavers between two
_LONGEST_STEP = (60, 2.0)  # frames and seconds; after more nobody knows how fast anything is
_FEWEST_LOOKS, _MOST_LOOKS = 3, 30  # in vain, before a track is given up
_GLIMPSE_LOOKS = 2  # the same for a track that is not sure yet
_LOOK_S = 1.0  # what a look in vain counts at most: while a still scene is skipped, nothing is lost
_SETTLED = 20.0  # scores; a class that gathered more is not the harder to change


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A frame's n detections by track. `tracks` int64 (n,), 0 for none; `sure`: of a track that was found often enough
    to be real; `kinds`: the track's class by majority, without a track the detection's own. `ended`: sure tracks that
    are now given up."""

    tracks: Int64
    sure: tuple[bool, ...]
    kinds: tuple[int, ...]
    ended: tuple[int, ...] = ()


@dataclass(slots=True)
class _Track:
    """`lead`: the scores by which its class leads over all others together. `misses`: looks in vain since it was found
    last, and the seconds that they count."""

    number: int
    kind: int
    lead: float
    hits: int = 1
    misses: int = 0
    unseen_s: float = 0.0

    def found(self, kind: int, score: float) -> None:
        self.hits += 1
        self.misses = 0
        self.unseen_s = 0.0
        # the majority vote of Boyer and Moore, weighted by score
        self.lead += score if kind == self.kind else -score
        if self.lead < 0:
            self.kind, self.lead = kind, -self.lead
        self.lead = min(self.lead, _SETTLED)


class Tracker:
    """One camera's tracks. Their numbers count from 1 and are never used again."""

    def __init__(self, config: TrackerConfig) -> None:
        self._start_score = config.start_score
        self._confirm = config.confirm
        self._lost_s = config.lost_s
        self._last_number = 0
        self._motion = Motion()
        self._tracks: list[_Track] = []  # in the motion's order

    def follow(self, found: Detections, kinds: Sequence[int], *, frames: int, seconds: float) -> Followed:
        """Pair what was found in a frame with the tracks, `frames` and `seconds` after the frame before.

        `kinds` are the n classes, in numbers that outlast a model: two releases may sort their labels differently.
        """
        self._advance(frames, seconds)
        track_of: list[_Track | None] = [None] * len(found)
        rows, columns = self._pair(found, kinds)
        for track in self._tracks:
            track.misses += 1
            track.unseen_s += min(seconds, _LOOK_S)
        if rows:
            self._motion.correct(rows, found.xyxy[columns])
            scores = found.scores.tolist()
            for row, column in zip(rows, columns, strict=True):
                track = track_of[column] = self._tracks[row]
                track.found(kinds[column], scores[column])
        ended = self._give_up() if len(rows) < len(self._tracks) else ()
        if len(columns) < len(found):
            self._start(found, kinds, track_of)
        return Followed(
            np.array([track.number if track else UNTRACKED for track in track_of], np.int64),
            tuple(track is not None and track.hits >= self._confirm for track in track_of),
            tuple(track.kind if track else kind for track, kind in zip(track_of, kinds, strict=True)),
            ended,
        )

    def end(self) -> tuple[int, ...]:
        """Give up all tracks, for the camera was away; the sure ones."""
        ended = tuple(track.number for track in self._tracks if track.hits >= self._confirm)
        self._motion.keep([])
        self._tracks = []
        return ended

    def _advance(self, frames: int, seconds: float) -> None:
        if frames > _LONGEST_STEP[0] or seconds > _LONGEST_STEP[1]:
            self._motion.stand()
        elif self._tracks:
            self._motion.advance(frames, hidden=[row for row, track in enumerate(self._tracks) if track.misses])

    def _pair(self, found: Detections, kinds: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows of tracks, and the detections that continue them."""
        if not self._tracks or not len(found):
            return [], []
        cost = self._cost(found, kinds)
        high = (found.scores >= self._start_score).tolist()
        tracks = list(enumerate(self._tracks))
        rounds = (
            ([row for row, track in tracks if track.hits > 1], True, _FAR),
            ([row for row, track in tracks if track.hits == 1], True, _FAR_IF_NEW),
            ([row for row, track in tracks if not track.misses], False, _FAR_IF_LOW),
        )
        rows: list[int] = []
        columns: list[int] = []
        for candidates, is_high, limit in rounds:
            theirs = [row for row in candidates if row not in rows]
            ours = [column for column, it_is in enumerate(high) if it_is is is_high and column not in columns]
            if theirs and ours:
                taken, by = assign(_part(cost, theirs, ours), limit=limit)
                rows += [theirs[place] for place in taken]
                columns += [ours[place] for place in by]
        return rows, columns

    def _cost(self, found: Detections, kinds: Sequence[int]) -> Float64:
        """What it costs to continue each track with each detection, (tracks, n)."""
        cost = 1 - overlaps(self._motion.xyxy(), found.xyxy)
        own = [track.kind for track in self._tracks]
        if len({*own, *kinds}) > 1:
            cost += _OTHER_CLASS * (np.array(own)[:, None] != np.array(kinds))
        return cost

    def _give_up(self) -> tuple[int, ...]:
        kept, ended = [], []
        for row, track in enumerate(self._tracks):
            sure = track.hits >= self._confirm
            if not (track.misses and self._is_lost(track, sure=sure)):
                kept.append(row)
            elif sure:
                ended.append(track.number)
        if len(kept) < len(self._tracks):
            self._motion.keep(kept)
            self._tracks = [self._tracks[row] for row in kept]
        return tuple(ended)

    def _is_lost(self, track: _Track, *, sure: bool) -> bool:
        if not sure:
            return track.misses >= _GLIMPSE_LOOKS
        return track.misses >= _MOST_LOOKS or (track.misses >= _FEWEST_LOOKS and track.unseen_s > self._lost_s)

    def _start(self, found: Detections, kinds: Sequence[int], track_of: list[_Track | None]) -> None:
        """Begin a track with what scores high, has none, and is not what has one by the name of another class."""
        scores = found.scores.tolist()
        high = [row for row, track in enumerate(track_of) if track is None and scores[row] >= self._start_score]
        if not high:
            return
        same = (overlaps(found.xyxy[high], found.xyxy) > _SAME).tolist()
        new = []
        for row, others in zip(high, same, strict=True):
            if not any(is_same and track for is_same, track in zip(others, track_of, strict=True)):
                self._last_number += 1
                track_of[row] = _Track(self._last_number, kinds[row], scores[row])
                new.append(row)
        self._tracks += [track for row in new if (track := track_of[row])]
        self._motion.add(found.xyxy[new])


def _part(cost: Float64, rows: list[int], columns: list[int]) -> Float64:
    if (len(rows), len(columns)) == cost.shape:
        return cost  # nearly always
    return cost[np.array(rows)[:, None], columns]
