"""Simulated time: in order, never back, and for each gateway not beyond an answer that is owed."""

import asyncio
import math

from hypothesis import given
from hypothesis import strategies as st

from simulator.light.clock import ANSWER_S, DRIFT_S, Clock, LocalTime


@given(st.lists(st.floats(0, 1000), max_size=20))
def test_what_is_to_happen_happens_in_order_and_on_time(times: list[float]) -> None:
    clock = Clock()
    seen: list[tuple[float, float]] = []
    for at_s in times:
        clock.at(at_s, lambda at_s=at_s: seen.append((at_s, clock.now)))  # type: ignore[misc]
    asyncio.run(clock.run(1000))
    assert [at_s for at_s, _ in seen] == sorted(times)
    assert all(at_s == now for at_s, now in seen)
    assert clock.now == 1000


def test_a_gateway_that_is_owed_an_answer_stands_still_while_others_go_on() -> None:
    clock = Clock()
    waits, goes_on = LocalTime(clock), LocalTime(clock)
    seen: list[tuple[str, float]] = []
    tokens: list[int] = []
    waits.at(10, lambda: tokens.append(waits.ask()))
    waits.at(10 + ANSWER_S / 2, lambda: seen.append(("before the answer", waits.now)))
    waits.at(20, lambda: seen.append(("after the answer", waits.now)))
    goes_on.at(30, lambda: seen.append(("another", goes_on.now)))

    async def live() -> None:
        running = asyncio.ensure_future(clock.run(200))
        await asyncio.sleep(0.05)
        assert clock.now <= 10 + DRIFT_S
        assert [what for what, _ in seen] == ["before the answer", "another"]
        assert waits.answered(tokens[0]) == 10 + ANSWER_S
        await running

    asyncio.run(live())
    assert seen[-1] == ("after the answer", 20)


def test_a_cloud_that_went_away_owes_nothing() -> None:
    clock = Clock()
    gateway = LocalTime(clock)
    tokens: list[int] = []
    gateway.at(10, lambda: tokens.append(gateway.ask()))
    gateway.at(60, lambda: None)
    clock.at(40, clock.forget)
    asyncio.run(clock.run(500))
    assert gateway.now == 60
    assert clock.owed == 0


def test_at_a_speed_time_is_real_time_so_many_times_faster() -> None:
    clock = Clock(speed=200.0)
    seen: list[float] = []
    clock.at(10, lambda: seen.append(clock.now))
    asyncio.run(clock.run(20))
    assert len(seen) == 1
    assert 10 <= seen[0] <= clock.now
    clock.speed = math.inf
    assert clock.now >= 20
    asyncio.run(clock.run(10_000))
    assert clock.now == 10_000
