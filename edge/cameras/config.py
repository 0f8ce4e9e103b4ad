"""What a camera can be told, with units, defaults and ranges."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.analytics.config import AnalyticsConfig
from edge.cameras.uri import TLS, complaint, is_live, public
from edge.polygons import Polygon, check_polygon

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """A picture is looked at when it differs from the one looked at last by more than `threshold` levels (of 255) in
    at least the part `area` of it, and otherwise every `every_s` all the same. A light that changes everywhere alike is
    no difference."""

    threshold: float = 12.0
    area: float = 0.001
    every_s: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= 254:
            raise ValueError(f"threshold must be in 1..254, got {self.threshold:g}")
        if not 0 < self.area <= 1:
            raise ValueError(f"area must be a part of the picture, above 0 and up to 1, got {self.area:g}")
        if not 0.1 <= self.every_s <= 86_400:
            raise ValueError(f"every_s must be in 0.1..86400, got {self.every_s:g}")


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """`uri`: a video file, a folder of pictures, http(s):// (MJPEG), rtsp(s)://, usb:N or /dev/videoN, picamera:N;
    `{gateway}` in it stands for the gateway's name. `ca` (PEM) must vouch for the certificate of an https:// or rtsps://
    camera; without it anybody's will do. `numbered`: a live camera that writes its frames' numbers into the
    pixels (models/framecode). `fps` is a cap for a live camera and a pace for a recording. After `stall_s` without a
    new frame it counts as stalled, after `frozen_s` of the very same picture as frozen, after `dark_s` of nothing but
    black or a cover as dark (0: never).

    `size` (width, height) is asked of usb: and picamera:. The picture is turned clockwise by `rotate` degrees, then cut
    to `crop` (left, top, right, bottom), in parts of the turned picture, 0..1. What is left is the picture that
    everything else speaks of, in parts of it: what `masks` (polygons) cover is painted over before anything looks at
    it; with `regions` (polygons), movement and detections elsewhere do not count. `blur` names the classes that are
    made unrecognisable on every picture that leaves. With `motion` still pictures are not looked at.
    `analytics`: what is made of its detections.
    """

    name: str
    uri: str = field(repr=False)
    ca: Path | None = None
    numbered: bool = False
    fps: float | None = None
    stall_s: float = 10.0
    frozen_s: float = 30.0
    dark_s: float = 5.0
    size: tuple[int, ...] | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    crop: tuple[float, ...] | None = None
    masks: tuple[Polygon, ...] = ()
    regions: tuple[Polygon, ...] = ()
    blur: tuple[str, ...] = ()
    motion: MotionConfig | None = None
    analytics: AnalyticsConfig = field(default_factory=AnalyticsConfig)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"camera name must be 1..64 of A-Z a-z 0-9 _ . -, got {self.name!r}")
        if wrong := complaint(self.uri) or self._wrong():
            raise ValueError(f"camera {self.name}: {wrong}")
        for what, polygons in (("masks", self.masks), ("regions", self.regions)):
            for index, polygon in enumerate(polygons):
                check_polygon(polygon, what=f"camera {self.name}: {what}[{index}]")

    def _wrong(self) -> str:
        if self.numbered and not self.is_live:
            return "numbered is for live cameras; a file's frames are numbered anyway"
        if self.ca is not None and not self.uri.startswith(TLS):
            return "ca is for a camera at https:// or rtsps://"
        if self.ca is not None and set(str(self.ca)) & set(";|"):
            return f"ca must be a path without ; and |, got {str(self.ca)!r}"
        if self.fps is not None and not 0.01 <= self.fps <= 240:
            return f"fps must be in 0.01..240, got {self.fps:g}"
        if not 0.1 <= self.stall_s <= 3600:
            return f"stall_s must be in 0.1..3600, got {self.stall_s:g}"
        for what, seconds in (("frozen_s", self.frozen_s), ("dark_s", self.dark_s)):
            if seconds != 0 and not 0.1 <= seconds <= 86_400:
                return f"{what} must be in 0.1..86400, or 0 for never, got {seconds:g}"
        if self.size is not None and (len(self.size) != 2 or not all(16 <= side <= 16_384 for side in self.size)):
            return f"size must be [width, height], each in 16..16384, got {list(self.size)}"
        if self.crop is not None and not _is_crop(self.crop):
            return f"crop must be [left, top, right, bottom] with 0 <= left < right <= 1, got {list(self.crop)}"
        if not all(self.blur):
            return "blur must name classes, got an empty name"
        return ""

    @property
    def is_live(self) -> bool:
        return is_live(self.uri)

    @property
    def public_uri(self) -> str:
        """As it may be printed."""
        return public(self.uri)


def _is_crop(crop: tuple[float, ...]) -> bool:
    if len(crop) != 4:
        return False
    left, top, right, bottom = crop
    return 0 <= left < right <= 1 and 0 <= top < bottom <= 1
