"""Messages are as large as the uplink takes, and hold a run of records without a gap."""

import numpy as np
import pytest

from edge.cut import cut
from models.detections import Detections
from models.errors import WireError
from models.health import Health
from models.records import FrameResult, Record
from models.wire import decode_batch

STREAM = "00000000000000aa"


def frames(count: int, things: int, seed: int = 0) -> list[Record]:
    random = np.random.default_rng(seed)
    return [
        FrameResult.of(
            "door",
            number,
            number * 33_000_000,
            "coco",
            1,
            Detections.of(random.uniform(0, 600, (things, 4)), random.uniform(0, 1, things), [1] * things),
            ("thing",) * things,
        )
        for number in range(count)
    ]


def messages(records: list[Record], *, limit_bytes: int, guess: int) -> list[bytes]:
    out = []
    first = 1
    while records:
        piece = cut(STREAM, first, records, limit_bytes=limit_bytes, guess=guess)
        assert piece.first == first
        out.append(piece.message)
        first, records = piece.last + 1, records[piece.records :]
    return out


@pytest.mark.parametrize("guess", [1, 20, 100_000])
@pytest.mark.parametrize("limit_bytes", [1_000, 4_900, 131_000])
def test_messages_are_full_whatever_was_guessed(guess: int, limit_bytes: int) -> None:
    records = frames(1_500, 3)
    cuts = messages(records, limit_bytes=limit_bytes, guess=guess)
    assert all(len(message) <= limit_bytes for message in cuts)
    assert all(len(message) >= 0.8 * limit_bytes for message in cuts[:-1])
    sent = [result for message in cuts for _, result in decode_batch(message).frames]
    assert [result.frame for result in sent] == list(range(1_500))


def test_all_there_is_goes_into_one_message_when_it_fits() -> None:
    piece = cut(STREAM, 5, frames(10, 1), limit_bytes=5_000, guess=3)
    assert (piece.first, piece.last, piece.records) == (5, 14, 10)


def test_a_giant_among_small_records_gets_a_message_of_its_own() -> None:
    records = [*frames(1, 280), *frames(50, 1)]
    piece = cut(STREAM, 1, records, limit_bytes=4_900, guess=200)
    assert piece.records >= 1
    assert decode_batch(piece.message).frames[0][0] == 1


def test_a_record_that_no_message_can_hold_is_refused() -> None:
    mix = {f"{np.random.default_rng(n).bytes(20).hex()}": n for n in range(500)}
    with pytest.raises(WireError, match="more than 1000 bytes"):
        cut(STREAM, 1, [Health(1, 60, "coco", 1, "d", "fp32", class_mix=mix)], limit_bytes=1_000, guess=10)
