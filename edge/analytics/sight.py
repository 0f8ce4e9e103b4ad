"""What rules are told of a frame."""

from dataclasses import dataclass

from edge.analytics.config import Anchor
from models.records import Event

Place = tuple[float, float]  # pixels


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was taken and who looked at it: its number, UTC microseconds, seconds on a clock that never jumps,
    the picture's (width, height), the model and its release. `whole`: the model judges the picture as a whole (a
    classifier), so that there is nothing to follow."""

    number: int
    captured_at_us: int
    steady_s: float
    size: tuple[int, int]
    model: str
    release: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Thing:
    """What was found at a place at a moment: its track (0 for none), its label, by the track's majority where there is
    one, score, and box xyxy in pixels. `sure`: its track was found often enough to be real."""

    track: int
    label: str
    score: float
    xyxy: tuple[float, float, float, float]
    sure: bool

    def anchor(self, which: Anchor) -> Place:
        """The point by which it is somewhere."""
        left, top, right, bottom = self.xyxy
        return (left + right) / 2, bottom if which == "foot" else (top + bottom) / 2


@dataclass(frozen=True, slots=True)
class Sight:
    """A frame's things, and the `ended` tracks that were given up by it. Events are of sure things alone."""

    camera: str
    moment: Moment
    things: tuple[Thing, ...]
    ended: tuple[int, ...] = ()


def tell(camera: str, moment: Moment, kind: str, rule: str, thing: Thing | None, *, value: float, alarm: bool) -> Event:
    """The event that a rule has seen happen to a thing, or to several (None)."""
    return Event(
        camera=camera,
        frame=moment.number,
        at_us=moment.captured_at_us,
        kind=kind,
        rule=rule,
        label=thing.label if thing else "",
        track=thing.track if thing else 0,
        value=value,
        alarm=alarm,
        score=thing.score if thing else 0.0,
        xyxy=thing.xyxy if thing else (0.0, 0.0, 0.0, 0.0),
        model=moment.model,
        release=moment.release,
    )
