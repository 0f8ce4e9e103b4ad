"""What gateways share is encoded once, and arrives as if each had encoded it for itself."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from edge.cut import cut
from models.records import FrameResult, Record
from models.wire import decode_batch
from simulator.light.cutting import SharedCuts
from simulator.light.tape import Variation, read_tape

LIMIT = 128 << 10


def minute() -> Variation:
    return Variation(read_tape(), 3, fps=5, seed=1)


def test_two_gateways_send_what_each_would_have_sent_alone() -> None:
    cuts, seen = SharedCuts(), minute().stretch(60, 120)
    for stream, first in (("00000000000000aa", 1), ("00000000000000bb", 7_001)):
        shared = cuts(stream, first, seen.frames, limit_bytes=LIMIT, guess=200)
        alone = cut(stream, first, seen.frames, limit_bytes=LIMIT, guess=len(seen.frames))
        assert shared == alone
        assert [seq for seq, _ in decode_batch(shared.message).frames] == list(range(first, first + len(seen.frames)))
    assert (cuts.made, cuts.reused) == (1, 1)


def test_events_are_shared_only_where_their_numbers_are_the_same() -> None:
    cuts = SharedCuts()
    events: list[Record] = [event for _, event in minute().stretch(0, 60).events]
    for stream, first in (("00000000000000aa", 5), ("00000000000000bb", 5), ("00000000000000cc", 6)):
        piece = cuts(stream, first, events, limit_bytes=LIMIT, guess=10)
        assert [seq for seq, _ in decode_batch(piece.message).events] == list(range(first, first + len(events)))
    assert (cuts.made, cuts.reused) == (2, 1)


def test_a_message_that_is_full_ends_where_a_real_one_may() -> None:
    frames = minute().stretch(0, 60).frames
    piece = SharedCuts()("00000000000000aa", 1, frames, limit_bytes=1_500, guess=200)
    assert len(piece.message) <= 1_500
    assert 0 < piece.records < len(frames)
    assert decode_batch(piece.message).last == piece.last


def test_a_minute_is_recorded_whole_whatever_it_is_cut_into() -> None:
    whole = minute().stretch(60, 180)
    variation = minute()
    parts = [variation.stretch(begin, end) for begin, end in pairwise([60 + 7.5 * k for k in range(17)])]
    assert [n for part in parts for n in part.numbers.tolist()] == whole.numbers.tolist()
    assert sum(part.detections for part in parts) == whole.detections
    assert sum(len(part.events) for part in parts) == len(whole.events)
    assert minute().count(60, 180) == len(whole.frames)


def test_variations_differ_and_a_seed_repeats_them() -> None:
    one, other = (Variation(read_tape(), number, fps=5, seed=1).stretch(0, 60).frames for number in (1, 2))
    assert not _same(one, other)
    assert _same(one, Variation(read_tape(), 1, fps=5, seed=1).stretch(0, 60).frames)
    slow = Variation(read_tape(), 1, fps=1, seed=1).stretch(0, 60).frames
    assert abs(len(slow) - len(one) / 5) <= 1


def test_a_wrong_clock_shows_in_the_time_and_nowhere_else() -> None:
    right, wrong = (minute().stretch(0, 60, clock_us=us) for us in (0, -3_600_000_000))
    for one, other in zip(right.frames, wrong.frames, strict=True):
        assert other.captured_at_us == one.captured_at_us - 3_600_000_000
        assert _same([one], [replace(other, captured_at_us=one.captured_at_us)])
    assert right.times_s.tolist() == wrong.times_s.tolist()


def _same(one: Sequence[FrameResult], other: Sequence[FrameResult]) -> bool:
    return [_plain(frame) for frame in one] == [_plain(frame) for frame in other]


def _plain(frame: FrameResult) -> tuple[object, ...]:
    found = frame.detections
    return frame.frame, frame.captured_at_us, frame.labels, found.xyxy.tolist(), found.scores.tolist()
