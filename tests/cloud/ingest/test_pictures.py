"""Pictures are in the object store, whole, before the lake names them, however they are cut and whatever dies."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.ingest import pictures as under_test
from cloud.ingest.pictures import Pictures, chain
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from cloud.lake.table import LakeTable
from greengrass.objects import DiskStore
from models.errors import LakeError, StoreError
from models.mqtt import Message
from models.records import PicturePart, Record
from models.topics import results_topic
from tests.cloud.ingest.world import PlainLink
from tests.cloud.lake.results import frame, lost, message, picture

JPEG = b"\xff\xd8\xff" + bytes(range(256)) * 8


class PowerCutError(BaseException):
    """Nobody gets to tidy up."""


class FullStore(DiskStore):
    """A store that takes so many writes more."""

    left = 0

    def put(self, key: str, data: bytes) -> None:
        if self.left <= 0:
            raise StoreError(f"{key}: no space left")
        self.left -= 1
        super().put(key, data)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def worker(lake: Path, store: DiskStore | None = None) -> Ingest:
    pictures = Pictures(store or DiskStore(lake / "objects"))
    return Ingest(PlainLink(), DeltaSink(lake), Quarantine(DiskStore(lake / "quarantine")), pictures, commit_s=0.05)


def sent(records: Sequence[Record], first: int, *, gateway: str = "gw-1") -> list[Message]:
    return [Message(results_topic(gateway), message(list(records), first=first))]


def kept(lake: Path) -> dict[str, bytes]:
    """What the lake names, as it lies in the store."""
    rows = Lake(lake).query("SELECT picture, uri, bytes FROM pictures").to_pylist()
    found = {row["picture"]: Path(row["uri"].removeprefix("file://")).read_bytes() for row in rows}
    assert len(found) == len(rows)
    assert all(len(found[row["picture"]]) == row["bytes"] for row in rows)
    return found


def objects(lake: Path) -> list[str]:
    return list(DiskStore(lake / "objects").list(""))


def test_a_picture_in_one_batch_is_kept_and_found_by_its_event(lake: Path) -> None:
    worker(lake).take_in(sent([frame(1), *picture(5, parts=3, data=JPEG)], first=1))

    assert kept(lake) == {f"{5:016x}": JPEG}
    assert objects(lake) == [f"gateway-gw-1/2026-11-18/{5:016x}.jpg"]
    (row,) = Lake(lake).query("SELECT * EXCLUDE (uri, captured_at) FROM pictures").to_pylist()
    assert row == {
        "gateway": "gw-1",
        "stream": "00000000000000a1",
        "seq": 4,
        "picture": f"{5:016x}",
        "camera": "belt",
        "frame": 5,
        "kind": "snapshot",
        "x1": 0.0,
        "y1": 0.0,
        "x2": 640.0,
        "y2": 480.0,
        "bytes": len(JPEG),
    }


def test_parts_wait_for_the_last_over_restarts(lake: Path) -> None:
    parts = picture(5, parts=4, data=JPEG)
    for seq, part in enumerate(parts, 1):
        assert kept(lake) == {} if seq > 1 else True
        worker(lake).take_in(sent([part], first=seq))

    assert kept(lake) == {f"{5:016x}": JPEG}
    assert len(objects(lake)) == 1  # the parts are gone


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_cuts_and_crashes_leave_every_picture_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Each attempt sends some records from what is acknowledged on, and may die at any write to store or lake."""
    lake = tmp_path_factory.mktemp("pictures") / "lake"
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    wanted = {f"{n:016x}": JPEG[: 99 + n] for n in range(len(sizes))}
    records: list[Record] = []
    for n, parts in enumerate(sizes):
        records += picture(n, parts=parts, data=JPEG[: 99 + n])
    acked, attempts = 0, 0
    while acked < len(records):
        attempts += 1
        ingest, ends = worker(lake), sorted(data.draw(st.sets(st.integers(acked + 1, len(records)), min_size=1)))
        die_after = data.draw(st.integers(0, 12)) if attempts < 4 else 1000
        with pytest.MonkeyPatch.context() as patch:
            die(patch, after=die_after)
            try:
                first = acked + 1
                for end in ends:
                    ingest.take_in(sent(records[first - 1 : end], first=first))
                    first = end + 1
            except PowerCutError:
                pass
        link = ingest.link
        assert isinstance(link, PlainLink)
        acked = max([acked, *(ack.last for ack in link.told())])
        assert set(kept(lake)) >= {f"{n:016x}" for n in range(len(sizes)) if sum(sizes[: n + 1]) <= acked}

    assert kept(lake) == wanted


