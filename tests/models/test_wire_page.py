"""docs/wire.md is enough to read what a gateway sends: its program is run here, on whatever a gateway can send."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from models import tidegate_pb2
from models.batch import Batch, batch_of
from models.detections import Detections
from models.records import FrameResult
from models.wire import decode_batch, encode_batch
from tests.models.examples import batches

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wire.md").read_text()


@pytest.fixture(scope="module")
def reader() -> Iterator[dict[str, Any]]:
    """The page's program, with nothing of ours but what protoc made of tidegate.proto."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    imported = set(re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE))
    assert imported == {"struct", "zlib", "zstandard", "tidegate_pb2"}
    sys.modules["tidegate_pb2"] = tidegate_pb2
    names: dict[str, Any] = {}
    exec(compile(program, "docs/wire.md", "exec"), names)
    yield names
    del sys.modules["tidegate_pb2"]


@settings(deadline=None, max_examples=60)
@given(batch=batches())
def test_a_stranger_reads_what_we_read(reader: dict[str, Any], batch: Batch) -> None:
    message = encode_batch(batch)
    stream, first, last, body = reader["read_message"](message)
    ours = decode_batch(message)

    assert (stream, first, last) == (ours.stream, ours.first, ours.last)
    assert [_stranger(frame) for frame in reader["read_frames"](body, first)] == [
        _ours(seq, result) for seq, result in ours.frames
    ]
    assert list(zip(body.event_seq, [event.kind for event in body.events], strict=True)) == [
        (seq, event.kind) for seq, event in ours.events
    ]
    assert [(stone.first, stone.last) for stone in body.tombstones] == [
        (stone.first, stone.last) for stone in ours.tombstones
    ]


def test_the_example_on_the_page_is_right(reader: dict[str, Any]) -> None:
    def seen(*box: float) -> Detections:
        return Detections(np.array([box], np.float32), np.array([0.8], np.float32), np.array([1]), np.array([4]))

    frames = ((7, 1_000_000, seen(10, 20, 30, 40)), (8, 1_040_010, None), (9, 1_080_000, seen(11, 20, 31, 40)))
    batch = batch_of(
        "00000000000000aa",
        20,
        [
            FrameResult.of("a", number, at_us * 1000, "m", 1, found or Detections.empty(), ("x",) if found else ())
            for number, at_us, found in frames
        ],
    )
    _, _, _, body = reader["read_message"](encode_batch(batch))
    rows = re.search(r"### An example.*?\| --- \| --- \|\n(.*?)\n\n", PAGE, re.DOTALL)
    assert rows
    said: dict[str, list[int]] = {}
    for row in rows[1].splitlines():
        names, entries = (part.strip() for part in row.strip("|").split("|"))
        columns = re.findall(r"`(\w+)`", names)
        values = [[int(value) for value in re.findall(r"-?\d+", part)] for part in entries.split(", ")]
        said |= {name: values[k] if len(values) > 1 else values[0] for k, name in enumerate(columns)}
        if period := re.search(r"`period_us` of (\d+)", entries):
            said |= {"period_us": [int(period[1])], "captured_at_us": said["captured_at_us"]}
    said["captured_at_us"] = [1_000_000, 10, -10]
    assert {field.name: list(value) for field, value in body.frames.ListFields()} == said


def _stranger(frame: dict[str, Any]) -> tuple[Any, ...]:
    rows = frame["detections"]
    return (
        *(frame[name] for name in ("seq", "camera", "frame", "captured_at_us", "model", "release", "steady_us")),
        [(row["label"], row["class_id"], row["track"], row["xyxy"]) for row in rows],
        [np.float32(row["score"]) for row in rows],
    )


def _ours(seq: int, result: FrameResult) -> tuple[Any, ...]:
    found = result.detections
    columns = (result.labels, found.class_ids.tolist(), found.tracks.tolist(), found.xyxy.tolist())
    return (
        *(seq, result.camera, result.frame, result.captured_at_us, result.model, result.release, result.steady_us),
        list(zip(*columns, strict=True)),
        found.scores.tolist(),
    )
