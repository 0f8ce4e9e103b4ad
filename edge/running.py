"""A gateway that runs: cameras, model, spool and uplink put together, the windows that they share, and what a change of
the configuration changes while the rest goes on."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge.active_model import ActiveModel, look_after
from edge.budget import Budget
from edge.cameras.uri import public
from edge.config import GatewayConfig
from edge.config_changes import NO_NEWS, Changes, Source, changed_keys, differences
from edge.kept_config import keep
from edge.machine import Machine
from edge.pictures import part_bytes
from edge.pipeline import Pipeline
from edge.reporting import Reporter
from edge.shadow import Shadow, pointer_of, say_missing
from edge.ship import Shipper
from edge.spool import Spool
from edge.threads import join
from edge.uplink import Uplink, open_uplink
from edge.vitals import Vitals
from edge.watches import Watches
from models.errors import TidegateError
from models.manifest import Manifest

log = logging.getLogger(__name__)

_JOIN_S = 1.0  # for threads that were told to end; a component has 5 s for everything
_KEEP_RETRY_S = 10.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: records that were not acknowledged, and why cameras could not be read to their end."""

    waiting: int
    failures: tuple[str, ...]


class Running:
    """The parts of a gateway under one configuration after another, and the threads that they run on.

    `config` is the configuration in force, `wanted` the one for which everything has to be opened again. Its arguments
    are run_gateway's.
    """

    def __init__(
        self,
        config: GatewayConfig,
        gateway: str,
        spool: Spool,
        active: ActiveModel,
        uplink: Uplink,
        *,
        stop: threading.Event,
        keep_running: bool,
        source: Source,
        refused: str,
        busy: threading.Event,
    ) -> None:
        self.config = config
        self.wanted: GatewayConfig | None = None
        self._gateway = gateway
        self._spool = spool
        self._active = active
        self._uplink = uplink
        self._stop = stop
        self._keep_running = keep_running
        self._source = source
        self._busy = busy
        self._keep_at = 0.0 if source is not NO_NEWS else math.inf
        self._vitals = Vitals(config.model, machine=Machine(config.state))
        self._refused = self._vitals.configuration_refused = public(refused)
        self._shipper = Shipper(
            spool, uplink, gateway=gateway, ack_timeout_s=config.ack_timeout_s, budget=config.byte_budget
        )
        self._pipeline = Pipeline(active, workers=config.workers)
        self._shadow = Shadow(config, active)
        self._watches = Watches(
            gateway,
            active=active,
            pipeline=self._pipeline,
            spool=spool,
            vitals=self._vitals,
            retry_files=keep_running,
            start=self._start,
            challenger=self._shadow.challenger,
            part_bytes=part_bytes(config.uplink.message_limit_bytes),
        )
        self._watches.open(config.cameras)
        self._reporter = Reporter(
            gateway,
            vitals=self._vitals,
            active=active,
            spool=spool,
            shipper=self._shipper,
            shadow=self._shadow,
            window_s=config.window_s,
            state=config.state,
            metrics_port=config.metrics_port,
            uplink=config.uplink.described,
            slowest_fps=_slowest_fps(config),
        )
        self._crash: BaseException | None = None
        self._over = False

    def run(self) -> Outcome:
        """Start the threads, end a window whenever one is over, follow the configuration, and leave in order."""
        stop, leave = self._stop, threading.Event()
        pointer = None if self.config.package else pointer_of(self.config, self.config.model)
        say_missing(f"model {self.config.model}", self._active, pointer)
        self._start("acks", self._shipper.listen)
        others = [
            self._start("ship", lambda: self._shipper.run(leave)),
            self._start("model", lambda: look_after(self._active, leave, pointer=pointer, make_room=self._make_room)),
        ]
        self._shadow.start(self._start)
        inference = [self._start(f"infer-{index}", self._pipeline.work) for index in range(self.config.workers)]
        inference.append(self._start("finish", self._pipeline.finish))
        self._watches.look()
        try:
            with self._reporter:
                self._keep_windows()
                if stop.is_set() or self.wanted is not None:
                    self._spool.wait_no_more()
                if not stop.is_set() and self.wanted is not None:
                    self._watches.leave_all()
                self._watches.close(_JOIN_S)
                self._pipeline.close()
                join(inference, _JOIN_S)
                self._watches.settle()
                self._reporter.end_window()
                if self.wanted is None:
                    self._wait_for_the_cloud()
        finally:
            self._over = True
            self._watches.close(0)
            self._pipeline.close()
            leave.set()
            self._shipper.tide()
            self._shadow.close()
            join([*inference, *others, *self._shadow.threads], _JOIN_S)
            self._uplink.close()
        if self._crash is not None:
            raise self._crash
        waiting = sum(stream.last - stream.acked for stream in self._spool.streams())
        return Outcome(waiting, self._watches.failures)

    def _keep_windows(self) -> None:
        most_s = math.inf if self._keep_running else _LOOK_S
        while self._keep_running or self._watches.looking:
            self._keep()
            if self._stop.wait(min(self._reporter.left_s(), most_s)):
                return
            with self._being_busy():
                self._watches.compare_with(self._shadow.challenger)
                self._reporter.look()
                if self._spool.takes_more:  # else a camera could not even say that it is closed
                    self._follow()
            if self.wanted is not None:
                return

    def _wait_for_the_cloud(self) -> None:
        if not self._stop.is_set():
            log.info("all cameras have ended; what waits for the cloud goes out")
        while not self._stop.wait(_LOOK_S) and (left := self._spool.streams()):
            self._shipper.tide()
            if any(stream.lane != "health" for stream in left):  # or each message would wait for the next
                self._reporter.look()

    def _follow(self) -> None:
        """Take the configuration that was given meanwhile; refuse, and change nothing, where it cannot be opened."""
        try:
            wanted = self._source.changed()
            if wanted is None:
                return
            changes = differences(self.config, wanted)
            if changes.everything:
                log.info("%s changed: the gateway begins anew", ", ".join(changed_keys(self.config, wanted)))
                self.wanted = wanted
                return
            self._watches.check(changes.came)
            shadow = Shadow(wanted, self._active) if changes.challenger else self._shadow
            # last, for a broker closes the connection that it has when another of the same name comes
            uplink = open_uplink(wanted.uplink, gateway=self._gateway) if changes.uplink else self._uplink
        except TidegateError as exc:
            self._refuse(public(str(exc)))
            return
        self._change(wanted, changes, shadow, uplink)

    def _refuse(self, why: str) -> None:
        if why != self._refused:  # it may be given again and again
            log.error("the configuration is refused, and the one before stays in force: %s", why)
        self._refused = self._vitals.configuration_refused = why

    def _change(self, wanted: GatewayConfig, changes: Changes, shadow: Shadow, uplink: Uplink) -> None:
        before, self.config = self.config, wanted
        if changes.uplink or changes.shipping:
            self._change_shipping(uplink)
        if changes.challenger:
            self._change_shadow(shadow)
        if changes.trial:
            self._active.judge_by(budget_of(wanted), keep_s=wanted.keep_s)
            self._shadow.judge_by(wanted)
        self._watches.part_bytes = part_bytes(wanted.uplink.message_limit_bytes)
        self._watches.change(changes)
        self._reporter.change(
            shadow=self._shadow,
            window_s=wanted.window_s,
            metrics_port=wanted.metrics_port,
            uplink=wanted.uplink.described,
            slowest_fps=_slowest_fps(wanted),
        )
        self._refused = self._vitals.configuration_refused = ""
        if before != wanted:
            log.info("%s changed", ", ".join(changed_keys(before, wanted)))
            self._keep_at = 0.0

    def _make_room(self, manifest: Manifest) -> None:
        self._shadow.make_room(manifest)

    def _change_shadow(self, shadow: Shadow) -> None:
        before, self._shadow = self._shadow, shadow
        before.close()
        join(before.threads, _JOIN_S)
        self._watches.compare_with(shadow.challenger)
        shadow.start(self._start)

    def _change_shipping(self, uplink: Uplink) -> None:
        before, self._uplink = self._uplink, uplink
        self._shipper.change(uplink=uplink, ack_timeout_s=self.config.ack_timeout_s, budget=self.config.byte_budget)
        if before is not uplink:
            self._start("acks", self._shipper.listen)
            before.close()

    def _keep(self) -> None:
        """Write down that this configuration was in force."""
        now = time.monotonic()
        if now < self._keep_at:
            return
        try:
            keep(self.config)
            self._keep_at = math.inf
        except OSError as exc:
            if not self._keep_at:
                log.error("the configuration cannot be kept in %s, trying again: %s", self.config.state, exc.strerror)
            self._keep_at = now + _KEEP_RETRY_S

    @contextmanager
    def _being_busy(self) -> Iterator[None]:
        self._busy.set()
        try:
            yield
        finally:
            self._busy.clear()

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Run this on a thread; if it breaks, the gateway stops, and `run` raises what broke it."""

        def run() -> None:
            try:
                work()
            except BaseException as exc:
                if self._over:  # what was left behind must not stop what follows
                    log.debug("%s: %s", name, exc)
                    return
                self._crash = self._crash or exc
                self._stop.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread


def budget_of(config: GatewayConfig) -> Budget:
    """What a new model is judged by."""
    return Budget(config.latency_budget_ms, config.max_slowdown, config.memory_limit_bytes)


def _slowest_fps(config: GatewayConfig) -> float:
    return min(camera.fps or math.inf for camera in config.cameras)
