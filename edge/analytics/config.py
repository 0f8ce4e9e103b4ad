"""What is made of a camera's detections: every value with its unit, its default and its range.

Places are parts of the picture, from (0, 0), its top left corner, to (1, 1): they outlast a change of resolution.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from edge.polygons import Polygon, check_polygon

Point = tuple[float, float]
Anchor = Literal["foot", "centre"]
ZoneEvent = Literal["enter", "leave", "dwell", "count"]
PictureKind = Literal["none", "snapshot", "crop"]
_RULE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """What scores at least `start_score` can start a track; what scores less only continues one. A track is counted
    from its `confirm`th detection on, and is given up when it was not found for `lost_s`, or in 30 frames."""

    start_score: float = 0.4
    confirm: int = 3
    lost_s: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.start_score <= 1:
            raise ValueError(f"start_score must be in 0..1, got {self.start_score:g}")
        if not 1 <= self.confirm <= 30:
            raise ValueError(f"confirm must be in 1..30, got {self.confirm}")
        if not 0.1 <= self.lost_s <= 60:
            raise ValueError(f"lost_s must be in 0.1..60, got {self.lost_s:g}")


@dataclass(frozen=True, slots=True)
class LineConfig:
    """Tell when something crosses the line from `start` to `end`; it crosses by its `anchor`, the middle of its box's
    lower edge or of the box. Only `labels` count, if any are named. An `alarm` is sent at once. `picture`: what goes to
    the object store with each crossing."""

    name: str
    start: Point
    end: Point
    labels: tuple[str, ...] = ()
    anchor: Anchor = "foot"
    alarm: bool = False
    picture: PictureKind = "none"

    def __post_init__(self) -> None:
        _check_name("line", self.name)
        for point in (self.start, self.end):
            _check_point(f"line {self.name}", point)
        if self.start == self.end:
            raise ValueError(f"line {self.name}: start and end must differ, both are {list(self.start)}")


@dataclass(frozen=True, slots=True)
class ZoneConfig:
    """Tell what happens within a polygon: that something came in (`enter`) or left (`leave`), has been there for
    `dwell_s`, or that `count` things are there at once. `labels` and `anchor` as for a line. `alarms` names the kinds
    of events to send at once. Aggregates count each zone for itself, whatever it tells."""

    name: str
    polygon: Polygon
    labels: tuple[str, ...] = ()
    anchor: Anchor = "foot"
    enter: bool = True
    leave: bool = True
    dwell_s: float | None = None
    count: int | None = None
    alarms: tuple[ZoneEvent, ...] = ()
    picture: PictureKind = "none"

    def __post_init__(self) -> None:
        _check_name("zone", self.name)
        check_polygon(self.polygon, what=f"zone {self.name}: polygon")
        if self.dwell_s is not None and not 0.1 <= self.dwell_s <= 86_400:
            raise ValueError(f"zone {self.name}: dwell_s must be in 0.1..86400, got {self.dwell_s:g}")
        if self.count is not None and not 1 <= self.count <= 1000:
            raise ValueError(f"zone {self.name}: count must be in 1..1000, got {self.count}")
        told = {"enter": self.enter, "leave": self.leave, "dwell": self.dwell_s, "count": self.count}
        for kind in self.alarms:
            if not told[kind]:
                raise ValueError(f"zone {self.name}: alarms names {kind!r}, which the zone does not tell; switch it on")


@dataclass(frozen=True, slots=True)
class PictureConfig:
    """The pictures of events: JPEGs of at most `longest_px` a side at `quality`, together at most `daily_bytes` in 24
    hours, saved up for an hour at most, and `gap_s` apart."""

    daily_bytes: int = 20 << 20
    quality: int = 80
    longest_px: int = 640
    gap_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.daily_bytes <= 1 << 40:
            raise ValueError(f"daily_bytes must be in 0..{1 << 40}, got {self.daily_bytes}")
        if not 10 <= self.quality <= 100:
            raise ValueError(f"quality must be in 10..100, got {self.quality}")
        if not 64 <= self.longest_px <= 4096:
            raise ValueError(f"longest_px must be in 64..4096, got {self.longest_px}")
        if not 0 <= self.gap_s <= 86_400:
            raise ValueError(f"gap_s must be in 0..86400, got {self.gap_s:g}")


@dataclass(frozen=True, slots=True)
class AnalyticsConfig:
    """`track`: follow things from frame to frame, which lines and zones need. Aggregates are told every `aggregate_s`,
    0 for none."""

    track: bool = True
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    lines: tuple[LineConfig, ...] = ()
    zones: tuple[ZoneConfig, ...] = ()
    aggregate_s: float = 60.0
    pictures: PictureConfig = field(default_factory=PictureConfig)

    def __post_init__(self) -> None:
        names = [line.name for line in self.lines] + [zone.name for zone in self.zones]
        if len(set(names)) != len(names):
            raise ValueError(f"lines and zones must have different names, got {', '.join(names)}")
        if names and not self.track:
            raise ValueError(
                f"track = false leaves nothing to cross {names[0]}; switch it on, or name no lines or zones"
            )
        if self.aggregate_s and not 1 <= self.aggregate_s <= 86_400:
            raise ValueError(f"aggregate_s must be 0 or in 1..86400, got {self.aggregate_s:g}")


def _check_name(kind: str, name: str) -> None:
    if not _RULE_NAME.fullmatch(name):
        raise ValueError(f"{kind} name must be 1..64 of A-Z a-z 0-9 _ . -, got {name!r}")


def _check_point(where: str, point: Point) -> None:
    if len(point) != 2 or not all(0 <= part <= 1 for part in point):
        raise ValueError(f"{where}: a point is x and y in parts of the picture (0..1), got {list(point)}")
