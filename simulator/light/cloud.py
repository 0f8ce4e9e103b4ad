"""The cloud that light gateways report to: a broker and ingest, both the real ones, as processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from models.errors import TidegateError
from models.topics import SHARDS
from simulator import processes
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker

_START_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class LightCloud:
    """Up when constructed, gone when closed; the lake and the logs stay in `folder`.

    `workers` processes of ingest share the shards. Broker and ingest can be stopped, killed and started again.
    """

    def __init__(
        self, folder: Path, *, commit_s: float = 1.0, workers: int = 1, embedded_broker: bool | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.lake = self.folder / "lake"
        self._commit_s, self._workers = commit_s, workers
        authority = Authority(self.folder / "certificates")
        self.broker = LocalBroker(self.folder / "broker", authority, embedded=embedded_broker, plain=True)
        identity = authority.device(INGEST)
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
        self.broker.start()

    def kill_broker(self) -> None:
        self._spent_s["broker"] += _cpu_s(self.broker.pid)
        self.broker.kill()

    def start_ingest(self) -> None:
        """`tidegate ingest`, a process a worker; returns when they take messages in. TidegateError if they don't."""
        log = self.folder / "ingest.log"
        said = _times_said(log)
        per_worker = SHARDS // self._workers
        for worker in range(self._workers):
            last = SHARDS - 1 if worker == self._workers - 1 else (worker + 1) * per_worker - 1
            shards = f"{worker * per_worker}-{last}"
            command = [sys.executable, "-m", "tidegate", "ingest", "--commit-s", str(self._commit_s)]
            self._ingest.append(processes.start([*command, "--shards", shards], log=log, environment=self._environment))
        deadline = time.monotonic() + _START_S
        while _times_said(log) < said + self._workers:
            if time.monotonic() > deadline or not self.ingest_runs:
                raise TidegateError(f"ingest did not start within {_START_S:g} s; {log} says why")
            time.sleep(0.02)

    def kill_ingest(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        for process in self._ingest:
            self._spent_s["ingest"] += _cpu_s(process.pid)
            processes.kill(process)
        self._ingest.clear()

    @property
    def ingest_runs(self) -> bool:
        return bool(self._ingest) and all(process.poll() is None for process in self._ingest)

    def cpu_s(self) -> Mapping[str, float]:
        """Processor time so far of "ingest" and "broker"."""
        ingest = sum(_cpu_s(process.pid) for process in self._ingest)
        return {
            "ingest": self._spent_s["ingest"] + ingest,
            "broker": self._spent_s["broker"] + _cpu_s(self.broker.pid),
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


def _times_said(log: Path) -> int:
    return log.read_bytes().count(b"taking in shards") if log.exists() else 0


def _cpu_s(pid: int | None) -> float:
    """Processor time of a process, its threads included; 0 for one that is gone."""
    if pid is None:
        return 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
