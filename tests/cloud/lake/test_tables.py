"""Batches become rows, none lost, none invented."""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.lake.runs import Run, StoredPicture, StreamKey, newer
from cloud.lake.schema import AGGREGATES, CAMERA_HEALTH, CHALLENGE, EVENTS, FRAMES, HEALTH, LOSSES, PICTURES
from cloud.lake.spans import covered, merge, subtract
from cloud.lake.tables import aggregates_table, events_table, frames_table, health_rows, health_table, losses_table
from models.columns import Columns
from models.health import CameraHealth, Challenge, Health
from models.records import SCORE_SCALE, Aggregate, Event, FrameResult, Record
from tests.cloud.lake.results import (
    AT,
    CAPTURED_US,
    STREAM,
    aggregate,
    columns,
    event,
    frame,
    frames_run,
    health,
    lost,
    run_of,
)

DAY = date(2026, 11, 20)


def test_a_frame_becomes_a_row_with_its_detections() -> None:
    table = frames_table([run_of([frame(5)], first=5)], written={}, day=DAY)

    assert table.cast(FRAMES.schema).schema == FRAMES.schema  # its texts are dictionaries
    assert table.schema.names == FRAMES.schema.names
    (row,) = table.to_pylist()
    assert (row["gateway"], row["stream"], row["seq"]) == ("gw-1", STREAM, 5)
    assert (row["camera"], row["frame"], row["model"], row["release"], row["date"]) == ("belt", 5, "belt", 1, DAY)
    assert row["captured_at"].isoformat() == "2026-11-18T11:06:40.000005+00:00"
    assert [(d["label"], d["class_id"], d["x1"], d["y1"], d["x2"], d["y2"]) for d in row["detections"]] == [
        ("good", 0, 5, 10, 45.25, 60),
        ("defect", 1, 6, 10, 46.25, 60),
    ]
    assert row["detections"][0]["score"] == pytest.approx(0.8, abs=1 / SCORE_SCALE)
    assert row["detections"][0]["track"] == 0


def test_a_frame_without_detections_is_a_row_too() -> None:
    (row,) = frames_table([run_of([frame(1, detections=0)])], written={}, day=DAY).to_pylist()

    assert row["detections"] == []


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 4), st.sampled_from("abc")), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_many_batches_of_many_gateways_keep_their_own_rows(batches: list[list[tuple[int, int, str]]]) -> None:
    sent = {
        f"gw-{k}": [frame(number, detections=n, camera=camera) for number, n, camera in rows]
        for k, rows in enumerate(batches)
    }
    runs = [run_of(list(results), gateway=gateway) for gateway, results in sent.items()]

    rows = frames_table(runs, written={}, day=DAY).to_pylist()

    assert [(row["gateway"], row["seq"], *_facts_of_row(row)) for row in rows] == [
        (gateway, seq, *_facts(result)) for gateway, results in sent.items() for seq, result in enumerate(results, 1)
    ]


@pytest.mark.parametrize(
    ("record", "schema", "others"),
    [
        (Health, HEALTH.schema, {"at_us"}),
        (Event, EVENTS.schema, {"at_us", "xyxy"}),
        (Aggregate, AGGREGATES.schema, {"start_us"}),
        (StoredPicture, PICTURES.schema, {"at_us", "xyxy"}),
        (CameraHealth, CAMERA_HEALTH, set()),
        (Challenge, CHALLENGE, set()),
    ],
)
def test_the_lake_has_a_column_for_all_that_a_record_says(record: Any, schema: Any, others: set[str]) -> None:
    columns = {schema.field(index).name for index in range(len(schema.names))}

    assert set(record.__dataclass_fields__) - others <= columns


def test_health_comes_back_as_it_went_in() -> None:
    sent = health(
        class_mix={"good": 3, "défaut": 1},
        score_histogram=tuple(range(10)),
        last_error="camera\x00gone",
        temperature_c=-7.5,
        throttled="under-voltage",
        configuration_refused="no camera",
        cameras=(CameraHealth("belt", "dark", seen=9, still=4), CameraHealth("door", "ok")),
        challenge=Challenge("belt", 2, "e" * 64, frames=8, agreed=7, mean_iou=0.75, our_scores=tuple(range(10))),
    )

    (row,) = health_rows(health_table([run_of([sent], first=7)], written={}))

    assert (row.gateway, row.stream, row.seq, row.health) == ("gw-1", STREAM, 7, sent)


def test_an_event_becomes_a_row() -> None:
    sent = event(5, value=1.5, alarm=True, score=0.5, xyxy=(1.0, 2.0, 3.0, 4.25), picture="00000000000000ff")

    (row,) = events_table([run_of([sent], first=5)], written={}).to_pylist()

    assert row.pop("happened_at").isoformat() == "2026-11-18T11:06:40.000005+00:00"
    assert row == {
        "gateway": "gw-1",
        "stream": STREAM,
        "seq": 5,
        "camera": "belt",
        "frame": 5,
        "kind": "enter",
        "rule": "zone",
        "label": "good",
        "track": 5,
        "value": 1.5,
        "alarm": True,
        "score": 0.5,
        "x1": 1.0,
        "y1": 2.0,
        "x2": 3.0,
        "y2": 4.25,
        "model": "",
        "release": 0,
        "picture": "00000000000000ff",
    }


