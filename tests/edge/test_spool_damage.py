"""A database that rots, goes or finds no room, while the gateway runs: what can be read is saved, and it goes on."""

import os
import random
import secrets
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge import spool_streams
from edge.spool import Spool
from models.detections import Detections
from models.errors import SpoolError
from models.records import Event, FrameResult, PicturePart, Record, Tombstone
from tests.disks import small_disk_at, use_up

Eventually = Callable[..., None]
PAGE = 2048


NOISE = np.random.default_rng(0)


def frame(number: int, things: int = 3) -> FrameResult:
    found = Detections.of(NOISE.uniform(0, 600, (things, 4)), [0.5] * things, [0] * things)
    return FrameResult.of("door", number, 1_000_000_000 + number, "coco", 1, found, ("thing",) * things)


def fill(spool: Spool, numbers: range) -> None:
    for number in numbers:
        spool.append(frame(number))
    spool.flush()


def frames(spool: Spool) -> list[int]:
    return sorted(record.frame for record in waiting(spool) if isinstance(record, FrameResult))


def waiting(spool: Spool) -> list[Record]:
    return [
        record for stream in spool.streams() for _, record in spool.read(stream.name, after=stream.acked, limit=100_000)
    ]


def lost(spool: Spool) -> int:
    return sum(record.last - record.first + 1 for record in waiting(spool) if isinstance(record, Tombstone))


def overwrite(path: Path, page: int, content: bytes) -> None:
    """Behind SQLite's back."""
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    with Spool(path, commit_s=0.05) as spool:
        yield spool


@pytest.mark.parametrize("page", [30, 31, 100, 101])
def test_a_page_that_rots_while_it_runs_costs_what_it_held_and_nothing_else(
    path: Path, page: int, eventually: Eventually
) -> None:
    with Spool(path) as spool:
        fill(spool, range(10))
        for number in range(300):
            spool.append(
                PicturePart("0123456789abcdef", 0, 1, "door", number, 1, "crop", (0, 0, 8, 8), NOISE.bytes(3_000))
            )
            spool.flush()
    with Spool(path) as spool:
        overwrite(path, page, os.urandom(PAGE))
        waiting(spool)
        fill(spool, range(10, 20))
        pictures = [record.frame for record in waiting(spool) if isinstance(record, PicturePart)]
        assert pictures == sorted(pictures)
        assert set(range(10, 20)) <= set(frames(spool))
        assert len(pictures) + len(frames(spool)) + lost(spool) == 320, "what is gone has a tombstone"
        assert spool.depth.dropped == lost(spool) > 0
        assert len(pictures) >= 290
        assert len(spool.incidents()) <= 1, "none where it held nothing but one record"
        eventually(lambda: spool.trouble == "")
        assert spool.last_frame("door") == 19


def test_a_start_without_the_page_that_all_others_hang_on_begins_anew(path: Path) -> None:
    with Spool(path) as spool:
        fill(spool, range(3_000))
    overwrite(path, 1, os.urandom(PAGE))
    with Spool(path) as spool:
        (incident,) = spool.incidents()
        assert "0 records saved, at least 0 lost" in incident
        fill(spool, range(10))
        assert frames(spool) == list(range(10))


def test_a_database_of_another_format_is_set_aside_but_for_the_last_frames(path: Path) -> None:
    path.parent.mkdir()
    earlier = sqlite3.connect(path)
    earlier.executescript(
        "CREATE TABLE records (stream TEXT, seq INTEGER, payload BLOB); "
        "CREATE TABLE streams (stream TEXT PRIMARY KEY, lane TEXT, opened_us INTEGER, last INTEGER, acked INTEGER); "
        "CREATE TABLE cameras (camera TEXT PRIMARY KEY, source TEXT NOT NULL, frame INTEGER NOT NULL); "
        "INSERT INTO streams VALUES ('0123456789abcdef', 'frames', 1, 5, 0); "
        "INSERT INTO cameras VALUES ('door', '', 41);"
    )
    earlier.close()
    with Spool(path) as spool:
        (incident,) = spool.incidents()
        assert "format 0 is not known" in incident
        assert spool.last_frame("door") == 41
        fill(spool, range(42, 50))
        assert frames(spool) == list(range(42, 50))
    assert path.with_name("spool.db.damaged").exists()


def test_a_database_that_is_deleted_while_it_runs_is_written_anew(spool: Spool, path: Path) -> None:
    fill(spool, range(500))
    for file in path.parent.glob("spool.db*"):
        file.unlink()
    fill(spool, range(500, 600))
    assert frames(spool) == list(range(600)), "what was deleted was still open"
    (incident,) = spool.incidents()
    assert "deleted or replaced" in incident
    assert "500 records saved, at least 0 lost" in incident
    spool.close()
    with Spool(path) as again:
        assert frames(again) == list(range(600))


