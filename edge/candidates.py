"""Pictures on which the running model and its challenger differ: what is worth a label."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from edge.analytics.analytics import Moment
from edge.pictures import PART_BYTES, jpeg_of, new_picture_id, parts_of
from edge.privacy import conceal
from models.agreement import Sight
from models.both_answers import Answer, BothAnswers, Found, with_answers
from models.detections import UInt8
from models.records import PicturePart

_DAY_S = 86_400
_SAVED = 24  # an hour's share can be saved up
_QUALITY = 90  # whoever learns from it should not learn JPEG
_LONGEST_PX = 1280


@dataclass(frozen=True, slots=True, eq=False)
class Disagreement:
    """A frame on which the two differ: a candidate for training. `looked_on` is the model and release that saw
    `theirs`; `doubt` is the highest score without a match."""

    camera: str
    moment: Moment
    image: UInt8
    ours: Sight
    theirs: Sight
    looked_on: tuple[str, int]
    followed: Sight
    doubt: float

    @property
    def both(self) -> BothAnswers:
        """What the two said."""
        ours = _answer(self.ours, self.moment.model, self.moment.release)
        return BothAnswers(self.moment.size, ours, _answer(self.theirs, *self.looked_on))


class Candidates:
    """At most `daily` pictures a day, evenly; the classes in `blur`, by camera, are made unrecognisable on them."""

    def __init__(
        self,
        daily: int,
        *,
        blur: Mapping[str, tuple[str, ...]],
        part_bytes: int = PART_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._daily = daily
        self._blur = blur
        self._part_bytes = part_bytes
        self._clock = clock
        self._most = max(1.0, daily / _SAVED)
        self._saved, self._saved_at = self._most, clock()

    def may_leave(self, camera: str, known: Collection[str]) -> bool:
        """Whether one of the two knows each class that must be blurred on this camera's pictures."""
        return all(label in known for label in self._blur.get(camera, ()))

    def picture(self, one: Disagreement) -> list[PicturePart]:
        """The frame's picture with both answers in it, in parts, or nothing where today's are used up."""
        now = self._clock()
        self._saved = min(self._most, self._saved + (now - self._saved_at) * self._daily / _DAY_S)
        self._saved_at = now
        if not self._daily or self._saved < 1:
            return []
        self._saved -= 1
        image = one.image
        for sight in (one.ours, one.theirs, one.followed):  # what one of them, or both, overlooked too
            image = conceal(image, sight.found, sight.labels, blur=self._blur.get(one.camera, ()))
        height, width = image.shape[:2]
        jpeg, xyxy = jpeg_of(image, (0.0, 0.0, float(width), float(height)), quality=_QUALITY, longest_px=_LONGEST_PX)
        return parts_of(
            with_answers(jpeg, one.both),
            picture=new_picture_id(),
            camera=one.camera,
            frame=one.moment.number,
            at_us=one.moment.captured_at_us,
            kind="disagreement",
            xyxy=xyxy,
            part_bytes=self._part_bytes,
        )


def _answer(sight: Sight, model: str, release: int) -> Answer:
    rows = zip(sight.labels, sight.found.scores.tolist(), sight.found.xyxy.tolist(), strict=True)
    found = tuple(Found(label, score, tuple(xyxy)) for label, score, xyxy in rows)
    return Answer(model, release, found)
