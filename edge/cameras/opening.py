"""Opening a camera, whatever kind it is."""

from pathlib import Path

from edge.cameras.camera import KEEP, Camera, Tally
from edge.cameras.config import CameraConfig, MotionConfig
from edge.cameras.folder import ImageFolder
from edge.cameras.live import LiveCamera
from edge.cameras.motion import MotionGate, Stillness
from edge.cameras.opencv import NetworkCamera, UsbCamera, VideoFile
from edge.cameras.picamera import PiCamera
from edge.cameras.recorded import RecordedCamera
from edge.cameras.sight import SightWatch
from edge.cameras.source import LiveSource, Recording
from edge.cameras.view import View
from edge.polygons import Polygon
from models.errors import CameraError


def open_camera(config: CameraConfig, tally: Tally, *, keep: int = KEEP) -> Camera:
    """The camera as configured, going on after frame `tally.last`; CameraError when it is not there.

    A live camera gives its newest frames, a recording (a file, a folder) every one. An image stays as it is until
    `keep` later ones were delivered.
    """
    view = View(rotate=config.rotate, crop=config.crop, masks=config.masks)
    stillness = _stillness(config.motion, config.regions)
    if not config.is_live:
        recording = _recording(recorded_at(config))
        return RecordedCamera(recording, tally, fps=config.fps, view=view, stillness=stillness, keep=keep)
    return LiveCamera(
        _live(config),
        tally,
        name=config.public_uri,
        numbered=config.numbered,
        fps=config.fps,
        stall_s=config.stall_s,
        view=view,
        sight=SightWatch(frozen_s=config.frozen_s, dark_s=config.dark_s),
        stillness=stillness,
        keep=keep,
    )


def recorded_at(config: CameraConfig) -> Path:
    """Where the recording of a camera that is not live lies."""
    return Path(config.uri.removeprefix("file://"))


def _recording(path: Path) -> Recording:
    if path.is_dir():
        return ImageFolder(path)
    if not path.is_file():
        raise CameraError(f"camera file {path} is not there; expected a video or a folder")
    return VideoFile(path)


def _live(config: CameraConfig) -> LiveSource:
    if config.uri.startswith("picamera:"):
        return PiCamera(config.uri, size=config.size)
    if config.uri.startswith(("usb:", "/dev/video")):
        return UsbCamera(config.uri, size=config.size)
    return NetworkCamera(config.uri, stall_s=config.stall_s, ca=config.ca)


def _stillness(motion: MotionConfig | None, regions: tuple[Polygon, ...]) -> Stillness | None:
    if motion is None:
        return None
    gate = MotionGate(threshold=motion.threshold, area=motion.area, regions=regions)
    return Stillness(gate, every_s=motion.every_s)