def test_a_database_that_is_replaced_while_it_runs_is_set_aside(spool: Spool, path: Path, tmp_path: Path) -> None:
    fill(spool, range(100))
    Spool(tmp_path / "other.db").close()
    path.with_name(path.name + "-wal").unlink()
    shutil.move(tmp_path / "other.db", path)
    fill(spool, range(100, 200))
    assert frames(spool) == list(range(200))
    assert spool.trouble == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 10_000, os.urandom(100 * PAGE)],
)
def test_a_file_that_is_no_database_is_no_reason_not_to_start(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with Spool(path) as spool:
        fill(spool, range(10))
        assert frames(spool) == list(range(10))
        assert len(spool.incidents()) == (1 if content else 0)


def test_a_key_that_rots_before_a_damaged_page_ends_no_start_in_a_loop(path: Path) -> None:
    with Spool(path) as spool:
        for number in range(0, 400, 4):
            fill(spool, range(number, number + 4))
    content = bytearray(path.read_bytes())
    leaves = sorted(leaves_of_runs(content), key=lambda leaf: leaf[-1][1])
    place, _ = leaves[3][-2]
    content[place : place + 6] = b"\x80\x80\x80\x80\x80\0"  # a key of 0
    next_page = leaves[4][0][0] // PAGE
    content[next_page * PAGE : (next_page + 1) * PAGE] = os.urandom(PAGE)
    path.write_bytes(content)
    with Spool(path) as spool:
        assert len(frames(spool)) == 400 - 4 * (1 + len(leaves[4])), "the row between the two is saved"
        assert len(frames(spool)) + lost(spool) == 400


def leaves_of_runs(database: bytearray) -> Iterator[list[tuple[int, int]]]:
    """Of each page that holds runs, where their keys are, and what they are (SQLite's file format, 1.6)."""
    for page in range(1, len(database) // PAGE):
        start = page * PAGE
        if database[start] != 0x0D:  # a leaf of a table
            continue
        cells = []
        for index in range(int.from_bytes(database[start + 3 : start + 5])):
            pointer = start + 8 + 2 * index
            cell = start + int.from_bytes(database[pointer : pointer + 2])
            while database[cell] & 0x80:  # the payload's size
                cell += 1
            key = 0
            for byte in database[cell + 1 : cell + 7]:
                key = key << 7 | byte & 0x7F
            cells.append((cell + 1, key))
        if cells and cells[0][1] > 1 << 40:
            yield cells


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_database_gives_what_is_left(path: Path, part: float) -> None:
    with Spool(path) as spool:
        for number in range(0, 5_000, 50):
            fill(spool, range(number, number + 50))
        size = path.stat().st_size
    os.truncate(path, int(size * part))
    for _ in range(2):  # the second start finds nothing to mend
        with Spool(path) as spool:
            seen = frames(spool)
            assert seen == sorted(set(seen))
            assert set(seen) <= set(range(5_000))
            fill(spool, range(5_000, 5_010))
            spool.incidents()
        with Spool(path) as spool:
            assert spool.incidents() == []
            assert set(range(5_000, 5_010)) <= set(frames(spool))
            for stream in spool.streams():
                if spool.read(stream.name, after=0, limit=1) and stream.last == 10:
                    spool.acknowledge(stream.name, stream.last)


def test_a_disk_that_always_damages_is_given_up_and_results_wait_in_memory(spool: Spool, path: Path) -> None:
    fill(spool, range(100))
    for _ in range(spool_streams._RESCUES + 1):
        path.unlink()
        fill(spool, range(100))
    assert "in memory only" in spool.trouble
    assert len(spool.incidents()) == spool_streams._RESCUES + 1
    assert len(frames(spool)) == 100 * (spool_streams._RESCUES + 2)
    for stream in spool.streams():
        spool.acknowledge(stream.name, stream.last)
    spool.flush()
    assert spool.depth.records == 0
    fill(spool, range(200, 210))
    assert frames(spool) == list(range(200, 210))


def test_a_folder_that_vanishes_is_made_again(spool: Spool, path: Path) -> None:
    fill(spool, range(100))
    shutil.rmtree(path.parent)
    fill(spool, range(100, 110))
    assert frames(spool) == list(range(110))
    assert path.exists()


def test_a_place_that_is_gone_for_good_leaves_a_gateway_that_works(spool: Spool, path: Path) -> None:
    fill(spool, range(100))
    shutil.rmtree(path.parent)
    path.parent.write_text("no folder any more")
    fill(spool, range(100, 110))
    assert frames(spool) == list(range(110))
    assert "in memory only" in spool.trouble
    path.parent.unlink()


def test_a_rescue_that_was_interrupted_is_done_again(path: Path) -> None:
    with Spool(path) as spool:
        fill(spool, range(3_000))
    (path.with_name("spool.db.rescue")).write_bytes(b"half a rescue")
    overwrite(path, 5, os.urandom(PAGE))
    with Spool(path) as spool:
        assert len(frames(spool)) + lost(spool) == 3_000
    # and one that was interrupted when only its place was missing
    path.rename(path.with_name("spool.db.rescue"))
    with Spool(path) as spool:
        assert len(frames(spool)) + lost(spool) == 3_000
        assert spool.incidents() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    with small_disk_at(tmp_path / "disk", "8m") as place:
        yield place


def test_a_full_disk_is_waited_for_and_nothing_is_lost(small_disk: Path, eventually: Eventually) -> None:
    with Spool(small_disk / "spool.db", commit_s=0.02) as spool:
        fill(spool, range(500))
        ballast = use_up(small_disk)
        recorded = list(range(500))
        enough = threading.Event()

        def record() -> None:
            while not enough.is_set():
                spool.append(frame(len(recorded), things=5))
                recorded.append(len(recorded))

        recorder = threading.Thread(target=record)  # on its own: it waits while the disk is full
        recorder.start()
        eventually(lambda: "full" in spool.trouble)
        enough.set()
        # what the lake has still goes
        (stream, *_) = spool.streams()
        spool.acknowledge(stream.name, stream.last)
        before = stream.last
        ballast.unlink()
        recorder.join(20)
        eventually(lambda: spool.trouble == "")
        spool.append(Event("door", 1, 1, "line", "fence", alarm=True))
        spool.flush()
        assert frames(spool) == recorded[before:]
        assert spool.depth.dropped == 0


def test_a_start_on_a_full_disk_sends_what_waits(small_disk: Path, eventually: Eventually) -> None:
    path = small_disk / "spool.db"
    with Spool(path) as spool:
        fill(spool, range(500))
    ballast = use_up(small_disk)
    with Spool(path, commit_s=0.02) as spool:
        assert frames(spool) == list(range(500))
        (stream,) = spool.streams()
        spool.acknowledge(stream.name, 300)
        assert spool.streams()[0].acked == 300
        eventually(lambda: "full" in spool.trouble)
        ballast.unlink()
        eventually(lambda: spool.trouble == "")
    with Spool(path) as spool:
        assert frames(spool) == list(range(300, 500))


def test_a_card_that_turns_read_only_leaves_a_gateway_that_works(
    spool: Spool, path: Path, eventually: Eventually
) -> None:
    fill(spool, range(100))
    kept = [*path.parent.iterdir(), path.parent]
    try:
        # the closest to it that works on one's own files: what is open can't be written any more either
        frozen = subprocess.run(["chattr", "+i", *map(str, kept)], capture_output=True, check=False)
        if frozen.returncode:
            pytest.skip("chattr takes root, and a file system that knows it")
        spool.append(frame(100))
        eventually(lambda: "in memory only" in spool.trouble)
        fill(spool, range(101, 110))
        assert frames(spool) == list(range(110))
    finally:
        subprocess.run(["chattr", "-i", *map(str, reversed(kept))], capture_output=True, check=False)


def test_a_damaged_database_on_a_full_disk_is_read_into_memory(small_disk: Path) -> None:
    path = small_disk / "spool.db"
    with Spool(path) as spool:
        fill(spool, range(3_000))
    with path.open("r+b") as file:
        file.seek(9 * PAGE)
        file.write(os.urandom(PAGE))
    ballast = use_up(small_disk)
    spool = Spool(path)
    assert "in memory only" in spool.trouble
    assert len(frames(spool)) > 2_500
    fill(spool, range(3_000, 3_010))
    assert set(range(3_000, 3_010)) <= set(frames(spool))
    with pytest.raises(SpoolError, match="records were in memory only and are lost"):
        spool.close()
    ballast.unlink()
    with Spool(path) as spool:
        assert spool.trouble == ""
        assert len(frames(spool)) > 2_500


@pytest.mark.parametrize("examples", [15, pytest.param(500, marks=pytest.mark.soak)])
def test_whatever_bytes_rot_it_starts_makes_up_nothing_and_goes_on(tmp_path: Path, examples: int) -> None:
    whole = tmp_path / "whole.db"
    with Spool(whole) as spool:
        for number in range(0, 2_000, 40):
            fill(spool, range(number, number + 40))
            spool.append(Event("door", number, 1, "line", "fence", alarm=True))
        spool.flush()
    good, seed = whole.read_bytes(), secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for example in range(examples):
        rotten = bytearray(good)
        for _ in range(chance.choice([1, 1, 5, 50])):
            place, size = chance.randrange(len(rotten)), chance.choice([1, 16, PAGE])
            rotten[place : place + size] = chance.randbytes(size)
        path = tmp_path / str(example) / "spool.db"
        path.parent.mkdir()
        path.write_bytes(rotten[: len(good)])
        before = -1
        with Spool(path) as spool:
            for stream in spool.streams():
                expected = stream.acked + 1
                for seq, record in spool.read(stream.name, after=stream.acked, limit=100_000):
                    assert seq == expected
                    expected = record.last + 1 if isinstance(record, Tombstone) else seq + 1
                    if isinstance(record, FrameResult):
                        assert record.frame == seq - 1
                assert expected == stream.last + 1
            before = spool.depth.records
            fill(spool, range(2_000, 2_010))
            assert spool.trouble == ""
        with Spool(path) as spool:
            assert spool.depth.records >= before + 10
