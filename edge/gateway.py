"""A gateway: cameras, model, spool and uplink put together, and the windows that they share."""

import contextlib
import fcntl
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from edge.active_model import ActiveModel, look_after
from edge.analytics.analytics import Analytics
from edge.analytics.snapshots import Snapshots
from edge.budget import Budget
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import prepare_opencv
from edge.candidates import Candidates
from edge.challenger import Challenger
from edge.config import GatewayConfig
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
from edge.watch import Watch
from models.errors import SpoolError

log = logging.getLogger(__name__)

SPOOL = "spool.db"
MODELS = "models"
_JOIN_S = 1.0  # for threads that were told to end; a component has 5 s for everything
_LOCK_S = 6.0  # the process before this one has 5 s to leave
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: records that were not acknowledged, and why cameras could not be read to their end."""

    waiting: int
    failures: tuple[str, ...]


def run_gateway(
    config: GatewayConfig, *, gateway: str, stop: threading.Event, keep_running: bool, uplink: Uplink | None = None
) -> Outcome:
    """See, infer and ship until `stop`; unless `keep_running`, also until all cameras were files, have ended, and the
    cloud has acknowledged everything.

    `uplink` is the one that the configuration names, unless one is given; it is closed in the end. A camera, a model or
    a cloud that is away is waited for. What a wait can't heal (the configuration, the state folder, a package that is
    refused) raises a TidegateError before the first frame.
    """
    prepare_opencv()
    with (
        _locked(config.state),
        Spool(config.state / SPOOL, limit_bytes=config.spool_limit_bytes) as spool,
        # before the model, which may take minutes to open: what is wrong in the configuration is said at once
        contextlib.closing(uplink or open_uplink(config.uplink, gateway=gateway)) as uplink,
        contextlib.closing(_open_model(config)) as active,
    ):
        return _Gateway(config, gateway, spool, active, uplink, keep_running=keep_running).run(stop)


class _Gateway:
    """The parts, and the threads that they run on."""

    def __init__(
        self,
        config: GatewayConfig,
        gateway: str,
        spool: Spool,
        active: ActiveModel,
        uplink: Uplink,
        *,
        keep_running: bool,
    ) -> None:
        self._config = config
        self._spool = spool
        self._active = active
        self._keep_running = keep_running
        self._vitals = Vitals(config.model, machine=Machine(config.state))
        self._shipper = Shipper(
            spool, uplink, gateway=gateway, ack_timeout_s=config.ack_timeout_s, budget=config.byte_budget
        )
        self._pipeline = Pipeline(active, workers=config.workers)
        self._challenger = _open_challenger(config)
        self._watches = [
            self._watch(replace(camera, uri=camera.uri.replace("{gateway}", gateway))) for camera in config.cameras
        ]
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
            slowest_fps=min(camera.fps or math.inf for camera in config.cameras),
        )
        self._crash: BaseException | None = None

    def run(self, stop: threading.Event) -> Outcome:
        """Start the threads, end a window whenever one is over, and leave in order."""
        leave = threading.Event()
        pointer = None if self._config.package else _pointer(self._config, self._config.model)
        _say_missing("model", self._config.model, self._active, pointer)
        self._start("acks", stop, self._shipper.listen)
        others = [
            self._start("ship", stop, lambda: self._shipper.run(leave)),
            self._start("model", stop, lambda: look_after(self._active, leave, pointer=pointer)),
        ]
        challenger, name = self._challenger, self._config.challenger
        if challenger is not None and name is not None:
            theirs = _pointer(self._config, name)
            _say_missing("challenger", name, challenger.model, theirs)
            others.append(self._start("challenger", stop, challenger.run))
            others.append(self._start("challengers", stop, lambda: look_after(challenger.model, leave, pointer=theirs)))
        inference = [self._start(f"infer-{index}", stop, self._pipeline.work) for index in range(self._config.workers)]
        inference.append(self._start("finish", stop, self._pipeline.finish))
        cameras = [self._start(f"watch-{index}", stop, watch.run) for index, watch in enumerate(self._watches)]
        try:
            with self._reporter:
                self._keep_windows(stop, cameras)
                if stop.is_set():
                    self._spool.wait_no_more()
                for watch in self._watches:
                    watch.close()
                _join(cameras)
                self._pipeline.close()
                _join(inference)
                for watch in self._watches:
                    watch.settle()
                self._reporter.end_window()
                if not stop.is_set():
                    log.info("all cameras have ended; what waits for the cloud goes out")
                while not stop.wait(_LOOK_S) and (left := self._spool.streams()):
                    self._shipper.tide()
                    if any(stream.lane != "health" for stream in left):  # or each message would wait for the next
                        self._reporter.look()
        finally:
            for watch in self._watches:
                watch.close()
            self._pipeline.close()
            leave.set()
            if challenger is not None:
                challenger.close()
            self._shipper.tide()
            _join([*cameras, *inference, *others])
        if self._crash is not None:
            raise self._crash
        failures = tuple(str(watch.failure) for watch in self._watches if watch.failure)
        return Outcome(sum(stream.last - stream.acked for stream in self._spool.streams()), failures)

    def _watch(self, camera: CameraConfig) -> Watch:
        observer = Observer(
            camera.name,
            regions=camera.regions,
            analytics=Analytics(camera.analytics, camera=camera.name),
            snapshots=Snapshots(
                camera.analytics,
                camera=camera.name,
                blur=camera.blur,
                part_bytes=part_bytes(self._config.uplink.message_limit_bytes),
            ),
            challenger=self._challenger,
            spool=self._spool,
            vitals=self._vitals,
        )
        return Watch(
            camera,
            observer=observer,
            model=self._active,
            pipeline=self._pipeline,
            spool=self._spool,
            vitals=self._vitals,
            retry_files=self._keep_running,
        )

    def _keep_windows(self, stop: threading.Event, cameras: list[threading.Thread]) -> None:
        most_s = math.inf if self._keep_running else _LOOK_S
        while self._keep_running or any(camera.is_alive() for camera in cameras):
            if stop.wait(min(self._reporter.left_s(), most_s)):
                return
            self._reporter.look()

    def _start(self, name: str, stop: threading.Event, work: Callable[[], None]) -> threading.Thread:
        """Run this on a thread; if it breaks, the gateway stops, and `run` raises what broke it."""

        def run() -> None:
            try:
                work()
            except BaseException as exc:
                self._crash = self._crash or exc
                stop.set()

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread


def _open_model(config: GatewayConfig) -> ActiveModel:
    store = ModelStore(config.state / MODELS, model=config.model, trust=config.trust)
    budget = Budget(config.latency_budget_ms, config.max_slowdown, config.memory_limit_bytes)
    active = ActiveModel(store, keep_s=config.keep_s, budget=budget)
    if config.package is None:
        active.resume()
    elif config.allow_unsigned:
        active.offer_unsigned(config.package)
    else:
        active.offer(config.package)
    return active


def _open_challenger(config: GatewayConfig) -> Challenger | None:
    if config.challenger is None:
        return None
    store = ModelStore(config.state / MODELS, model=config.challenger, trust=config.trust)
    active = ActiveModel(store, keep_s=0, budget=Budget(memory_bytes=config.memory_limit_bytes))
    active.resume()
    candidates = Candidates(
        config.challenger_pictures,
        blur={camera.name: camera.blur for camera in config.cameras},
        part_bytes=part_bytes(config.uplink.message_limit_bytes),
    )
    return Challenger(active, cpu_share=config.challenger_cpu, candidates=candidates)


def _pointer(config: GatewayConfig, model: str) -> Path:
    return config.pointers / f"tidegate.Model.{model}" / "pointer"


def _say_missing(what: str, name: str, model: ActiveModel, pointer: Path | None) -> None:
    if model.current is None and pointer is not None and not pointer.exists():
        log.info("no %s %s yet; waiting for %s", what, name, pointer)


def _join(threads: list[threading.Thread]) -> None:
    deadline = time.monotonic() + _JOIN_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Keep a second gateway out of this state folder."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "lock").open("w")
    except OSError as exc:
        raise SpoolError(f"the state folder {state} cannot be written: {exc.strerror}") from exc
    with file:
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                if time.monotonic() > deadline:
                    raise SpoolError(f"another gateway runs in the state folder {state}; stop it first") from exc
                time.sleep(_LOOK_S)
        yield
