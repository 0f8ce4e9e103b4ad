"""The count finds what is missing, there twice, unknown or mistaken; a lake that it cannot fault is right."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from cloud.lake.delta import DeltaSink
from cloud.lake.runs import Run
from models.batch import batch_of
from models.wire import decode_columns, encode_batch, open_envelope
from simulator.light.count import Count, count_lake
from simulator.light.ledger import Ledger
from simulator.light.spool import LightSpool
from simulator.light.tape import Variation, read_tape

STREAM = "00000000000000aa"


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Ledger, Path]:
    """A gateway that recorded ten frames, all of them in a lake."""
    frames = Variation(read_tape(), 0, fps=5, seed=1).stretch(0, 2.0)
    assert len(frames.frames) == 10
    ledger = Ledger()
    stretch = LightSpool(seed="x", limit_bytes=1 << 20).append("frames", frames.frames, at_s=0)
    ledger.note("one", STREAM, "frames", stretch.last, frames.numbers, frames.times_s)
    lake = tmp_path / "lake"
    message = encode_batch(batch_of(STREAM, 1, list(frames.frames)))
    DeltaSink(lake).commit([Run("one", (decode_columns(open_envelope(message)),))], at=datetime.now(UTC))
    return ledger, lake


def rows(lake: Path) -> pa.Table:
    from deltalake import DeltaTable

    return DeltaTable(str(lake / "frames")).to_pyarrow_table()


def replace_rows(lake: Path, table: pa.Table) -> None:
    write_deltalake(str(lake / "frames"), table, mode="overwrite")


def test_a_lake_with_everything_once_is_right(recorded: tuple[Ledger, Path]) -> None:
    count = count_lake(*recorded)
    assert count == Count(recorded=10, in_lake=10, detections=count.detections)
    assert count.is_exact


def test_a_row_that_is_gone_is_lost(recorded: tuple[Ledger, Path]) -> None:
    ledger, lake = recorded
    replace_rows(lake, rows(lake).slice(1))
    assert count_lake(ledger, lake).lost == 1
    assert not count_lake(ledger, lake).is_exact


def test_a_row_that_came_again_is_repeated(recorded: tuple[Ledger, Path]) -> None:
    ledger, lake = recorded
    write_deltalake(str(lake / "frames"), rows(lake).slice(3, 2), mode="append")
    assert count_lake(ledger, lake).repeated == 2


def test_a_row_of_nobody_is_unknown_and_another_frame_is_mistaken(recorded: tuple[Ledger, Path]) -> None:
    ledger, lake = recorded
    table = rows(lake)
    changed = table.set_column(table.schema.get_field_index("gateway"), "gateway", pa.array(["two"] + ["one"] * 9))
    numbers = np.asarray(table["frame"]).copy()
    numbers[-1] += 1
    replace_rows(lake, changed.set_column(changed.schema.get_field_index("frame"), "frame", pa.array(numbers)))
    count = count_lake(ledger, lake)
    assert (count.unknown, count.lost, count.mistaken) == (1, 1, 1)


def test_latency_is_counted_from_the_true_time_of_capture(recorded: tuple[Ledger, Path]) -> None:
    ledger, _ = recorded
    ledger.acknowledged("one", STREAM, 4, 10.0)
    ledger.acknowledged("one", STREAM, 4, 99.0)  # said again
    ledger.acknowledged("one", STREAM, 10, 12.0)
    ledger.acknowledged("nobody", STREAM, 10, 12.0)
    tally = ledger.lanes["frames"]
    assert (tally.recorded, tally.acknowledged, int(tally.latency.sum())) == (10, 10, 10)
    assert 9.0 < tally.slowest_s <= 12.0
