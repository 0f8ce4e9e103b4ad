"""Telling how the gateway is: in health messages, to `tidegate gateway status`, to Prometheus and to systemd."""

import importlib.metadata
import os
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.active_model import ActiveModel
from edge.notify import Watchdog, notify
from edge.shadow import Shadow
from edge.ship import Shipper
from edge.spool import Spool
from edge.status import Status, StatusSocket
from edge.vitals import Standing, Vitals
from edge.windows import Windows

LOOK_S = 1.0  # how often to look whether there is news that should be told before the window is over
_PATIENCE_S = 60.0  # after that long without a frame's end though a camera shows pictures, something hangs
_COMMIT_S = 2.0
_FRAMES = 3  # and no sooner than after so many of the slowest camera's frames


class Reporter:
    """Ends windows of `window_s` when they are over, and sooner when there is news.

    While it is open the status socket in the folder `state` and, unless it is 0, the port `metrics_port` are answered.
    `uplink` says how the cloud is reached, `slowest_fps` how seldom a camera may show a picture.
    """

    def __init__(
        self,
        gateway: str,
        *,
        vitals: Vitals,
        active: ActiveModel,
        spool: Spool,
        shipper: Shipper,
        shadow: Shadow | None,
        window_s: float,
        state: Path,
        metrics_port: int,
        uplink: str,
        slowest_fps: float,
    ) -> None:
        self._gateway = gateway
        self._vitals = vitals
        self._active = active
        self._spool = spool
        self._shipper = shipper
        self._shadow = shadow
        self._state = state
        self._metrics_port = metrics_port
        self._uplink = uplink
        now = time.monotonic()
        self._window_s = window_s
        self._windows = Windows(window_s, now=now, state=self._news())
        self._watchdog = Watchdog(patience_s=_patience_s_of(slowest_fps), now=now)
        self._ignored = 0
        self._metrics = ExitStack()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(closing(StatusSocket(self._state, self._status)))
        self._open.enter_context(self._metrics)
        self._answer_prometheus()
        notify("READY=1")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        notify("STOPPING=1")
        self._open.close()

    def change(
        self, *, shadow: Shadow | None, window_s: float, metrics_port: int, uplink: str, slowest_fps: float
    ) -> None:
        """Go on with other settings. The window that is under way keeps all that was counted in it."""
        now = time.monotonic()
        self._shadow = shadow
        self._uplink = uplink
        self._watchdog.be_patient_for(_patience_s_of(slowest_fps))
        if window_s != self._window_s:
            self._window_s = window_s
            self._windows = Windows(window_s, now=now, state=self._news())
        if metrics_port != self._metrics_port:
            self._metrics_port = metrics_port
            self._metrics.close()
            self._answer_prometheus()

    def left_s(self) -> float:
        """How long it may be until the next `look`."""
        if not self._spool.takes_more:  # then a window that is over does not end
            return LOOK_S
        return min(LOOK_S, self._windows.left_s(time.monotonic()))

    def look(self) -> None:
        """Tell what is due."""
        now = time.monotonic()
        states = self._vitals.camera_states
        self._vitals.clocks(time.time(), now)
        # while the disk takes nothing all wait for it, and to start anew would lose what does
        self._watchdog.look(now, done=self._vitals.done, showing="ok" in states and not self._spool.trouble)
        if self._spool.takes_more and self._windows.is_over(now, self._news()):
            self.end_window()

    def end_window(self) -> None:
        """Write down how the window was, if the disk takes anything, and let what was recorded go."""
        if not self._spool.takes_more:
            return
        account = self._shipper.account
        if account.ignored and not self._ignored:  # from then on the figure says enough
            self._ignored = account.ignored
            self._vitals.error(f"ignored {account.ignored} messages, the last: {account.last_ignored}")
        for incident in self._spool.incidents():
            self._vitals.error(incident)
        if self._spool.trouble:
            self._vitals.error(self._spool.trouble)
        standing = self._standing()
        challenger = self._shadow.challenger if self._shadow is not None else None
        if challenger is not None:
            standing = replace(standing, challenge=challenger.report())
            self._spool.slip_in(*challenger.candidate())
            if trouble := challenger.trouble():
                self._vitals.error(trouble)
        for health in self._vitals.cut(self._active.current, standing, at_us=time.time_ns() // 1000):
            self._spool.slip_in(health)
        self._spool.hasten(wait_s=_COMMIT_S)  # what the disk has not taken by then goes later
        self._shipper.tide()

    def _answer_prometheus(self) -> None:
        if not self._metrics_port:
            return
        from edge.metrics import Metrics  # worth 1.5 MB where nobody asks

        metrics = self._metrics.enter_context(closing(Metrics(self._metrics_port, self._status)))
        if metrics.trouble:
            self._vitals.error(metrics.trouble)

    def _news(self) -> object:
        """What is told as soon as it changes."""
        current = self._active.current
        running = (current.label, current.digest) if current else None
        refused = self._failed_release(), self._vitals.configuration_refused
        return self._vitals.camera_states, running, refused, bool(self._spool.trouble)

    def _status(self) -> Status:
        overview = self._vitals.overview(self._active.current, self._standing(), at_us=time.time_ns() // 1000)
        return Status(self._gateway, os.getpid(), _version(), self._uplink, overview)

    def _standing(self) -> Standing:
        depth, account = self._spool.depth, self._shipper.account
        return Standing(
            spool_records=depth.records,
            spool_bytes=depth.bytes,
            spool_age_s=depth.age_s,
            records_dropped=depth.dropped,
            records_held=account.held,
            picture_parts_held=account.held_parts,
            bytes_sent=account.bytes_sent,
            batches_refused=account.refused,
            messages_ignored=account.ignored,
            swaps=self._active.swaps,
            failed_release=self._failed_release(),
        )

    def _failed_release(self) -> str:
        # that of the running model may be older
        return (self._shadow.failed_release if self._shadow is not None else "") or self._active.failed_release


def _patience_s_of(slowest_fps: float) -> float:
    """How long no frame may come to an end where the slowest camera shows so many a second."""
    return max(_PATIENCE_S, _FRAMES / slowest_fps)


def _version() -> str:
    try:
        return importlib.metadata.version("tidegate")
    except importlib.metadata.PackageNotFoundError:  # run from where it was unpacked
        return "unknown"
