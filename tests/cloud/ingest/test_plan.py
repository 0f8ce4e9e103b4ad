"""What to commit, refuse and acknowledge."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.fairness import (
    MAX_BODY_BYTES,
    MAX_MESSAGES,
    NEW_STREAM_EVERY_S,
    NEW_STREAMS_AT_ONCE,
    RoundAllowance,
    StreamAllowance,
)
from cloud.ingest.plan import MAX_ACK_BYTES, Arrival, Plan, acknowledge, plan
from cloud.lake.runs import StreamKey
from models.wire import decode_acks, open_envelope
from tests.cloud.lake.results import OTHER_STREAM, STREAM, bad_message, frames_message

KEY = StreamKey("gw-1", STREAM)
Range = tuple[int, int]


def good(first: int, last: int, *, stream: str = STREAM, gateway: str = "gw-1") -> Arrival:
    return Arrival(gateway, open_envelope(frames_message(first, last, stream=stream)))


def bad(first: int, last: int, *, gateway: str = "gw-1") -> Arrival:
    return Arrival(gateway, open_envelope(bad_message(first, last)))


def holding(last: int) -> Callable[[StreamKey], int]:
    return lambda _: last


def ranges(done: Plan) -> list[Range]:
    return [(run.first, run.last) for run in done.runs]


def refused(done: Plan) -> list[Range]:
    return [(refusal.tombstone.first, refusal.tombstone.last) for refusal in done.refusals]


@pytest.mark.parametrize(
    ("last", "arrivals", "committed"),
    [
        (0, [(1, 5)], [(1, 5)]),
        (5, [(6, 9)], [(6, 9)]),
        (5, [(1, 5)], []),  # a repeat
        (5, [(3, 9)], [(6, 9)]),  # partly known
        (0, [(2, 5)], []),  # a gap before the first
        (5, [(7, 9)], []),  # a gap
        (0, [(1, 2), (4, 6)], [(1, 2)]),  # a gap between
        (0, [(4, 6), (1, 3)], [(1, 6)]),  # out of order
        (0, [(1, 4), (3, 6), (2, 5)], [(1, 6)]),  # cut differently
        (0, [(1, 3), (1, 3), (1, 3)], [(1, 3)]),  # thrice
        (2, [(1, 9), (3, 4)], [(3, 9)]),
    ],
)
def test_what_is_new_and_follows_is_committed(last: int, arrivals: list[Range], committed: list[Range]) -> None:
    done = plan([good(*span) for span in arrivals], lambda _: last)

    assert ranges(done) == committed
    assert done.heard == (KEY,)
    assert not done.refusals


@pytest.mark.parametrize(
    ("last", "good_ones", "bad_ones", "committed", "lost"),
    [
        (0, [], [(1, 5)], [(1, 5)], [(1, 5)]),  # the stream goes on behind it
        (0, [(6, 8)], [(1, 5)], [(1, 8)], [(1, 5)]),
        (3, [], [(1, 5)], [(4, 5)], [(4, 5)]),  # only what is not in the lake already
        (5, [], [(1, 5)], [], []),
        (0, [], [(2, 5)], [], []),  # not past a gap
        (0, [(1, 5)], [(1, 5)], [(1, 5)], []),  # it came readable too
        (0, [(1, 2), (3, 5)], [(1, 4)], [(1, 5)], []),
        (0, [(1, 2)], [(1, 4), (1, 9)], [(1, 9)], [(3, 4), (5, 9)]),  # the smallest first
        (0, [(1, 2), (5, 9)], [(1, 4), (1, 9)], [(1, 9)], [(3, 4)]),
        (0, [], [(1, 2**60)], [(1, 2**60)], [(1, 2**60)]),  # its own stream's funeral
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_more(
    last: int, good_ones: list[Range], bad_ones: list[Range], committed: list[Range], lost: list[Range]
) -> None:
    arrivals = [bad(*span) for span in bad_ones] + [good(*span) for span in good_ones]

    done = plan(arrivals, lambda _: last)

    assert ranges(done) == committed
    assert refused(done) == lost
    assert all(refusal.tombstone.reason.startswith("refused: ") for refusal in done.refusals)


def test_one_gateways_bad_message_is_no_other_gateways_affair() -> None:
    done = plan([bad(1, 2**60), good(1, 3, gateway="gw-2"), good(1, 3, stream=OTHER_STREAM)], lambda _: 0)

    assert {(run.key, run.last) for run in done.runs} == {
        (KEY, 2**60),
        (StreamKey("gw-2", STREAM), 3),
        (StreamKey("gw-1", OTHER_STREAM), 3),
    }


def test_acknowledgements_tell_what_is_in_the_lake_and_what_was_refused() -> None:
    done = plan([good(1, 3), bad(4, 6), good(9, 9, gateway="gw-2")], lambda _: 0)

    told = acknowledge(done, lambda key: 6 if key == KEY else 0)

    (ack,) = decode_acks(told["gw-1"][0])
    assert (ack.stream, ack.last) == (STREAM, 6)
    assert [(stone.first, stone.last) for stone in ack.refused] == [(4, 6)]
    (ack,) = decode_acks(told["gw-2"][0])
    assert (ack.last, ack.refused) == (0, ())  # send again, from 1


def test_a_refusal_that_is_not_in_the_lake_is_not_acknowledged() -> None:
    done = plan([good(1, 3), bad(4, 6)], lambda _: 0)

    told = acknowledge(done, lambda _: 3)

    (ack,) = decode_acks(told["gw-1"][0])
    assert (ack.last, ack.refused) == (3, ())


def test_acknowledgements_fit_the_smallest_inbox() -> None:
    streams = [f"{k:016x}" for k in range(1, 300)]
    done = plan([bad(k, k) for k in range(1, 100)] + [good(1, 1, stream=stream) for stream in streams], lambda _: 0)

    told = acknowledge(done, lambda _: 1)

    assert all(len(message) <= MAX_ACK_BYTES for message in told["gw-1"])
    assert {ack.stream for message in told["gw-1"] for ack in decode_acks(message)} == {STREAM, *streams}


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5), st.booleans()), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    )
)
def test_any_interleaving_of_resends_ends_with_each_seq_once(rounds: list[list[tuple[int, int, bool]]]) -> None:
    lake: list[int] = []
    heard: set[int] = set()
    for messages in rounds:
        arrivals = [
            good(first, first + length) if readable else bad(first, first + length)
            for first, length, readable in messages
        ]
        done = plan(arrivals, holding(len(lake)))
        readable_now = {
            seq
            for first, length, readable in messages
            for seq in range(first, first + length + 1)
            if readable and seq > len(lake)
        }
        for run in done.runs:
            lake += range(run.first, run.last + 1)
            lost = {seq for first, last in refused(done) for seq in range(first, last + 1)}
            # nothing is given up that some message of the round brought readable and without a gap
            assert not any(seq in readable_now for seq in lost if seq == min(lost))
        heard |= {seq for first, length, _ in messages for seq in range(first, first + length + 1)}
        assert lake == list(range(1, len(lake) + 1))
        assert set(lake) <= heard


def test_a_gateway_gets_its_share_of_a_round() -> None:
    allowance = RoundAllowance()

    taken = [allowance.take("greedy", 10) for _ in range(MAX_MESSAGES + 5)]

    assert taken == [True] * MAX_MESSAGES + [False] * 5
    assert allowance.take("modest", 10)


def test_bombs_are_paid_for_by_their_sender() -> None:
    allowance = RoundAllowance()

    assert allowance.take("bomber", MAX_BODY_BYTES - 1)
    assert not allowance.take("bomber", 2)
    assert allowance.take("modest", MAX_BODY_BYTES)


def test_a_gateway_may_open_many_streams_but_not_for_ever() -> None:
    allowance = StreamAllowance()

    opened = sum(allowance.take("gw-1", 100.0) for _ in range(1000))

    assert opened == NEW_STREAMS_AT_ONCE
    assert allowance.take("gw-2", 100.0)
    assert not allowance.take("gw-1", 100.0 + NEW_STREAM_EVERY_S / 2)
    assert allowance.take("gw-1", 100.0 + NEW_STREAM_EVERY_S * 1.5)


def test_a_thousand_messages_of_one_stream_take_no_time() -> None:
    spans = [(first, first) for first in range(1, MAX_MESSAGES + 1)]
    random.Random(1).shuffle(spans)

    done = plan([good(*span) for span in spans], lambda _: 0)

    assert ranges(done) == [(1, MAX_MESSAGES)]
