"""Bytes of every released format, kept in tests/golden: gateways that were never updated send them for years.

A file there is never made anew. A format that changes gets files of its own beside these.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from models.health import CameraHealth, Challenge, Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Tombstone
from models.wire import StreamAck, decode_acks, decode_batch, decode_record

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
NEW_YEAR_US = 1_767_225_600_000_000

HEALTH = Health(
    at_us=NEW_YEAR_US + 60_000_000,
    window_s=60.0,
    model="parts",
    release=7,
    digest="ab" * 32,
    variant="int8",
    frames_seen=900,
    frames_inferred=890,
    frames_skipped=8,
    frames_missed=2,
    p50_ms=3.5,
    p95_ms=7.25,
    memory_bytes=123_456_789,
    errors=1,
    last_error="läuft nicht",
    score_histogram=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    class_mix={"bolt": 5, "nut": 50},
    detections=55,
    camera_state="stalled",
    spool_records=12,
    spool_bytes=3456,
    swaps=2,
    failed_release="parts@6: golden frames disagree",
    records_dropped=20,
    batches_refused=1,
)
HEALTH_2 = replace(
    HEALTH,
    frames_still=3,
    cpu_s=12.5,
    temperature_c=-3.25,
    throttled="under-voltage",
    disk_free_bytes=10**9,
    spool_age_s=3600.5,
    bytes_sent=4096,
    records_held=6,
    messages_ignored=4,
    clock_jumps=1,
    cameras=(CameraHealth("belt", "dark", 900, 890, 8, 2, 3), CameraHealth("door", "ok")),
    challenge=Challenge("parts", 9, "cd" * 32, 80, 75, 140, 150, 149, 0.875, tuple(range(10)), (1,) * 10, 4.5),
)
# later than the file of its version: fields were added
HEALTH_2_1 = replace(
    HEALTH_2,
    frames_failed=5,
    picture_parts_held=2,
    cameras=(CameraHealth("belt", "waiting", 900, 880, 10, 2, 3, failed=5, pictures_withheld=1),),
)
HEALTH_2_2 = replace(HEALTH_2_1, configuration_refused="window_s must be in 0.1..3600, got 0")
EVENT = Event(
    *("belt", 41, NEW_YEAR_US, "line", "exit", "bolt", 5, -1.0, True, 0.5, (10.0, 20.0, 30.25, 40.5), "parts", 7),
    picture="00000000000000ab",
)
AGGREGATE = Aggregate("belt", NEW_YEAR_US, 60.0, "tray", "bolt", 900, 1800, 12, 4, "parts", 7)
PICTURE = PicturePart(
    "00000000000000ab", 1, 3, "belt", 41, NEW_YEAR_US, "crop", (10.0, 20.0, 30.25, 40.5), b"\xff\xd8\xff\x00"
)
TOMBSTONE = Tombstone(1003, 1102, "spool full")
Row = tuple[list[float], float, int, int, str]


def check_frame(
    result: object, camera: str, frame: int, at_us: int, release: int, rows: list[Row], *, steady_us: int = 0
) -> None:
    assert isinstance(result, FrameResult)
    assert (result.camera, result.frame, result.captured_at_us) == (camera, frame, at_us)
    assert (result.model, result.release, result.steady_us) == ("parts", release, steady_us)
    found = result.detections
    assert found.xyxy.tolist() == [row[0] for row in rows]
    assert [round(score * 255) for score in found.scores.tolist()] == [round(row[1] * 255) for row in rows]
    assert found.class_ids.tolist() == [row[2] for row in rows]
    assert found.tracks.tolist() == [row[3] for row in rows]
    assert result.labels == tuple(row[4] for row in rows)


FIRST: list[Row] = [
    ([10, 20, 30.25, 40.5], 0.9, 1, 5, "bolt"),
    ([0, 0, 640, 480], 0.5, 0, 0, "nut"),
    ([1.75, 2, 3, 4], 1.0, 1, 0, "bolt"),
]
LAST: list[Row] = [([11, 20.25, 31, 40.5], 0.8, 1, 5, "screw"), ([0, 0.5, 640, 480], 0.4, 0, 0, "nut")]


def test_a_message_of_version_1_is_read() -> None:
    batch = decode_batch((GOLDEN / "wire-v1.bin").read_bytes())
    assert (batch.stream, batch.first, batch.last) == ("0123456789abcdef", 1000, 1103)
    assert [seq for seq, _ in batch.frames] == [1000, 1001, 1103]
    check_frame(batch.frames[0][1], "belt", 41, NEW_YEAR_US, 7, FIRST)
    check_frame(batch.frames[1][1], "door", 7, NEW_YEAR_US + 40_000, 7, [])
    check_frame(batch.frames[2][1], "belt", 42, NEW_YEAR_US + 66_667, 8, LAST)
    assert batch.health == ((1002, HEALTH),)
    assert batch.tombstones == (TOMBSTONE,)


def test_a_spool_of_version_1_is_read() -> None:
    check_frame(decode_record((GOLDEN / "spooled-frame-v1.bin").read_bytes()), "belt", 41, NEW_YEAR_US, 7, FIRST)


@pytest.mark.parametrize(("name", "record"), [("health", HEALTH), ("tombstone", TOMBSTONE)])
def test_what_else_a_spool_of_version_1_holds_is_read(name: str, record: object) -> None:
    assert decode_record((GOLDEN / f"spooled-{name}-v1.bin").read_bytes()) == record


def test_a_message_of_version_2_is_read() -> None:
    batch = decode_batch((GOLDEN / "wire-v2.bin").read_bytes())
    assert (batch.stream, batch.first, batch.last) == ("0123456789abcdef", 1000, 1106)
    assert [seq for seq, _ in batch.frames] == [1000, 1001, 1106]
    best_first = [FIRST[2], FIRST[0], FIRST[1]]
    check_frame(batch.frames[0][1], "belt", 41, NEW_YEAR_US, 7, best_first, steady_us=5_000_000)
    check_frame(batch.frames[1][1], "door", 7, NEW_YEAR_US + 40_000, 7, [], steady_us=5_040_000)
    check_frame(batch.frames[2][1], "belt", 42, NEW_YEAR_US + 66_667, 8, LAST, steady_us=5_066_667)
    assert batch.health == ((1002, HEALTH_2),)
    assert batch.tombstones == (TOMBSTONE,)
    assert batch.events == ((1103, EVENT),)
    assert batch.aggregates == ((1104, AGGREGATE),)
    assert batch.pictures == ((1105, PICTURE),)


def test_a_spool_of_version_2_is_read() -> None:
    best_first = [FIRST[2], FIRST[0], FIRST[1]]
    spooled = decode_record((GOLDEN / "spooled-frame-v2.bin").read_bytes())
    check_frame(spooled, "belt", 41, NEW_YEAR_US, 7, best_first, steady_us=5_000_000)


@pytest.mark.parametrize(
    ("name", "record"), [("health", HEALTH_2), ("event", EVENT), ("aggregate", AGGREGATE), ("picture", PICTURE)]
)
def test_what_else_a_spool_of_version_2_holds_is_read(name: str, record: object) -> None:
    assert decode_record((GOLDEN / f"spooled-{name}-v2.bin").read_bytes()) == record


def test_fields_that_came_later_are_read() -> None:
    assert decode_record((GOLDEN / "spooled-health-v2.1.bin").read_bytes()) == HEALTH_2_1
    assert decode_record((GOLDEN / "spooled-health-v2.2.bin").read_bytes()) == HEALTH_2_2


def test_an_acknowledgement_of_version_1_is_read() -> None:
    assert decode_acks((GOLDEN / "ack-v1.bin").read_bytes()) == (
        StreamAck("0123456789abcdef", 1103, (Tombstone(1000, 1001, "unreadable"),)),
        StreamAck("00000000000000ff", 0),
    )
