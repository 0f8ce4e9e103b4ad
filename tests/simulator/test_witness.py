"""The witness sees what the spool commits, and goes on knowing it after the spool forgot."""

from pathlib import Path

from edge.spool import Spool
from models.detections import Detections
from models.records import FrameResult
from simulator.witness import Witness


def result(number: int) -> FrameResult:
    return FrameResult.of("line", number, 1_700_000_000_000_000_000 + number, "m", 1, Detections.empty(), ())


def test_what_was_committed_stays_counted_after_it_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "state" / "spool.db"
    witness = Witness(path)
    with Spool(path) as spool:
        for number in range(5):
            spool.append(result(number))
        spool.flush()
        (stream,) = spool.streams()
        spool.acknowledge(stream.name, 5)
        spool.flush()
        assert spool.streams() == []
        spool.append(result(5))
        assert [row.frame for row in witness.frames()] == [0, 1, 2, 3, 4]
    frames = witness.frames()
    assert [(row.seq, row.frame) for row in frames] == [(n + 1, n) for n in range(6)]
    assert {row.stream for row in frames} == {stream.name}
