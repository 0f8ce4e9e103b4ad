"""The cloud that light gateways report to: a broker and ingest, both the real ones, as processes of their own."""

import itertools
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from models.batch import batch_of
from models.errors import TidegateError, UplinkError
from models.mqtt import Connection
from models.records import Aggregate
from models.topics import SHARDS, acks_topic, results_topic, shard_of
from models.wire import encode_batch
from simulator import processes
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker

_START_S = 60.0
_ASK_AGAIN_S = 0.5


class LightCloud:
    """Up when constructed, gone when closed; the lake and the logs stay in `folder`.

    `workers` processes of ingest share the shards. Broker and ingest can be stopped, killed and started again.
    """

    def __init__(
        self, folder: Path, *, commit_s: float = 1.0, workers: int = 1, embedded_broker: bool | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.lake = self.folder / "lake"
        self._log = self.folder / "ingest.log"
        self._commit_s, self._workers = commit_s, workers
        self._authority = Authority(self.folder / "certificates")
        self.broker = LocalBroker(self.folder / "broker", self._authority, embedded=embedded_broker, plain=True)
        identity = self._authority.device(INGEST)
        self._environment = {
            "TIDEGATE_LAKE": str(self.lake),
            "TIDEGATE_BROKER": f"{self.broker.host}:{self.broker.port}",
            "TIDEGATE_BROKER_CA": str(identity.ca),
            "TIDEGATE_BROKER_CERTIFICATE": str(identity.certificate),
            "TIDEGATE_BROKER_KEY": str(identity.key),
        }
        self._ingest: list[subprocess.Popen[bytes]] = []
        self._spent_s = {"ingest": 0.0, "broker": 0.0}  # by processes that are gone
        try:
            self.start_broker()
            self.start_ingest()
        except BaseException:
            self.close()
            raise

    def start_broker(self) -> None:
        """Start it, or start it again; returns when whatever runs of ingest takes messages from it."""
        self.broker.start()
        if self._ingest:
            self._wait_for_answers()

    def kill_broker(self) -> None:
        self._spent_s["broker"] += processes.cpu_s(self.broker.pid)
        self.broker.kill()

    def start_ingest(self) -> None:
        """`tidegate ingest`, a process a worker; returns when they take messages in. TidegateError if they don't."""
        per_worker = SHARDS // self._workers
        for worker in range(self._workers):
            last = SHARDS - 1 if worker == self._workers - 1 else (worker + 1) * per_worker - 1
            shards = f"{worker * per_worker}-{last}"
            command = [sys.executable, "-m", "tidegate", "ingest", "--commit-s", str(self._commit_s)]
            self._ingest.append(
                processes.start([*command, "--shards", shards], log=self._log, environment=self._environment)
            )
        self._wait_for_answers()

    def kill_ingest(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        for process in self._ingest:
            self._spent_s["ingest"] += processes.cpu_s(process.pid)
            processes.kill(process)
        self._ingest.clear()

    def _wait_for_answers(self) -> None:
        """Until each worker answers: who asks sends the second record of a stream without a first one, which ingest
        answers and does not keep."""
        deadline = time.monotonic() + _START_S
        for probe in _probes(self._workers):
            identity = self._authority.device(probe)
            broker = identity.broker(self.broker.host, self.broker.port)
            with Connection(broker, client_id=probe, subscriptions=[acks_topic(probe)]) as link:
                while not (link.wait_until_ready(0.1) and _answered(link, probe)):
                    if time.monotonic() > deadline or not self.ingest_runs:
                        raise TidegateError(f"ingest did not answer within {_START_S:g} s; {self._log} says why")

    @property
    def ingest_runs(self) -> bool:
        return bool(self._ingest) and all(process.poll() is None for process in self._ingest)

    def cpu_s(self) -> Mapping[str, float]:
        """Processor time so far of "ingest" and "broker"."""
        ingest = sum(processes.cpu_s(process.pid) for process in self._ingest)
        return {
            "ingest": self._spent_s["ingest"] + ingest,
            "broker": self._spent_s["broker"] + processes.cpu_s(self.broker.pid),
        }

    def close(self) -> None:
        for process in self._ingest:
            processes.stop(process, patience_s=30)
        self._ingest.clear()
        self.broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _probes(workers: int) -> list[str]:
    """A name for each worker, of a gateway in one of its shards."""
    per_worker = SHARDS // workers
    found: dict[int, str] = {}
    for number in itertools.count():
        name = f"probe-{number}"
        found.setdefault(min(shard_of(name) // per_worker, workers - 1), name)
        if len(found) == workers:
            return list(found.values())
    raise AssertionError  # shards are spread evenly over names


def _answered(link: Connection, probe: str) -> bool:
    """Ask once; whether an answer comes soon."""
    question = Aggregate("probe", 0, 1.0, "", "", 0, 0, 0, 0)
    with suppress(UplinkError):
        link.publish(results_topic(probe), encode_batch(batch_of(f"{secrets.randbits(64):016x}", 2, [question])))
    return link.receive(_ASK_AGAIN_S) is not None
