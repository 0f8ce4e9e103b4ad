"""What a device is while it has power: its components, IPC, the broker connection, and taking deployments."""

import logging
import math
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from models.errors import DeployError
from models.mqtt import Broker, Connection
from simulator.nucleus.cloud import Cloud, Faults, Job
from simulator.nucleus.configuration import KeyPath
from simulator.nucleus.deployer import carry_out, remove_old_files
from simulator.nucleus.deployment import Deployment
from simulator.nucleus.device import Device, Outcome
from simulator.nucleus.device_state import DeviceState
from simulator.nucleus.fleet_status import fleet_status
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.making import Environment
from simulator.nucleus.personality import Personality
from simulator.nucleus.services import Services
from simulator.nucleus.token_exchange import TokenExchange

log = logging.getLogger(__name__)


class Powered:
    """On when constructed, until `close` or `cut`."""

    def __init__(
        self,
        thing: str,
        root: Path,
        *,
        cloud: Mapping[str, str],
        broker: Broker,
        personality: Personality,
        poll_s: float,
        run_as: str,
        adjust: Callable[[Environment], Environment],
        cloud_faults: Faults,
        secrets: Mapping[str, str],
    ) -> None:
        self._thing = thing
        self._personality = personality
        self._keep_old_s = personality.keep_old_s
        self._told: dict[str, Any] = {}
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
            exchange = TokenExchange(cloud, knows=lambda token: self.device.component_of(token) is not None)
            opened.callback(exchange.close)
            self.device = Device(
                thing,
                root,
                environment=environment,
                personality=personality,
                run_as=run_as,
                adjust=adjust,
                credentials=exchange.environment,
                configured=self._tell_configured,
            )
            self._cloud = Cloud(cloud, cloud_faults)
            opened.callback(self._cloud.close)
            self._connection = opened.enter_context(Connection(broker, client_id=thing))
            self._services = Services(self.device, self._connection, personality, secrets=secrets)
            opened.callback(self._services.close)
            self._server = opened.enter_context(IpcServer(folder / "ipc", self._services, personality))
            # components may be other users; who they are is what their token says
            folder.chmod(0o711)
            (folder / "ipc").chmod(0o666)
            self.device.start()
            self._opened = opened.pop_all()
        self._jobs = threading.Thread(target=self._take_jobs, name=f"jobs {thing}", daemon=True)
        self._inbox = threading.Thread(target=self._deliver, name=f"inbox {thing}", daemon=True)
        self._jobs.start()
        self._inbox.start()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self._connection.connected

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

    def _tell_configured(self, component: str, paths: list[KeyPath]) -> None:
        self._server.post(self._services.configuration_changed, component, paths)

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
                self._tell_status()
            except DeployError as exc:
                if not away:
                    log.warning("%s: the cloud is away: %s", self._thing, exc)
                away = True
            if time.monotonic() >= clean_at:
                remove_old_files(self.device)
                clean_at = math.inf
            self._off.wait(self._poll_s)

    def _tell_status(self) -> None:
        status = fleet_status(self.device, self._personality)
        if status != self._told and not self._off.is_set():
            self._cloud.tell(self._thing, status)
            self._told = status

    def _work_on(self, job: Job) -> None:
        asked: list[Deployment] = []

        def ask(deployment: Deployment) -> None:
            if deployment.notice_s is not None:
                asked.append(deployment)
                notices = self._services.notices
                notices.ask(deployment.id, timeout_s=deployment.notice_s, post=self._server.post, off=self._off)

        def check(deployment: Deployment, after: DeviceState) -> None:
            self._services.validity.check(
                deployment.id,
                self.device.state,
                after,
                timeout_s=deployment.validation_s,
                post=self._server.post,
                off=self._off,
            )

        try:
            outcome = carry_out(
                job.document, self._thing, self.device, self._cloud, ask=ask, check=check, off=self._off
            )
        except Exception as exc:  # the thread's entry point: whatever it is, the cloud must hear of it
            log.exception("%s: job %s", self._thing, job.id)
            outcome = Outcome("FAILED_UNABLE_TO_ROLLBACK", repr(exc))
        if self._off.is_set():
            return  # interrupted: the job is still in progress, and goes on when the power is back
        for deployment in asked:
            self._server.post(self._services.notices.tell_done, deployment.id)
        log.info("%s: job %s %s %s", self._thing, job.id, outcome.status, outcome.cause)
        while not self._off.is_set() and not self._reported(job, outcome):
            self._off.wait(self._poll_s)

    def _reported(self, job: Job, outcome: Outcome) -> bool:
        details = {"detailed-deployment-status": outcome.status, "deployment-failure-cause": outcome.cause}
        try:
            self._cloud.report(self._thing, job, succeeded=outcome.succeeded, details=details)
        except DeployError:
            return False
        return True
