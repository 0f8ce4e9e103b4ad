"""Watching a camera for as long as it shows anything, and saying what has become of it."""

import logging
import threading
import time

from edge.active_model import ActiveModel
from edge.backoff import delays
from edge.cameras.camera import Camera, Sight, StalledError
from edge.cameras.config import CameraConfig
from edge.cameras.opening import open_camera, recorded_at
from edge.figures import CameraState
from edge.observe import Observer
from edge.pipeline import Pipeline
from edge.spool import Spool
from edge.vitals import Vitals
from models.errors import CameraError
from models.records import Event

log = logging.getLogger(__name__)

RETRY_S = (0.5, 10.0)
_SIGHTS: dict[Sight, str] = {
    "ok": "it shows pictures",
    "frozen": "it shows the very same picture all the time",
    "dark": "it shows nothing but black, or a cover",
}


class Watch:
    """One camera, looked through until it ends or `close`; opened again, with back-off, when it goes away."""

    def __init__(
        self,
        config: CameraConfig,
        *,
        observer: Observer,
        model: ActiveModel,
        pipeline: Pipeline,
        spool: Spool,
        vitals: Vitals,
        retry_files: bool,
        after: int = -1,
    ) -> None:
        """Goes on behind frame `after`, if that is newer than the spool's last one. SpoolError when the spool has the
        same numbers from another file already."""
        self._config = config
        self._model = model
        self.observer = observer
        self._lane = pipeline.lane(observer)
        self._spool = spool
        self._vitals = vitals
        self._retry_files = retry_files
        self._tally = vitals.add_camera(config.name)
        self._tally.last = max(after, spool.last_frame(config.name, source=source_of(config)))
        self._state: CameraState | None = None
        self._camera: Camera | None = None
        self._closed = threading.Event()
        self.failure: CameraError | None = None

    def run(self) -> None:
        """Look. Returns at the end of a file, after `close`, or when a file can't be read (then `failure` says why)."""
        if self._model.wait(self._closed) is None:
            return
        retries = delays(*RETRY_S)
        while not self._closed.is_set():
            seen = self._tally.seen
            try:
                self._look()
            except CameraError as exc:
                self._now("stalled" if isinstance(exc, StalledError) else "down", str(exc))
                if not self._config.is_live and not self._retry_files:
                    self.failure = exc
                    return
            else:
                self._now("ended", "its file has ended")
                return
            if self._tally.seen > seen:
                retries = delays(*RETRY_S)
            self._closed.wait(next(retries))

    def leave(self) -> None:
        """Take no more frames, and let `run` return when those that are under way are finished."""
        self._closed.set()
        self._model.wake()
        if self._camera is not None:
            self._camera.close()

    def close(self) -> None:
        """Let `run` return at once, whatever becomes of the frames that are under way."""
        self._closed.set()
        self._model.wake()
        self._lane.close()
        if self._camera is not None:
            self._camera.close()

    @property
    def last(self) -> int:
        """The newest frame that need not be looked at again: of a recording each counts."""
        return self._tally.last if self._config.is_live else self.observer.recorded

    def settle(self) -> None:
        """Say what is left to say, once the frames under way are finished, or were given up."""
        self.observer.end()
        self._tally.skipped += self._lane.unfinished

    def _look(self) -> None:
        self._camera = camera = open_camera(self._config, self._tally, keep=self._lane.depth + 1)
        try:
            if self._closed.is_set():
                return
            for frame in camera:
                sight = camera.sight
                if self._state != sight:
                    if self._lane.drain():
                        self.observer.shows(anything=sight == "ok")
                    self._now(sight, _SIGHTS[sight])
                if not self._lane.submit(frame):
                    return
        finally:
            camera.close()
            if self._lane.drain():
                self.observer.away()

    def _now(self, state: CameraState, why: str) -> None:
        if self._closed.is_set() or state == self._state:
            return
        self._state = state
        self._vitals.camera_is(self._config.name, state)
        frame, at_us = max(0, self._tally.last), time.time_ns() // 1000
        self._spool.append(Event(self._config.name, frame, at_us, "camera", rule="", label=state))
        if state not in ("ok", "ended"):
            log.warning("camera %s is %s: %s", self._config.name, state, why)
            self._vitals.error(why)
        else:
            log.info("camera %s is %s: %s", self._config.name, state, why)


def source_of(config: CameraConfig) -> str:
    """What gives the camera's frames their numbers, as the spool remembers it."""
    return "" if config.is_live else str(recorded_at(config).resolve())