def die(patch: pytest.MonkeyPatch, *, after: int) -> None:
    """The process dies when it has written so often."""
    left = [after]

    def dying(real: object) -> object:
        def write(*args: object) -> object:
            if left[0] == 0:
                raise PowerCutError
            left[0] -= 1
            return real(*args)  # type: ignore[operator]

        return write

    for cls, name in ((DiskStore, "put"), (DiskStore, "remove"), (LakeTable, "append")):
        patch.setattr(cls, name, dying(getattr(cls, name)))


def test_a_picture_that_lost_a_part_is_no_picture_and_leaves_nothing(lake: Path) -> None:
    first, _, third = picture(5, parts=3, data=JPEG)
    ingest = worker(lake)
    ingest.take_in(sent([first], first=1))
    ingest.take_in(sent([lost(2, 2), third, *picture(6)], first=2))

    assert list(kept(lake)) == [f"{6:016x}"]
    assert len(objects(lake)) == 1


def test_a_picture_that_another_cuts_short_is_no_picture(lake: Path) -> None:
    worker(lake).take_in(sent([*picture(5, parts=3)[:2], *picture(6)], first=1))

    assert list(kept(lake)) == [f"{6:016x}"]
    assert len(objects(lake)) == 1


def test_a_store_that_is_full_stops_the_acknowledgement_and_nothing_else(lake: Path) -> None:
    store = FullStore(lake / "objects")
    ingest = worker(lake, store)
    store.left = 1
    ingest.take_in(sent(picture(5, parts=3, data=JPEG)[:2], first=1))

    with pytest.raises(LakeError, match="no space left"):
        ingest.take_in(sent(picture(5, parts=3, data=JPEG)[2:], first=3))
    # another gateway's success must not throw away what this one's next try needs
    ingest.take_in(sent([frame(1)], first=1, gateway="gw-2"))
    store.left = 10
    ingest.take_in(sent(picture(5, parts=3, data=JPEG)[2:], first=3))

    assert kept(lake) == {f"{5:016x}": JPEG}
    link = ingest.link
    assert isinstance(link, PlainLink)
    assert [ack.last for ack in link.told()] == [2, 3]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (picture(5, data=b"<html>"), "it is no JPEG"),
        (picture(5, parts=3)[1:], "parts of it were lost"),
    ],
)
def test_what_is_no_picture_is_said_and_does_not_stop_the_stream(
    lake: Path, parts: list[PicturePart], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    ingest = worker(lake)
    ingest.take_in(sent([*parts, frame(9)], first=1))

    assert kept(lake) == {}
    assert objects(lake) == []
    assert f"picture {5:016x} of gw-1 is not kept: {words}" in caplog.text
    link = ingest.link
    assert isinstance(link, PlainLink)
    assert [ack.last for ack in link.told()] == [len(parts) + 1]


def test_a_picture_without_end_is_cut_off(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_PICTURE_BYTES", 1000)
    ingest = worker(lake)
    for seq, part in enumerate(picture(5, parts=4, data=JPEG), 1):
        ingest.take_in(sent([part], first=seq))

    assert (kept(lake), objects(lake)) == ({}, [])


def test_very_many_pictures_are_taken_in_by_and_by(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_PICTURES_OF_A_RUN", 3)
    messages = [sent(picture(seq), first=seq)[0] for seq in range(1, 9)]
    ingest = worker(lake)
    told = []
    for _ in range(3):
        ingest.take_in(messages)
        told.append(len(kept(lake)))

    assert told == [3, 6, 8]
    link = ingest.link
    assert isinstance(link, PlainLink)
    assert [ack.last for ack in link.told()] == told


def test_a_gateway_cannot_make_the_store_write_without_end(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_PICTURES_OF_A_RUN", 3)
    worker(lake).take_in(sent([part for n in range(9) for part in picture(n)], first=1))

    assert len(kept(lake)) == 3


@pytest.mark.parametrize(
    ("spans", "upto", "keys"),
    [
        ([(0, 1), (2, 2)], 3, ["0-1", "2-2"]),
        ([(0, 0), (0, 2), (1, 1), (2, 2)], 3, ["0-2"]),  # of a commit that was cut off, and as good
        ([(0, 3), (0, 1), (2, 4)], 5, ["0-1", "2-4"]),
        ([(0, 1), (3, 4)], 5, None),
        ([(1, 4)], 5, None),
        ([], 1, None),
        ([(0, 1), (2, 1)], 2, ["0-1"]),
    ],
)
def test_parts_are_chained(spans: list[tuple[int, int]], upto: int, keys: list[str] | None) -> None:
    found = chain({f"{first}-{last}": (first, last) for first, last in spans}, upto=upto)

    assert (None if found is None else list(found)) == keys
