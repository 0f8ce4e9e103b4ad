"""The gate lets through what is as right, as fast and smaller, and says why."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.compress.gate import Limits, Measured, choose, judge

REFERENCE = Measured("fp32", 1_000_000, 0.950, 2.0, 2.5)
GOOD = Measured("int8", 280_000, 0.948, 1.2, 1.5, pictures=400, loss_bound=0.006)
LIMITS = Limits(accuracy_margin=0.01, latency_ratio=1.05)


@pytest.mark.parametrize(
    ("changes", "accepted", "reason"),
    [
        ({}, True, "accuracy 0.002 below fp32, within 0.01"),
        ({}, True, "takes 0.60 x the time of fp32"),
        ({}, True, "0.28 x the bytes"),
        ({"accuracy": 0.960}, True, "accuracy 0.010 above fp32"),
        ({"accuracy": 0.950}, True, "accuracy as fp32"),
        ({"accuracy": 0.940}, True, "within 0.01"),  # the margin itself is still good
        ({"accuracy": 0.939}, False, "accuracy 0.939 is 0.011 below fp32, more than 0.01"),
        ({"accuracy": math.nan}, False, "accuracy nan"),
        ({"p50_ms": 2.05}, True, "takes 1.02 x the time of fp32"),  # two medians of the same thing
        ({"p50_ms": 2.2}, False, "takes 1.10 x the time of fp32 here, more than 1.05"),
        ({"p50_ms": math.nan}, False, "nan x the time"),
        ({"bytes": 1_000_000}, False, "is 1.00 x the size of fp32: nothing is gained"),
        ({"unanswered": 1}, False, "no finite answer to 1 pictures"),
        ({"pictures": 49}, False, "not proven: 49 pictures show nothing"),
        ({"loss_bound": 0.0101}, False, "may be 0.010 below fp32 (90% confidence), more than 0.01"),
        ({"loss_bound": math.nan}, False, "not proven"),
        ({"loss_bound": 0.01}, True, "within 0.01"),
        ({"differences": ("000.png: class 3 is gone",), "decisions": 9}, False, "in 1 of 9 cases, such as 000.png"),
        ({"differences": ("000.png: class 3 is gone",), "decisions": 10}, True, "0.28 x the bytes"),
    ],
)
def test_verdicts(changes: dict[str, float], accepted: bool, reason: str) -> None:
    verdict = judge(dataclasses.replace(GOOD, **changes), REFERENCE, LIMITS)  # type: ignore[arg-type]
    assert verdict.accepted is accepted
    assert any(reason in said for said in verdict.reasons)


def test_every_fault_is_named_not_only_the_first() -> None:
    verdict = judge(Measured("int8", 2_000_000, 0.5, 4.0, 5.0, unanswered=3), REFERENCE, LIMITS)
    assert len(verdict.reasons) == 4


def test_the_reference_is_always_accepted() -> None:
    assert judge(REFERENCE, REFERENCE, LIMITS).accepted


def test_a_hundredth_of_a_millisecond_makes_nothing_slow() -> None:
    tiny = dataclasses.replace(REFERENCE, p50_ms=0.10)
    assert judge(dataclasses.replace(GOOD, p50_ms=0.115), tiny, LIMITS).accepted
    assert not judge(dataclasses.replace(GOOD, p50_ms=0.13), tiny, LIMITS).accepted


def test_of_equally_fast_variants_the_smallest_ships() -> None:
    w8 = dataclasses.replace(GOOD, name="w8", bytes=290_000, p50_ms=2.02)
    measured = [REFERENCE, w8]
    assert choose(measured, [judge(figures, REFERENCE, LIMITS) for figures in measured]) == w8


def test_of_equally_small_variants_the_most_accurate_ships() -> None:
    learned = dataclasses.replace(GOOD, name="int8-qat", bytes=GOOD.bytes + 9, accuracy=0.949, p50_ms=1.21)
    measured = [REFERENCE, GOOD, learned]
    assert choose(measured, [judge(figures, REFERENCE, LIMITS) for figures in measured]) == learned


def test_a_file_above_the_limit_is_refused() -> None:
    verdict = judge(GOOD, REFERENCE, dataclasses.replace(LIMITS, max_bytes=200_000))
    assert not verdict.accepted
    assert "is 280,000 bytes, more than 200,000" in verdict.reasons


def test_what_ships_is_the_fastest_that_was_accepted() -> None:
    wrong = dataclasses.replace(GOOD, name="wrong", accuracy=0.1, p50_ms=0.1)
    measured = [REFERENCE, GOOD, wrong]
    assert choose(measured, [judge(figures, REFERENCE, LIMITS) for figures in measured]) == GOOD


figures = st.builds(
    Measured,
    name=st.just("int8"),
    bytes=st.integers(1, 10**9),
    accuracy=st.floats(0, 1),
    p50_ms=st.floats(0.01, 1e4),
    p95_ms=st.floats(0.01, 1e4),
    unanswered=st.integers(0, 3),
    pictures=st.integers(0, 500),
    loss_bound=st.floats(-0.1, 0.1),
)


@given(candidate=figures)
def test_nothing_worse_ever_ships(candidate: Measured) -> None:
    measured = [REFERENCE, candidate]
    chosen = choose(measured, [judge(item, REFERENCE, LIMITS) for item in measured])
    assert chosen.accuracy >= REFERENCE.accuracy - 0.0100001
    assert chosen.p50_ms <= 1.05 * REFERENCE.p50_ms
    assert chosen == REFERENCE or (chosen.loss_bound <= 0.0100001 and chosen.pictures >= 50)
    assert chosen.bytes <= REFERENCE.bytes
    assert not chosen.unanswered


@pytest.mark.parametrize("values", [{"accuracy_margin": -0.1}, {"latency_ratio": 0.0}])
def test_limits_that_limit_nothing_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need 0 <= accuracy margin"):
        Limits(**values)  # type: ignore[arg-type]
