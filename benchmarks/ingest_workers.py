"""What a second ingest worker adds: two processes on disjoint shards of one lake, against one; 1.6 times are required.

Each is pinned to a core of its own and fed directly, without a broker, with full rounds of the same fleet
(fleet_minute.py): what they share is the lake's tables, on which both commit, and the disk. One and two take turns; the
best of each counts, from the first message until both are done.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.fleet_minute import FleetMinutes
from benchmarks.ingest_speed import Acknowledged
from benchmarks.learning import on_two_cores
from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import MAX_MESSAGES_OF_A_ROUND, Ingest, collect_rarely
from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from greengrass.objects import DiskStore
from models.topics import parse_results_topic

TURNS = 3
ROUNDS = 6
WORKERS = 2


def main() -> int:
    if sys.argv[1:2] == ["worker"]:
        return _work(Path(sys.argv[2]), int(sys.argv[3]))
    on_two_cores()
    wall_s, cpu_s = dict.fromkeys((1, 2), float("inf")), dict.fromkeys((1, 2), float("inf"))
    for _ in range(TURNS):
        for workers in wall_s:
            wall, cpu = _together(workers)
            wall_s[workers], cpu_s[workers] = min(wall_s[workers], wall), min(cpu_s[workers], cpu)
    detections = ROUNDS * _gateways() * FleetMinutes().detections
    speeds = {workers: workers * detections / seconds for workers, seconds in wall_s.items()}
    measured = (
        f"two workers {speeds[2]:,.0f}, one {speeds[1]:,.0f} detections/s by the wall's clock, fed directly, {ROUNDS} "
        f"rounds of {_gateways()} gateway minutes each, a core each; best of {TURNS} turns; by "
        f"processor time, where waiting for each other and the disk is not seen, {2 * cpu_s[1] / cpu_s[2]:.2f} x"
    )
    return report(Bar("ingest with two workers / one", speeds[2] / speeds[1], 1.6, "higher", "x", measured))


def _together(workers: int) -> tuple[float, float]:
    """Seconds until all were done, and of processor time of the one that took most."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Path(folder) / "lake"
        DeltaSink(lake)
        command = [sys.executable, "-m", "benchmarks.ingest_workers", "worker", str(lake)]
        running = [
            subprocess.Popen(
                ["taskset", "-c", str(core), *command, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, core in zip(range(workers), sorted(os.sched_getaffinity(0)), strict=False)
        ]
        for process in running:
            assert process.stdout
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a worker did not start")
        began = time.perf_counter()
        for process in running:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.stdout.readline() for process in running if process.stdout]
        wall_s = time.perf_counter() - began
        failed = [process.returncode for process in running if process.wait()]  # all are waited for
        if failed:
            raise SystemExit("a worker failed")
        (row,) = Lake(lake).query("SELECT count(*) AS n, count(DISTINCT (stream, seq)) AS d FROM frames").to_pylist()
        expected = workers * ROUNDS * _gateways() * len(FleetMinutes().frames)
        if (row["n"], row["d"]) != (expected, expected):
            raise SystemExit(f"{row} frames are in the lake, expected {expected}, each once")
        return wall_s, max(map(float, said))


def _work(lake: Path, worker: int) -> int:
    """The rounds of a worker: gateways of its shards alone."""
    fleet = FleetMinutes()
    mine = [
        gateway
        for gateway in range(3 * _gateways())
        if parse_results_topic(next(fleet.messages(gateway, 0)).topic).shard % WORKERS == worker
    ][: _gateways()]
    rounds = [[message for gateway in mine for message in fleet.messages(gateway, turn)] for turn in range(ROUNDS)]
    quarantine, pictures = Quarantine(DiskStore(lake / "quarantine")), Pictures(DiskStore(lake / "objects"))
    ingest = Ingest(Acknowledged(), DeltaSink(lake), quarantine, pictures, commit_s=0)
    collect_rarely()
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    for messages in rounds:
        ingest.take_in(messages)
    print(time.process_time() - began, flush=True)
    return 0


def _gateways() -> int:
    return MAX_MESSAGES_OF_A_ROUND // len(list(FleetMinutes().messages(0, 0)))


if __name__ == "__main__":
    sys.exit(main())
