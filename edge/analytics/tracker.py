"""Following things from frame to frame: ByteTrack (https://arxiv.org/abs/2110.06864), for any number of classes.

What scores high is paired with every known track first; what scores low may then continue a track that was in sight
just now. What scores high and is left over starts a new track.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.analytics.assignment import assign
from edge.analytics.config import TrackerConfig
from edge.analytics.motion import Bool, Motion
from models.detections import UNTRACKED, Detections, Float32, Int64
from models.overlap import overlaps

# the largest cost of a pair, which is 1 - IoU and _OTHER_CLASS for a change of class: of one class a pair needs an IoU
# of 0.2, of two classes 0.5
_FAR = 0.8
_FAR_IF_NEW = 0.7  # for a track of one frame
_FAR_IF_LOW = 0.5  # with what scores low
_OTHER_CLASS = 0.3
_LONGEST_STEP = (60, 2.0)  # frames and seconds; after more nobody knows how fast anything is
_FEWEST_LOOKS, _MOST_LOOKS = 3, 30  # in vain, before a track is given up
_GLIMPSE_LOOKS = 2  # the same for a track that is not sure yet
_LOOK_S = 1.0  # what a look in vain counts at most: while a still scene is skipped, nothing is lost
_SETTLED = 20.0  # scores; a class that gathered more is not the harder to change


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """A frame's n detections by track. `tracks` int64 (n,), 0 for none; `sure` (n,): of a track that was found often
    enough to be real; `kinds` int64 (n,): the track's class by majority, without a track the detection's own. `ended`:
    sure tracks that are now given up."""

    tracks: Int64
    sure: Bool
    kinds: Int64
    ended: tuple[int, ...] = ()


class Tracker:
    """One camera's tracks. Their numbers count from 1 and are never used again."""

    def __init__(self, config: TrackerConfig) -> None:
        self._start_score = config.start_score
        self._confirm = config.confirm
        self._lost_s = config.lost_s
        self._last_number = 0
        self._motion = Motion()
        # by track, in the motion's order
        self._number: Int64 = np.empty(0, np.int64)
        self._kind: Int64 = np.empty(0, np.int64)
        self._lead: npt.NDArray[np.float64] = np.empty(0)  # scores by which its class leads over all others together
        self._hits: Int64 = np.empty(0, np.int64)
        self._misses: Int64 = np.empty(0, np.int64)  # looks in vain since it was found last
        self._unseen_s: npt.NDArray[np.float64] = np.empty(0)

    def follow(self, found: Detections, kinds: Int64, *, frames: int, seconds: float) -> Followed:
        """Pair what was found in a frame with the tracks, `frames` and `seconds` after the frame before.

        `kinds` int64 (n,) are the classes, in numbers that outlast a model: two releases may sort their labels
        differently.
        """
        self._advance(frames, seconds)
        row_of = self._pair(found, kinds)  # (n,) -1 where there is no track
        self._misses += 1
        self._unseen_s += min(seconds, _LOOK_S)
        paired = np.flatnonzero(row_of >= 0)
        rows = row_of[paired]
        tracks = np.full(len(found), UNTRACKED, np.int64)
        sure = np.zeros(len(found), np.bool_)
        by_majority = kinds.copy()
        if len(rows):
            self._continue(rows, found.xyxy[paired], found.scores[paired], kinds[paired])
            tracks[paired] = self._number[rows]
            sure[paired] = self._hits[rows] >= self._confirm
            by_majority[paired] = self._kind[rows]
        ended = self._give_up() if len(rows) < len(self._number) else ()
        if len(rows) < len(found):
            new = np.flatnonzero((row_of < 0) & (found.scores >= self._start_score))
            tracks[new] = self._start(found.xyxy[new], found.scores[new], kinds[new])
            sure[new] = self._confirm == 1
        return Followed(tracks, sure, by_majority, ended)

    def end(self) -> tuple[int, ...]:
        """Give up all tracks, for the camera was away; the sure ones."""
        ended = self._number[self._hits >= self._confirm]
        self._keep(np.zeros(len(self._number), np.bool_))
        return tuple(ended.tolist())

    def _advance(self, frames: int, seconds: float) -> None:
        if frames > _LONGEST_STEP[0] or seconds > _LONGEST_STEP[1]:
            self._motion.stand()
        elif len(self._motion):
            self._motion.advance(frames, hidden=self._misses > 0)

    def _pair(self, found: Detections, kinds: Int64) -> Int64:
        row_of = np.full(len(found), -1, np.int64)
        if not len(found) or not len(self._number):
            return row_of
        cost = 1 - overlaps(self._motion.xyxy(), found.xyxy)  # (tracks, n)
        cost += _OTHER_CLASS * (self._kind[:, None] != kinds)
        high = found.scores >= self._start_score
        known = self._hits > 1
        rounds = (
            (known, high, _FAR),
            (~known, high, _FAR_IF_NEW),
            (self._misses == 0, ~high, _FAR_IF_LOW),
        )
        free = np.ones(len(cost), np.bool_)
        for tracks, detections, limit in rounds:
            rows = np.flatnonzero(tracks & free)
            columns = np.flatnonzero(detections & (row_of < 0))
            if len(rows) and len(columns):
                taken, by = assign(cost[rows[:, None], columns], limit=limit)
                row_of[columns[by]] = rows[taken]
                free[rows[taken]] = False
        return row_of

    def _continue(self, rows: Int64, xyxy: Float32, scores: Float32, kinds: Int64) -> None:
        self._motion.correct(rows, xyxy)
        self._hits[rows] += 1
        self._misses[rows] = 0
        self._unseen_s[rows] = 0
        # the majority vote of Boyer and Moore, weighted by score
        own = self._kind[rows]
        lead = self._lead[rows] + np.where(own == kinds, scores, -scores)
        self._kind[rows] = np.where(lead < 0, kinds, own)
        self._lead[rows] = np.minimum(np.abs(lead), _SETTLED)

    def _give_up(self) -> tuple[int, ...]:
        sure = self._hits >= self._confirm
        lost = (self._unseen_s > self._lost_s) & (self._misses >= _FEWEST_LOOKS) | (self._misses >= _MOST_LOOKS)
        lost |= ~sure & (self._misses >= _GLIMPSE_LOOKS)
        if not np.count_nonzero(lost):
            return ()
        ended = self._number[lost & sure]
        self._keep(~lost)
        return tuple(ended.tolist())

    def _keep(self, mask: Bool) -> None:
        self._motion.keep(mask)
        self._number, self._kind, self._lead = self._number[mask], self._kind[mask], self._lead[mask]
        self._hits, self._misses, self._unseen_s = self._hits[mask], self._misses[mask], self._unseen_s[mask]

    def _start(self, xyxy: Float32, scores: Float32, kinds: Int64) -> Int64:
        count = len(kinds)
        numbers = np.arange(self._last_number + 1, self._last_number + 1 + count)
        if not count:
            return numbers
        self._last_number += count
        self._motion.add(xyxy)
        self._number = np.concatenate((self._number, numbers))
        self._kind = np.concatenate((self._kind, kinds))
        self._lead = np.concatenate((self._lead, scores.astype(np.float64)))
        self._hits = np.concatenate((self._hits, np.ones(count, np.int64)))
        self._misses = np.concatenate((self._misses, np.zeros(count, np.int64)))
        self._unseen_s = np.concatenate((self._unseen_s, np.zeros(count)))
        return numbers
