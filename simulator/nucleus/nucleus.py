"""A simulated Greengrass core device: takes deployments, runs the real component processes, serves them real IPC."""

import logging
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from models.errors import DeployError
from models.mqtt import Broker, Connection
from simulator.nucleus.cloud import Cloud, Job
from simulator.nucleus.component import Component, State
from simulator.nucleus.configuration import changes
from simulator.nucleus.deployer import carry_out, remove_old_files
from simulator.nucleus.device import Device, Outcome
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.personality import LITE, Personality
from simulator.nucleus.services import Services

log = logging.getLogger(__name__)


class Nucleus:
    """One device. Everything it must remember is under `root`, so it can lose power and be started again.

    `<root>/packages` holds artifacts, `<root>/work/<component>` is a component's working folder, kept across versions,
    `<root>/logs/<component>.log` its output, `<root>/config/state.json` the device's memory.
    """

    def __init__(
        self,
        thing: str,
        root: Path,
        *,
        environment: Mapping[str, str],
        broker: Broker,
        personality: Personality = LITE,
        poll_s: float = 1.0,
    ) -> None:
        """`environment`: the AWS_* variables that say where the cloud is; components do not get to see them."""
        self.thing = thing
        self.root = root.resolve()
        self._environment = dict(environment)
        self._broker = broker
        self._personality = personality
        self._poll_s = poll_s
        self._powered: _Powered | None = None

    def start(self) -> None:
        """Run what was installed before, without waiting for the network, and take deployments from now on."""
        if self._powered is None:
            self._powered = _Powered(
                self.thing,
                self.root,
                cloud=self._environment,
                broker=self._broker,
                personality=self._personality,
                poll_s=self._poll_s,
            )

    def close(self) -> None:
        """Shut down in order: components get SIGTERM and their time of grace."""
        if self._powered is not None:
            self._powered.close()
            self._powered = None

    def power_cut(self) -> None:
        """Everything is dead at once, by SIGKILL. `start` is the power coming back."""
        if self._powered is not None:
            self._powered.cut()
            self._powered = None

    def pid(self, component: str) -> int | None:
        """The process of the component's `run`; None while there is none."""
        running = self._component(component)
        return running.pid if running is not None else None

    def state(self, component: str) -> State | None:
        """The component's state; None when it is not installed or the device is off."""
        running = self._component(component)
        return running.state if running is not None else None

    def version(self, component: str) -> str | None:
        """The version that runs; None when it is not installed or the device is off."""
        running = self._component(component)
        return running.recipe.version if running is not None else None

    def kill(self, component: str) -> None:
        """SIGKILL to the component's process group: an error, after which it is started again."""
        running = self._component(component)
        if running is None:
            raise DeployError(f"{self.thing} runs no component {component}")
        running.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _component(self, name: str) -> Component | None:
        return self._powered.device.component(name) if self._powered is not None else None


class _Powered:
    """What there is while the device has power: its components, IPC, the broker connection and two threads."""

    def __init__(
        self,
        thing: str,
        root: Path,
        *,
        cloud: Mapping[str, str],
        broker: Broker,
        personality: Personality,
        poll_s: float,
    ) -> None:
        self._thing = thing
        self._keep_old_s = personality.keep_old_s
        self._poll_s = poll_s
        self._off = threading.Event()
        region = cloud.get("AWS_DEFAULT_REGION", "us-east-1")
        with ExitStack() as opened:
            # not under root: the path of a unix socket is at most 107 bytes long
            folder = Path(tempfile.mkdtemp(prefix="tidegate-"))
            opened.callback(shutil.rmtree, folder)
            environment = {
                "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(folder / "ipc"),
                "AWS_IOT_THING_NAME": thing,
                "AWS_REGION": region,
                "AWS_DEFAULT_REGION": region,
                "GGC_VERSION": personality.version,
                "GG_ROOT_CA_PATH": str(broker.ca or root / "rootCA.pem"),
            }
            self.device = Device(thing, root, environment=environment, personality=personality)
            self._cloud = Cloud(cloud)
            opened.callback(self._cloud.close)
            self._connection = opened.enter_context(Connection(broker, client_id=thing))
            self._services = Services(self.device, self._connection, personality)
            self._server = opened.enter_context(
                IpcServer(folder / "ipc", self._services, frame_limit_bytes=personality.frame_limit_bytes)
            )
            self.device.start()
            self._opened = opened.pop_all()
        self._jobs = threading.Thread(target=self._take_jobs, name=f"jobs {thing}", daemon=True)
        self._inbox = threading.Thread(target=self._deliver, name=f"inbox {thing}", daemon=True)
        self._jobs.start()
        self._inbox.start()

    def close(self) -> None:
        # before the components go: a deployment at work must not take it for their failure
        self._off.set()
        self.device.stop()
        self._end()

    def cut(self) -> None:
        self._off.set()
        self.device.power_cut()
        self._end()

    def _end(self) -> None:
        self._jobs.join()
        self._opened.close()
        self._inbox.join()

    def _deliver(self) -> None:
        for message in self._connection.messages():
            self._server.post(self._services.deliver, message)

    def _take_jobs(self) -> None:
        away = False
        clean_at = time.monotonic()
        while not self._off.is_set():
            try:
                job = self._cloud.next_job(self._thing)
                if away:
                    log.info("%s: the cloud is back", self._thing)
                away = False
                if job is not None:
                    self._work_on(job)
                    clean_at = time.monotonic() + self._keep_old_s
            except DeployError as exc:
                if not away:
                    log.warning("%s: the cloud is away: %s", self._thing, exc)
                away = True
            if time.monotonic() >= clean_at:
                remove_old_files(self.device)
                clean_at = math.inf
            self._off.wait(self._poll_s)

    def _work_on(self, job: Job) -> None:
        before = self.device.state
        try:
            outcome = carry_out(job.document, self.device, self._cloud)
        except Exception as exc:  # the thread's entry point: whatever it is, the cloud must hear of it
            log.exception("%s: job %s", self._thing, job.id)
            outcome = Outcome("FAILED_UNABLE_TO_ROLLBACK", repr(exc))
        if self._off.is_set():
            return  # interrupted: the job is still in progress, and goes on when the power is back
        log.info("%s: job %s %s %s", self._thing, job.id, outcome.status, outcome.cause)
        for name, item in self.device.state.components.items():
            if name in before.components:
                paths = list(changes(before.components[name].configuration, item.configuration))
                self._server.post(self._services.configuration_changed, name, paths)
        while not self._off.is_set() and not self._reported(job, outcome):
            self._off.wait(self._poll_s)

    def _reported(self, job: Job, outcome: Outcome) -> bool:
        details = {"detailed-deployment-status": outcome.status, "deployment-failure-cause": outcome.cause}
        try:
            self._cloud.report(self._thing, job, succeeded=outcome.succeeded, details=details)
        except DeployError:
            return False
        return True
