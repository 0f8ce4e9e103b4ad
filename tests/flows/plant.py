"""A real gateway process, a real broker behind a bad link, and a small cloud behind that."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import tidegate
from models.errors import UplinkError
from models.mqtt import Connection
from models.records import Health
from models.topics import acks_topic, results_filter, shard_of
from simulator.authority import Authority
from simulator.bad_link import BadLink
from simulator.broker import INGEST, LocalBroker
from simulator.small_cloud import SmallCloud
from simulator.witness import Witness

GATEWAY = "line-1"


class Plant:
    """One gateway of the colour model, whose process can be started again and again.

    `camera` is an inline TOML table; the model is either `package`, or what a pointer under `pointers` leads to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        camera: str,
        trust: Path,
        package: Path | None = None,
        pointers: Path | None = None,
        kind: Literal["mqtt", "aws"] = "mqtt",
        ack_timeout_s: float = 1.0,
        state: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.state = state or folder / "state"
        self.cloud = SmallCloud()
        self.silent = False  # the cloud takes everything in, and its acknowledgements get lost
        self.processes: list[subprocess.Popen[bytes]] = []
        self._closed = False
        self._witness = Witness(self.state / "spool.db")
        authority = Authority(folder / "authority")
        self.broker = LocalBroker(folder / "broker", authority)
        self.broker.start()
        self.link = BadLink(self.broker.port)
        own = authority.device(GATEWAY)
        model = f'package = "{package}"' if package else f'pointers = "{pointers}"'
        self._config = folder / "gateway.toml"
        self._config.write_text(
            f"""
            model = "colour"
            window_s = 0.3
            ack_timeout_s = {ack_timeout_s}
            trust = "{trust}"
            state = "{self.state}"
            {model}
            cameras = [{camera}]
            [uplink]
            kind = "{kind}"
            host = "{self.broker.host}"
            port = {self.link.port}
            ca = "{own.ca}"
            certificate = "{own.certificate}"
            key = "{own.key}"
            """
        )
        self._connection = Connection(
            authority.device(INGEST).broker(self.broker.host, self.broker.port),
            client_id=INGEST,
            subscriptions=[results_filter(shard_of(GATEWAY))],
        )
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        assert self._connection.wait_until_ready(20)

    def start(
        self, *flags: str, program: str = "tidegate", environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """`program` is the module to run, which takes tidegate's arguments."""
        root = Path(tidegate.__file__).parent
        command = [sys.executable, "-m", program, "gateway", "run", "--name", GATEWAY]
        process = subprocess.Popen(
            [*command, "--config", str(self._config), "--json", *flags],
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def say(self, payload: bytes) -> None:
        """Send something to the gateway's acknowledgements, as only ingest can."""
        self._connection.publish(acks_topic(GATEWAY), payload)

    def recorded(self) -> list[tuple[str, int]]:
        return [(record.stream, record.seq) for record in self._witness.frames()]

    def reports(self) -> list[Health]:
        return self.cloud.reports()

    def close(self) -> None:
        """Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self._connection.close()
        self._thread.join()
        self.link.close()
        self.broker.close()

    def _answer(self) -> None:
        for message in self._connection.messages():
            answer = self.cloud.take(message.topic, message.payload)
            if answer is not None and not self.silent:
                try:
                    self._connection.publish(answer.topic, answer.payload)
                except UplinkError:
                    continue  # the gateway will ask again


def finish(process: subprocess.Popen[bytes], timeout_s: float = 60) -> tuple[int, str, str]:
    """Status, output and errors of a process that ends by itself."""
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out.decode(), err.decode()


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 20) -> None:
    """Until it holds; a timeout is a failure of the test."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s:g} s"
        time.sleep(0.01)
