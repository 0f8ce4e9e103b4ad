"""All cameras that a gateway looks through, each on a thread of its own, while some come and others go."""

import threading
from collections.abc import Iterable
from dataclasses import replace

from edge.active_model import ActiveModel
from edge.analytics.analytics import Analytics
from edge.analytics.snapshots import Snapshots
from edge.cameras.config import CameraConfig
from edge.challenger import Challenger
from edge.config_changes import Changes
from edge.observe import Observer
from edge.pipeline import Pipeline
from edge.spool import Spool
from edge.threads import Start, join
from edge.vitals import Vitals
from edge.watch import Watch, source_of

_LEAVE_S = 3.0  # for the frames under way of a camera that is closed while the gateway goes on


class Watches:
    """Cameras by name. `start` runs a function on a thread of that name; `retry_files`: a file that is not there may
    come. `challenger` and `part_bytes`, of pictures, hold for cameras that are opened from then on."""

    def __init__(
        self,
        gateway: str,
        *,
        active: ActiveModel,
        pipeline: Pipeline,
        spool: Spool,
        vitals: Vitals,
        retry_files: bool,
        start: Start,
        challenger: Challenger | None,
        part_bytes: int,
    ) -> None:
        self.challenger = challenger
        self.part_bytes = part_bytes
        self._gateway = gateway
        self._active = active
        self._pipeline = pipeline
        self._spool = spool
        self._vitals = vitals
        self._retry_files = retry_files
        self._start = start
        self._watches: dict[str, Watch] = {}
        self._threads: dict[str, threading.Thread] = {}

    def open(self, cameras: Iterable[CameraConfig]) -> None:
        """Make ready to look through them; SpoolError when the spool has the same numbers from another file already."""
        for camera in cameras:
            self._watches[camera.name] = self._watch(camera)

    def look(self) -> None:
        """Look through all that are open and are not looked through yet."""
        for name, watch in self._watches.items():
            if name not in self._threads:
                self._threads[name] = self._start(f"watch-{name}", watch.run)

    @property
    def looking(self) -> bool:
        """Whether any camera has not ended."""
        return any(thread.is_alive() for thread in self._threads.values())

    @property
    def failures(self) -> tuple[str, ...]:
        """Why cameras could not be read to their end."""
        return tuple(str(watch.failure) for watch in self._watches.values() if watch.failure)

    def check(self, cameras: Iterable[CameraConfig]) -> None:
        """SpoolError when one of these could not be opened."""
        for camera in cameras:
            self._spool.last_frame(camera.name, source=source_of(self._ours(camera)))

    def change(self, changes: Changes) -> None:
        """Close, open and tell otherwise, as these say; the others do not notice."""
        last = self.leave(changes.left)
        for camera in changes.came:
            self._watches[camera.name] = self._watch(camera, after=last.get(camera.name, -1))
        self.look()
        for name in set(changes.left) - {camera.name for camera in changes.came}:
            self._vitals.remove_camera(name)
        for camera in changes.retold:
            self._watches[camera.name].observer.tell(_analytics(camera), self._snapshots(camera))

    def compare_with(self, challenger: Challenger | None) -> None:
        """From the next frames on."""
        if challenger is self.challenger:
            return
        self.challenger = challenger
        for watch in self._watches.values():
            watch.observer.compare_with(challenger)

    def leave(self, names: Iterable[str]) -> dict[str, int]:
        """Close these when their frames under way are finished, and say behind which frame each would go on."""
        leaving = {name: self._watches.pop(name) for name in names}
        for watch in leaving.values():
            watch.leave()
        join((self._threads.pop(name) for name in leaving), _LEAVE_S)
        for watch in leaving.values():
            watch.close()
            watch.settle()
        return {name: watch.last for name, watch in leaving.items()}

    def leave_all(self) -> None:
        """Close all when their frames under way are finished."""
        self.leave(list(self._watches))

    def close(self, most_s: float) -> None:
        """Close all at once, and wait so long for their threads to notice."""
        for watch in self._watches.values():
            watch.close()
        join(self._threads.values(), most_s)

    def settle(self) -> None:
        """Say what is left to say, once the pipeline has ended, or was given up."""
        for watch in self._watches.values():
            watch.settle()

    def _watch(self, camera: CameraConfig, *, after: int = -1) -> Watch:
        observer = Observer(
            camera.name,
            regions=camera.regions,
            analytics=_analytics(camera),
            snapshots=self._snapshots(camera),
            challenger=self.challenger,
            spool=self._spool,
            vitals=self._vitals,
        )
        return Watch(
            self._ours(camera),
            observer=observer,
            model=self._active,
            pipeline=self._pipeline,
            spool=self._spool,
            vitals=self._vitals,
            retry_files=self._retry_files,
            after=after,
        )

    def _ours(self, camera: CameraConfig) -> CameraConfig:
        return replace(camera, uri=camera.uri.replace("{gateway}", self._gateway))

    def _snapshots(self, camera: CameraConfig) -> Snapshots:
        return Snapshots(camera.analytics, camera=camera.name, blur=camera.blur, part_bytes=self.part_bytes)


def _analytics(camera: CameraConfig) -> Analytics:
    return Analytics(camera.analytics, camera=camera.name)
