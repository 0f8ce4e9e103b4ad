"""A process that records, killed at random with SIGKILL: nothing that was on disk is lost, nothing is there twice, and
the order is kept."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

import tidegate
from edge.spool import Spool
from models.records import Event, FrameResult

RECORDER = Path(__file__).with_name("recorder.py")


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.soak)])
def test_kills_at_random_lose_nothing_that_was_recorded_and_keep_the_order(tmp_path: Path, kills: int) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    spool, lake = tmp_path / "spool.db", tmp_path / "lake"
    lake.touch()
    promised = 0
    for _ in range(kills):
        promised = max(promised, record_until_killed(spool, lake, chance))
    records = everything(spool, lake)
    frames = sorted(number for kind, number in records.values() if kind == "FrameResult")
    print(f"{len(frames)} frames in {len({stream for stream, _ in records})} streams after {kills} kills")
    assert frames == list(range(len(frames))), "each once, none missing"
    assert len(frames) >= promised > 0
    events = sorted(number for kind, number in records.values() if kind == "Event")
    assert events == list(range(0, len(frames), 10)), "what happened in a frame is recorded with it, or not at all"
    streams: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for (stream, seq), (_, number) in records.items():
        streams[stream].append((seq, number))
    for numbered in streams.values():
        assert [seq for seq, _ in sorted(numbered)] == list(range(1, len(numbered) + 1))
        assert all(earlier[1] < later[1] for earlier, later in pairwise(sorted(numbered)))


def record_until_killed(spool: Path, lake: Path, chance: random.Random) -> int:
    """How many frames the process said were on disk."""
    root = Path(tidegate.__file__).parent
    process = subprocess.Popen(
        [sys.executable, str(RECORDER), str(spool), str(lake), str(chance.randrange(2**32))],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # it has begun
    time.sleep(chance.uniform(0, 0.3))
    assert process.poll() is None, process.communicate()[1].decode()
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    whole = [line for line in (first + said).decode().splitlines(keepends=True) if line.endswith("\n")]
    return int(whole[-1])


def everything(spool: Path, lake: Path) -> dict[tuple[str, int], tuple[str, int]]:
    """(stream, seq) -> (kind, frame), of the lake and of what still waits."""
    found: dict[tuple[str, int], tuple[str, int]] = {}
    for line in lake.read_text().splitlines():
        name, place, kind, frame = line.split()
        key, record = (name, int(place)), (kind, int(frame))
        # handed on again where the kill came before the acknowledgement was on disk: then it is the same record
        assert found.setdefault(key, record) == record
    with Spool(spool) as opened:
        assert opened.incidents() == []
        for waiting in opened.streams():
            for seq, item in opened.read(waiting.name, after=waiting.acked, limit=10**9):
                assert isinstance(item, FrameResult | Event)
                here = type(item).__name__, item.frame
                assert found.setdefault((waiting.name, seq), here) == here
    return found
