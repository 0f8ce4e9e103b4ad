"""A real gateway process, a real broker behind a bad link, and a small cloud behind that."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import tidegate
from models.errors import UplinkError
from models.health import Health
from models.mqtt import Connection
from models.topics import acks_topic, results_filter, shard_of
from simulator.authority import Authority
from simulator.bad_link import BadLink
from simulator.broker import INGEST, LocalBroker
from simulator.small_cloud import SmallCloud
from simulator.witness import Witness
from tests.edge.lite import lite

GATEWAY = "line-1"
Kind = Literal["mqtt", "aws", "ipc"]


class Plant:
    """One gateway of the colour model, whose process can be started again and again.

    `camera` as in the configuration; the model is either `package`, or what a pointer under `pointers` leads to. Of
    kind "ipc" it is the Greengrass component, below a nucleus that is connected to the broker.
    """

    def __init__(
        self,
        folder: Path,
        *,
        camera: Mapping[str, object],
        trust: Path,
        package: Path | None = None,
        pointers: Path | None = None,
        kind: Kind = "mqtt",
        ack_timeout_s: float = 1.0,
        window_s: float = 0.3,
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
        settings: dict[str, object] = {
            "model": "colour",
            "window_s": window_s,
            "ack_timeout_s": ack_timeout_s,
            "trust": str(trust),
            "state": str(self.state),
            "cameras": [dict(camera)],
            **({"package": str(package)} if package else {"pointers": str(pointers)}),
        }
        self._environment: dict[str, str] = {}
        self._command = [sys.executable, "-m", "edge.component"]
        self._stack = ExitStack()
        if kind == "ipc":
            nucleus = lite(GATEWAY, folder / "root", own.broker("localhost", self.link.port), {"gateway": settings})
            self._environment.update(self._stack.enter_context(nucleus).environment)
        else:
            settings["uplink"] = {
                "kind": kind,
                "host": self.broker.host,
                "port": self.link.port,
                "ca": str(own.ca),
                "certificate": str(own.certificate),
                "key": str(own.key),
            }
            config = folder / "gateway.toml"
            config.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in settings.items()))
            self._command = [sys.executable, "-m", "tidegate", "gateway", "run", "--name", GATEWAY, "--json"]
            self._command += ["--config", str(config)]
        self._connection = Connection(
            authority.device(INGEST).broker(self.broker.host, self.broker.port),
            client_id=INGEST,
            subscriptions=[results_filter(shard_of(GATEWAY))],
        )
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        assert self._connection.wait_until_ready(20)

    def start(
        self, *flags: str, program: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """`program` is a module to run with tidegate's arguments, in its place."""
        command = [*self._command, *flags]
        if program:
            command[2] = program
        process = subprocess.Popen(
            command,
            cwd=Path(tidegate.__file__).parent,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self._environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def complete(self, process: subprocess.Popen[bytes], frames: int, *, timeout_s: float = 120) -> str:
        """Let it go on until all frames of its file are in the cloud, and end well; what it said."""
        if self._environment:  # a component goes on until it is told to end
            wait_for(lambda: len(self.cloud.frames) == frames or process.poll() is not None, timeout_s=timeout_s)
            process.terminate()
        code, _, err = finish(process, timeout_s)
        # a component that finds everything done may be told to end before it has begun
        assert code == 0 or (self._environment and code == -signal.SIGTERM), err
        assert "Traceback" not in err
        return err

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
        self._stack.close()
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


def _toml(value: object) -> str:
    """Strings, numbers and lists are written as in JSON; tables are inline."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)


def finish(process: subprocess.Popen[bytes], timeout_s: float = 60) -> tuple[int, str, str]:
    """Status, output and errors of a process that ends by itself."""
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out.decode(), err.decode()


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    """Until it holds; a timeout is a failure of the test."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s:g} s"
        time.sleep(0.01)
