"""What a camera's analytics can be told, with units, defaults and ranges."""

from dataclasses import dataclass, field


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
class AnalyticsConfig:
    """What is made of a camera's detections. `track`: follow things from frame to frame."""

    track: bool = True
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