def test_an_aggregate_becomes_a_row() -> None:
    (row,) = aggregates_table([run_of([aggregate(release=3)])], written={}).to_pylist()

    assert row.pop("started_at").timestamp() * 1e6 == CAPTURED_US
    assert row == {
        "gateway": "gw-1",
        "stream": STREAM,
        "seq": 1,
        "camera": "belt",
        "length_s": 60.0,
        "zone": "",
        "label": "good",
        "frames": 900,
        "detections": 1800,
        "tracks": 7,
        "most": 3,
        "model": "belt",
        "release": 3,
    }


def test_tombstones_become_ranges() -> None:
    table = losses_table([run_of([frame(1), lost(2, 90), frame(91)])], written={}, at=AT)

    assert table.schema == LOSSES.schema
    (row,) = table.to_pylist()
    assert (row["first"], row["last"], row["reason"], row["committed_at"]) == (2, 90, "spool full", AT)


def test_nothing_gives_empty_tables() -> None:
    only_losses = [run_of([lost(1, 5)])]

    assert frames_table(only_losses, written={}, day=DAY) == FRAMES.schema.empty_table()
    assert health_table(only_losses, written={}) == HEALTH.schema.empty_table()
    assert losses_table([frames_run(1, 2)], written={}, at=AT) == LOSSES.schema.empty_table()


def test_what_is_written_already_is_left_out_of_every_table() -> None:
    run = run_of([frame(1), frame(2), health(), health(), lost(5, 20), frame(21), event(), event(), aggregate()])
    written = {StreamKey("gw-1", STREAM): [(2, 3), (8, 10), (22, 22), (24, 24)]}

    assert frames_table([run], written=written, day=DAY)["seq"].to_pylist() == [1, 21]
    assert health_table([run], written=written)["seq"].to_pylist() == [4]
    assert events_table([run], written=written)["seq"].to_pylist() == [23]
    assert aggregates_table([run], written=written)["seq"].to_pylist() == []
    losses = losses_table([run], written=written, at=AT)
    assert list(zip(losses["first"].to_pylist(), losses["last"].to_pylist(), strict=True)) == [(5, 7), (11, 20)]


def test_a_run_is_trimmed_to_what_is_newer() -> None:
    run = Run("gw-1", (columns([frame(1), lost(2, 5)]), columns([frame(6), frame(7)], first=6)))

    trimmed = newer(run, 3)

    assert trimmed is not None
    assert (trimmed.first, trimmed.last) == (4, 7)
    assert _tombstones(trimmed.batches[0]) == [(4, 5)]
    assert newer(run, 0) is run
    assert newer(run, 7) is None
    assert newer(frames_run(9, 12), 7) is None  # a gap


@pytest.mark.parametrize(
    ("second", "stream"),
    [
        (4, STREAM),  # a gap
        (2, STREAM),  # an overlap
        (3, "00000000000000b2"),  # another stream
    ],
)
def test_a_run_is_of_one_stream_without_a_gap(second: int, stream: str) -> None:
    with pytest.raises(ValueError, match="follow one another"):
        Run("gw-1", (columns([frame(1), frame(2)]), columns([frame(second)], first=second, stream=stream)))


_SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)).map(lambda x: (x[0], x[0] + x[1])), max_size=5)


@given(st.integers(1, 40), st.integers(0, 15), _SPANS)
def test_spans_behave_as_sets_of_seqs(first: int, length: int, spans: list[tuple[int, int]]) -> None:
    span = (first, first + length)
    held = {seq for low, high in spans for seq in range(low, high + 1)}
    wanted = [seq for seq in range(first, first + length + 1) if seq not in held]

    left = subtract(span, spans)

    assert [seq for low, high in left for seq in range(low, high + 1)] == wanted
    seqs = pa.array(range(1, 60)).to_numpy()
    assert set(seqs[covered(seqs, spans)].tolist()) == held
    assert sum(high - low + 1 for low, high in merge(held)) == len(held)


def _tombstones(batch: Columns) -> list[tuple[int, int]]:
    return [(stone.first, stone.last) for stone in batch.tombstones]


def _facts(result: Record) -> tuple[object, ...]:
    assert isinstance(result, FrameResult)
    return result.camera, result.frame, list(result.labels), result.detections.xyxy.tolist()


def _facts_of_row(row: dict[str, object]) -> tuple[object, ...]:
    detections = row["detections"]
    assert isinstance(detections, list)
    boxes = [[d["x1"], d["y1"], d["x2"], d["y2"]] for d in detections]
    return row["camera"], row["frame"], [d["label"] for d in detections], boxes
