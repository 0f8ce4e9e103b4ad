"""Following things from frame to frame: ByteTrack (https://arxiv.org/abs/2110.06864), for any number of classes.

What scores high is paired with every known track first; what scores low may then continue a track that was in sight
just now. What is left is tried with larger boxes (as C-BIoU does, https://arxiv.org/abs/2211.14317), because a gateway
may look but a few times a second. What scores high and is left over then starts a new track.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.analytics.assignment import Cost, assign
from edge.analytics.config import TrackerConfig
from edge.analytics.motion import Motion
from models.detections import UNTRACKED, Detections, Int64
from models.overlap import Box, Float64, overlapping

# the largest cost of a pair, which is 1 - IoU and _OTHER_CLASS for a change of class: of one class a pair needs an IoU
# of 0.2, of two classes 0.5
_FAR = 0.8
_FAR_IF_NEW = 0.7  # for a track of one frame
_FAR_IF_LOW = 0.5  # with what scores low
_FAR_IF_GROWN = 0.7  # of boxes that are larger by _GROW of their size on each side
_GROW = 0.75
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
    to be real; `kinds`: the track's class by majority, without a track the detection's own. `ended`: tracks that are
    now given up."""

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
    """One camera's tracks. Their numbers count up from `after`, and are never used again."""

    def __init__(self, config: TrackerConfig, *, after: int = 0) -> None:
        self._start_score = config.start_score
        self._confirm = config.confirm
        self._lost_s = config.lost_s
        self._last_number = after
        self._motion = Motion()
        self._tracks: list[_Track] = []  # in the motion's order

    def follow(self, found: Detections, kinds: Sequence[int], *, frames: int, seconds: float) -> Followed:
        """Pair what was found in a frame with the tracks, `frames` and `seconds` after the frame before.

        `kinds` are the n classes, in numbers that outlast a model: two releases may sort their labels differently.
        """
        self._advance(frames, seconds)
        boxes, scores = found.xyxy.tolist(), found.scores.tolist()
        track_of: list[_Track | None] = [None] * len(found)
        rows, columns = self._pair(boxes, scores, kinds)
        for track in self._tracks:
            track.misses += 1
            track.unseen_s += min(seconds, _LOOK_S)
        if rows:
            self._motion.correct(rows, found.xyxy[columns])
            for row, column in zip(rows, columns, strict=True):
                track = track_of[column] = self._tracks[row]
                track.found(kinds[column], scores[column])
        ended = self._give_up() if len(rows) < len(self._tracks) else ()
        if len(columns) < len(found) and (new := self._start(boxes, scores, kinds, track_of)):
            self._motion.add(found.xyxy[new])
        return Followed(
            np.array([track.number if track else UNTRACKED for track in track_of], np.int64),
            tuple(track is not None and track.hits >= self._confirm for track in track_of),
            tuple(track.kind if track else kind for track, kind in zip(track_of, kinds, strict=True)),
            ended,
        )

    def believed(self) -> tuple[Float64, tuple[int, ...]]:
        """Where all tracks are believed to be, (tracks, 4) xyxy, also those that were not found, and their classes."""
        return self._motion.xyxy(), tuple(track.kind for track in self._tracks)

    def end(self) -> tuple[int, ...]:
        """Give up all tracks, for the camera was away."""
        ended = tuple(track.number for track in self._tracks)
        self._motion.keep([])
        self._tracks = []
        return ended

    def _advance(self, frames: int, seconds: float) -> None:
        if frames > _LONGEST_STEP[0] or seconds > _LONGEST_STEP[1]:
            self._motion.stand()
        elif self._tracks:
            self._motion.advance(frames, hidden=[row for row, track in enumerate(self._tracks) if track.misses])

    def _pair(self, boxes: Sequence[Box], scores: Sequence[float], kinds: Sequence[int]) -> tuple[list[int], list[int]]:
        """Rows of tracks, and the detections that continue them."""
        if not self._tracks or not boxes:
            return [], []
        believed = self._motion.xyxy().tolist()
        high = {column for column, score in enumerate(scores) if score >= self._start_score}
        low = set(range(len(boxes))) - high
        known: set[int] = set()
        new: set[int] = set()
        in_sight: set[int] = set()
        lately: set[int] = set()
        for row, track in enumerate(self._tracks):
            (known if track.hits > 1 else new).add(row)
            if track.misses < _FEWEST_LOOKS:
                lately.add(row)
                if not track.misses:
                    in_sight.add(row)
        pairs = _Pairs([], [])
        costs = self._costs(believed, boxes, kinds)
        pairs.add(costs, known, high, limit=_FAR)
        pairs.add(costs, new, high, limit=_FAR_IF_NEW)
        pairs.add(costs, in_sight, low, limit=_FAR_IF_LOW)
        if not lately <= set(pairs.rows) and not high <= set(pairs.columns):
            # what moves by more than its own size from look to look, or turns, overlaps nothing
            grown = self._costs([_grown(box) for box in believed], [_grown(box) for box in boxes], kinds)
            pairs.add(grown, lately, high, limit=_FAR_IF_GROWN)
        return pairs.rows, pairs.columns

    def _costs(self, believed: Sequence[Box], boxes: Sequence[Box], kinds: Sequence[int]) -> list[Cost]:
        """What it costs to continue a track, believed to be there, with a detection, where the two overlap."""
        own = [track.kind for track in self._tracks]
        return [
            (row, column, 1 - iou if own[row] == kinds[column] else 1 - iou + _OTHER_CLASS)
            for row, column, iou in overlapping(believed, boxes)
        ]

    def _give_up(self) -> tuple[int, ...]:
        kept, ended = [], []
        for row, track in enumerate(self._tracks):
            if track.misses and self._is_lost(track):
                ended.append(track.number)
            else:
                kept.append(row)
        if len(kept) < len(self._tracks):
            self._motion.keep(kept)
            self._tracks = [self._tracks[row] for row in kept]
        return tuple(ended)

    def _is_lost(self, track: _Track) -> bool:
        if track.hits < self._confirm:
            return track.misses >= _GLIMPSE_LOOKS
        return track.misses >= _MOST_LOOKS or (track.misses >= _FEWEST_LOOKS and track.unseen_s > self._lost_s)

    def _start(
        self, boxes: Sequence[Box], scores: Sequence[float], kinds: Sequence[int], track_of: list[_Track | None]
    ) -> list[int]:
        """Begin a track with what scores high, has none, and is not what has one by the name of another class; the rows
        of these detections."""
        high = [row for row, track in enumerate(track_of) if track is None and scores[row] >= self._start_score]
        if not high:
            return []
        same: dict[int, list[int]] = {}
        for place, other, iou in overlapping([boxes[row] for row in high], boxes):
            if iou > _SAME:
                same.setdefault(high[place], []).append(other)
        new = []
        for row in high:
            if not any(track_of[other] for other in same.get(row, ())):
                self._last_number += 1
                track = track_of[row] = _Track(self._last_number, kinds[row], scores[row])
                self._tracks.append(track)
                new.append(row)
        return new


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Tracks (by row) and the detections that continue them (by column), found in several rounds."""

    rows: list[int]
    columns: list[int]

    def add(self, costs: Sequence[Cost], rows: set[int], columns: set[int], *, limit: float) -> None:
        """Pair what is left of these rows and columns."""
        rows, columns = rows.difference(self.rows), columns.difference(self.columns)
        if not rows or not columns:
            return
        left = [pair for pair in costs if pair[0] in rows and pair[1] in columns]
        taken, by = assign(left, limit=limit)
        self.rows.extend(taken)
        self.columns.extend(by)


def _grown(box: Box) -> Box:
    left, top, right, bottom = box
    across, down = _GROW * (right - left), _GROW * (bottom - top)
    return left - across, top - down, right + across, bottom + down
