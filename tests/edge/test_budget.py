"""What is too slow, and what is too large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.budget import Budget, foreseen_slowdown
from edge.memory import Memory

MB = 10**6
some_ms = st.floats(0.01, 1000)


@pytest.mark.parametrize(
    ("budget", "took_ms", "before_ms", "words"),
    [
        (Budget(), 10.0, 9.0, ""),
        (Budget(), 30.0, 10.0, "more than 2 times the 10.0 ms"),
        (Budget(slowdown=4), 30.0, 10.0, ""),
        (Budget(), 0.5, 0.1, ""),  # five times next to nothing
        (Budget(latency_ms=40), 30.0, 10.0, ""),  # whoever sets a budget means it
        (Budget(latency_ms=20), 30.0, 10.0, "the budget is 20 ms"),
        (Budget(latency_ms=20), 30.0, 35.0, ""),  # the one before is no better
    ],
)
def test_a_model_is_too_slow_beyond_its_budget(budget: Budget, took_ms: float, before_ms: float, words: str) -> None:
    why = budget.too_slow(took_ms, before_ms)
    assert words in why
    assert bool(why) == bool(words)


def test_a_model_that_was_signed_as_slower_may_be_as_slow_as_that_and_no_more() -> None:
    foreseen = foreseen_slowdown({"cortex-a72": 90.0}, {"cortex-a72": 30.0}, on="cortex-a72")
    assert Budget().too_slow(50.0, 10.0, foreseen=foreseen) == ""
    assert "more than 6 times the 10.0 ms" in Budget().too_slow(61.0, 10.0, foreseen=foreseen)
    assert "the budget is 20 ms" in Budget(latency_ms=20).too_slow(30.0, 10.0, foreseen=foreseen), "that is absolute"


@pytest.mark.parametrize(
    ("signed_ms", "before_ms"),
    [
        ({}, {}),
        ({"cortex-a72": 90.0}, {"avx2": 3.0}),  # not measured on the same hardware
        ({"avx2": 90.0}, {"avx2": 30.0}),  # and not on this one
        ({"cortex-a72": 90.0}, {"cortex-a72": 0.0}),
        ({"cortex-a72": 20.0}, {"cortex-a72": 30.0}),
        ({"cortex-a72": float("nan")}, {"cortex-a72": 30.0}),
        ({"cortex-a72": float("inf")}, {"cortex-a72": 30.0}),
    ],
)
def test_nothing_is_foreseen_where_the_signed_figures_do_not_say(
    signed_ms: dict[str, float], before_ms: dict[str, float]
) -> None:
    assert foreseen_slowdown(signed_ms, before_ms, on="cortex-a72") == 1.0


@given(some_ms, some_ms, st.none() | some_ms, st.floats(1.05, 10))
def test_a_model_no_slower_than_the_one_before_is_never_too_slow(
    took_ms: float, more_ms: float, latency_ms: float | None, slowdown: float
) -> None:
    assert not Budget(latency_ms=latency_ms, slowdown=slowdown).too_slow(took_ms, took_ms + more_ms)


@pytest.mark.parametrize(
    ("budget", "now", "before", "words"),
    [
        (Budget(), Memory(150 * MB, 500 * MB, 1000 * MB), Memory(100 * MB, 550 * MB, 1000 * MB), ""),
        (Budget(memory_bytes=120 * MB), Memory(150 * MB, 500 * MB, 1000 * MB), Memory(100 * MB), "takes 150 MB"),
        # over it before the model came
        (Budget(memory_bytes=120 * MB), Memory(150 * MB, 500 * MB, 1000 * MB), Memory(130 * MB), ""),
        (Budget(), Memory(900 * MB, 20 * MB, 1000 * MB), Memory(100 * MB), "takes 800 MB and leaves 20 MB of 1000 MB"),
        # something else took it
        (Budget(), Memory(105 * MB, 20 * MB, 1000 * MB), Memory(100 * MB), ""),
        (Budget(), Memory(90 * MB, 20 * MB, 1000 * MB), Memory(100 * MB), ""),
        (Budget(), Memory(), Memory(), ""),  # a system that does not tell
    ],
)
def test_a_model_is_too_large_when_it_is_what_takes_the_memory(
    budget: Budget, now: Memory, before: Memory, words: str
) -> None:
    why = budget.too_large(now, before)
    assert words in why
    assert bool(why) == bool(words)
