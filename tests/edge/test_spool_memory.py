"""Results that wait in memory, since the disk took nothing, go back to it once it does: each once, in its place."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import spool as spool_module
from edge import spool_rescue
from edge.spool import Spool
from models.detections import Detections
from models.records import FrameResult, Tombstone
from tests.edge.conftest import wait_until

Eventually = Callable[..., None]


class Disk:
    """A disk that can be pulled out, and put in again as it was."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "state" / "spool.db"
        self._kept = folder / "kept"

    def pull(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copytree(self.path.parent, self._kept)
        shutil.rmtree(self.path.parent)
        self.path.parent.write_text("nothing is mounted here")

    def put_in(self) -> None:
        self.path.parent.unlink()
        shutil.move(self._kept, self.path.parent)

    @property
    def is_in(self) -> bool:
        return self.path.parent.is_dir()


def frame(number: int) -> FrameResult:
    found = Detections.of([(1, 2, 30, 40)], [0.5], [0])
    return FrameResult.of("door", number, 1_000_000_000 + number, "coco", 1, found, ("thing",))


def fill(spool: Spool, numbers: range) -> None:
    for number in numbers:
        spool.append(frame(number))
    spool.flush()


def waiting(spool: Spool) -> dict[tuple[str, int], int]:
    """(stream, seq) -> the frame's number; no tombstone is expected."""
    found = {}
    for stream in spool.streams():
        for seq, record in spool.read(stream.name, after=stream.acked, limit=100_000):
            assert isinstance(record, FrameResult)
            found[stream.name, seq] = record.frame
    return found


def wait_until_well(spool: Spool) -> None:
    wait_until(lambda: spool.trouble == "")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_RETURN_S", (0.01, 0.01))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def in_memory(disk: Disk) -> Iterator[Spool]:
    """A spool whose disk was pulled out when 100 frames were on it; 10 are in memory only."""
    with Spool(disk.path, commit_s=3600) as spool:
        fill(spool, range(100))
        disk.pull()
        fill(spool, range(100, 110))
        assert "in memory only" in spool.trouble
        yield spool


def test_what_waits_in_memory_goes_to_the_disk_once_that_is_back(in_memory: Spool, disk: Disk) -> None:
    before = waiting(in_memory)
    (old, *_) = in_memory.streams()
    in_memory.acknowledge(old.name, 50)
    in_memory.flush()
    in_memory.incidents()
    disk.put_in()
    wait_until_well(in_memory)
    (incident,) = in_memory.incidents()
    assert "takes writes again: 60 records of the memory are on it" in incident
    fill(in_memory, range(110, 120))
    after = waiting(in_memory)
    assert sorted(after.values()) == list(range(50, 120))
    assert {key: number for key, number in after.items() if number < 110}.items() <= before.items()
    in_memory.close()
    with Spool(disk.path) as again:
        assert waiting(again) == after
        assert (again.incidents(), again.depth.records, again.last_frame("door")) == ([], 70, 119)


def test_a_disk_that_is_back_when_the_gateway_stops_gets_what_waits(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_RETURN_S", (3600, 3600))
    with Spool(disk.path) as spool:
        fill(spool, range(10))
        disk.pull()
        fill(spool, range(10, 20))
        disk.put_in()
    with Spool(disk.path) as again:
        assert sorted(waiting(again).values()) == list(range(20))


@pytest.mark.parametrize("step", range(4))
def test_a_return_that_fails_anywhere_is_done_again_and_a_start_in_between_doubles_nothing(
    in_memory: Spool, disk: Disk, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[Callable[..., None]] = [spool_rescue._remove, spool_rescue._move, spool_rescue._finish]
    name = ["_remove", "_move", "_finish", "_move"][step]
    work, calls, failed = getattr(spool_rescue, name), Counter[str](), tmp_path / "failed"
    assert work in works

    def failing(*args: Path) -> None:
        calls[name] += 1
        if calls[name] == (2 if step == 3 else 1):
            shutil.copytree(disk.path.parent, failed)  # what a process that dies here leaves
            raise OSError(5, "Input/output error")
        work(*args)

    monkeypatch.setattr(spool_rescue, name, failing)
    before = waiting(in_memory)
    disk.put_in()
    wait_until_well(in_memory)
    assert waiting(in_memory) == before
    assert failed.is_dir()
    with Spool(failed / "spool.db", commit_s=3600) as started:
        for key, number in waiting(started).items():
            assert before[key] == number
        fill(started, range(110, 111))
        assert not {key[0] for key, number in waiting(started).items() if number == 110} & {key[0] for key in before}


STEPS = st.lists(st.sampled_from(["record", "acknowledge", "pull", "put in", "restart"]), max_size=14)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_the_disk_does_no_record_has_two_places_and_none_is_silently_gone(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A spool that restarts on the disk as it is; while that is out, a stop waits for it."""
    disk = Disk(tmp_path_factory.mktemp("disk"))
    spool = Spool(disk.path, commit_s=3600)
    lake: dict[tuple[str, int], int | None] = {}
    number = 0

    def hand_on(share: int) -> None:
        for stream in spool.streams():
            upto = stream.acked + (stream.last - stream.acked) // share
            for seq, record in spool.read(stream.name, after=stream.acked, limit=100_000):
                if isinstance(record, Tombstone):
                    lake.update({(stream.name, gone): None for gone in range(seq, record.last + 1)})
                elif seq <= upto:
                    assert isinstance(record, FrameResult)
                    assert lake.setdefault((stream.name, seq), record.frame) == record.frame
            spool.acknowledge(stream.name, upto)
        spool.flush()

    for step in steps:
        match step:
            case "record":
                fill(spool, range(number, number + 7))
                number += 7
            case "acknowledge":
                hand_on(2)
            case "pull" if disk.is_in:
                disk.pull()
            case "put in" if not disk.is_in:
                disk.put_in()
                wait_until_well(spool)
            case "restart" if disk.is_in:
                spool.close()
                spool = Spool(disk.path, commit_s=3600)
    if not disk.is_in:
        disk.put_in()
        wait_until_well(spool)
    hand_on(1)
    spool.close()
    assert sorted(frame for frame in lake.values() if frame is not None) == list(range(number))
