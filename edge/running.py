"""A gateway that runs: cameras, model, spool and uplink put together, the windows that they share, and what a change of
the configuration changes while the rest goes on."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.active_model import ActiveModel, look_after
from edge.analytics.analytics import Analytics
from edge.analytics.snapshots import Snapshots
from edge.budget import Budget
from edge.cameras.config import CameraConfig
from edge.cameras.uri import public
from edge.candidates import Candidates
from edge.challenger import Challenger
from edge.config import GatewayConfig
from edge.config_changes import NO_NEWS, Changes, Source, changed_keys, differences
from edge.kept_config import keep
from edge.machine import Machine
from edge.model_store import ModelStore
from edge.observe import Observer
from edge.pictures import part_bytes
from edge.pipeline import Pipeline
from edge.reporting import Reporter
from edge.ship import Shipper
from edge.spool import Spool
from edge.uplink import Uplink, open_uplink
from edge.vitals import Vitals
from edge.watch import Watch, source_of
from models.errors import TidegateError

log = logging.getLogger(__name__)

MODELS = "models"
_JOIN_S = 1.0  # for threads that were told to end; a component has 5 s for everything
_LEAVE_S = 3.0  # for a camera to be closed while the gateway goes on
_KEEP_RETRY_S = 10.0
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: records that were not acknowledged, and why cameras could not be read to their end."""

    waiting: int
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Shadow:
    """A challenger, and what lets the threads go that it runs on."""

    challenger: Challenger
    leave: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def close(self) -> None:
        self.leave.set()
        self.challenger.close()
        _join(self.threads, _JOIN_S)


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
        self._vitals.configuration_refused = public(refused)
        self._shipper = Shipper(
            spool, uplink, gateway=gateway, ack_timeout_s=config.ack_timeout_s, budget=config.byte_budget
        )
        self._pipeline = Pipeline(active, workers=config.workers)
        self._shadow = _open_challenger(config)
        self._watches = {camera.name: self._watch(camera) for camera in config.cameras}
        self._looking: dict[str, threading.Thread] = {}
        self._reporter = Reporter(
            gateway,
            vitals=self._vitals,
            active=active,
            spool=spool,
            shipper=self._shipper,
            challenger=self._challenger,
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
        pointer = None if self.config.package else _pointer(self.config, self.config.model)
        _say_missing("model", self.config.model, self._active, pointer)
        self._start("acks", self._shipper.listen)
        others = [
            self._start("ship", lambda: self._shipper.run(leave)),
            self._start("model", lambda: look_after(self._active, leave, pointer=pointer)),
        ]
        self._start_challenger()
        inference = [self._start(f"infer-{index}", self._pipeline.work) for index in range(self.config.workers)]
        inference.append(self._start("finish", self._pipeline.finish))
        for name, watch in self._watches.items():
            self._looking[name] = self._start(f"watch-{name}", watch.run)
        try:
            with self._reporter:
                self._keep_windows()
                if stop.is_set() or self.wanted is not None:
                    self._spool.wait_no_more()
                if not stop.is_set() and self.wanted is not None:
                    self._close_cameras(list(self._watches))
                for watch in self._watches.values():
                    watch.close()
                _join(self._looking.values(), _JOIN_S)
                self._pipeline.close()
                _join(inference, _JOIN_S)
                for watch in self._watches.values():
                    watch.settle()
                self._reporter.end_window()
                if self.wanted is None:
                    self._wait_for_the_cloud()
        finally:
            self._over = True
            for watch in self._watches.values():
                watch.close()
            self._pipeline.close()
            leave.set()
            if self._shadow is not None:
                self._shadow.close()
            self._shipper.tide()
            _join([*self._looking.values(), *inference, *others], _JOIN_S)
            self._uplink.close()
        if self._crash is not None:
            raise self._crash
        failures = tuple(str(watch.failure) for watch in self._watches.values() if watch.failure)
        return Outcome(sum(stream.last - stream.acked for stream in self._spool.streams()), failures)

    def _keep_windows(self) -> None:
        most_s = math.inf if self._keep_running else _LOOK_S
        while self._keep_running or any(thread.is_alive() for thread in self._looking.values()):
            self._keep()
            if self._stop.wait(min(self._reporter.left_s(), most_s)):
                return
            with self._being_busy():
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
        """Take the configuration that was given meanwhile, or say why not."""
        try:
            wanted = self._source.changed()
            if wanted is not None:
                self._change_to(wanted)
        except TidegateError as exc:
            why = public(str(exc))
            log.error("the configuration is refused, and the one before stays in force: %s", why)
            self._vitals.configuration_refused = why

    def _change_to(self, wanted: GatewayConfig) -> None:
        """TidegateError, and nothing has changed, when what it names cannot be opened."""
        before = self.config
        changes = differences(before, wanted)
        if changes.everything:
            log.info("%s changed: the gateway begins anew", ", ".join(changed_keys(before, wanted)))
            self.wanted = wanted
            return
        for camera in changes.came:
            self._spool.last_frame(camera.name, source=source_of(camera))
        shadow = _open_challenger(wanted) if changes.challenger else self._shadow
        # last, for a broker closes the connection that it has when another of the same name comes
        uplink = open_uplink(wanted.uplink, gateway=self._gateway) if changes.uplink else self._uplink
        # from here on nothing is refused
        self.config = wanted
        if changes.uplink or changes.shipping:
            self._change_shipping(uplink)
        if changes.challenger:
            self._change_challenger(shadow)
        if changes.trial:
            self._active.judge_by(budget_of(wanted), keep_s=wanted.keep_s)
            if self._shadow is not None:
                self._shadow.challenger.model.judge_by(_challenger_budget(wanted), keep_s=0)
        self._change_cameras(changes)
        self._reporter.change(
            challenger=self._challenger,
            window_s=wanted.window_s,
            metrics_port=wanted.metrics_port,
            uplink=wanted.uplink.described,
            slowest_fps=_slowest_fps(wanted),
        )
        self._vitals.configuration_refused = ""
        if before != wanted:
            log.info("%s changed", ", ".join(changed_keys(before, wanted)))
            self._keep_at = 0.0

    def _change_shipping(self, uplink: Uplink) -> None:
        before, self._uplink = self._uplink, uplink
        self._shipper.change(uplink=uplink, ack_timeout_s=self.config.ack_timeout_s, budget=self.config.byte_budget)
        if before is not uplink:
            self._start("acks", self._shipper.listen)
            before.close()

    def _change_challenger(self, shadow: _Shadow | None) -> None:
        before, self._shadow = self._shadow, shadow
        if before is not None:
            before.close()
        for watch in self._watches.values():
            watch.observer.compare_with(self._challenger)
        self._start_challenger()

    def _change_cameras(self, changes: Changes) -> None:
        last = self._close_cameras(changes.left)
        for camera in changes.came:
            watch = self._watches[camera.name] = self._watch(camera, after=last.get(camera.name, -1))
            self._looking[camera.name] = self._start(f"watch-{camera.name}", watch.run)
        for name in set(changes.left) - {camera.name for camera in changes.came}:
            self._vitals.remove_camera(name)
        for camera in changes.retold:
            self._watches[camera.name].observer.tell(_analytics(camera), self._snapshots(camera))

    def _close_cameras(self, names: Iterable[str]) -> dict[str, int]:
        """Let the frames under way come to their end, and say behind which frame each would go on."""
        leaving = {name: (self._watches.pop(name), self._looking.pop(name)) for name in names}
        for watch, _ in leaving.values():
            watch.leave()
        _join((thread for _, thread in leaving.values()), _LEAVE_S)
        for watch, _ in leaving.values():
            watch.close()
            watch.settle()
        return {name: watch.last for name, (watch, _) in leaving.items()}

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

    def _watch(self, camera: CameraConfig, *, after: int = -1) -> Watch:
        observer = Observer(
            camera.name,
            regions=camera.regions,
            analytics=_analytics(camera),
            snapshots=self._snapshots(camera),
            challenger=self._challenger,
            spool=self._spool,
            vitals=self._vitals,
        )
        return Watch(
            replace(camera, uri=camera.uri.replace("{gateway}", self._gateway)),
            observer=observer,
            model=self._active,
            pipeline=self._pipeline,
            spool=self._spool,
            vitals=self._vitals,
            retry_files=self._keep_running,
            after=after,
        )

    def _snapshots(self, camera: CameraConfig) -> Snapshots:
        largest = part_bytes(self.config.uplink.message_limit_bytes)
        return Snapshots(camera.analytics, camera=camera.name, blur=camera.blur, part_bytes=largest)

    @property
    def _challenger(self) -> Challenger | None:
        return self._shadow.challenger if self._shadow is not None else None

    def _start_challenger(self) -> None:
        shadow, name = self._shadow, self.config.challenger
        if shadow is None or name is None:
            return
        model, pointer = shadow.challenger.model, _pointer(self.config, name)
        _say_missing("challenger", name, model, pointer)
        shadow.threads.append(self._start("challenger", shadow.challenger.run))
        look = self._start("challengers", lambda: look_after(model, shadow.leave, pointer=pointer))
        shadow.threads.append(look)

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


def _challenger_budget(config: GatewayConfig) -> Budget:
    return Budget(memory_bytes=config.memory_limit_bytes)


def _analytics(camera: CameraConfig) -> Analytics:
    return Analytics(camera.analytics, camera=camera.name)


def _open_challenger(config: GatewayConfig) -> _Shadow | None:
    if config.challenger is None:
        return None
    store = ModelStore(config.state / MODELS, model=config.challenger, trust=config.trust)
    active = ActiveModel(store, keep_s=0, budget=_challenger_budget(config))
    active.resume()
    candidates = Candidates(
        config.challenger_pictures,
        blur={camera.name: camera.blur for camera in config.cameras},
        part_bytes=part_bytes(config.uplink.message_limit_bytes),
    )
    return _Shadow(Challenger(active, cpu_share=config.challenger_cpu, candidates=candidates))


def _slowest_fps(config: GatewayConfig) -> float:
    return min(camera.fps or math.inf for camera in config.cameras)


def _pointer(config: GatewayConfig, model: str) -> Path:
    return config.pointers / f"tidegate.Model.{model}" / "pointer"


def _say_missing(what: str, name: str, model: ActiveModel, pointer: Path | None) -> None:
    if model.current is None and pointer is not None and not pointer.exists():
        log.info("no %s %s yet; waiting for %s", what, name, pointer)


def _join(threads: Iterable[threading.Thread], most_s: float) -> None:
    deadline = time.monotonic() + most_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
