"""The bootstrap tells chance from loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.average_precision import Truth, average_precision, rank, resampled_precision
from cloud.compress.scored import HitOrMiss, Ranked, loss_bound
from models.detections import Detections


def hits(*right: int) -> HitOrMiss:
    return HitOrMiss(np.array(right, np.bool_))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_same_answers_are_no_loss(right: list[bool]) -> None:
    scored = HitOrMiss(np.array(right))
    assert loss_bound(scored, scored, 0.95) == 0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60), st.integers(0, 59))
def test_one_more_mistake_is_never_less_loss(pairs: list[tuple[bool, bool]], index: int) -> None:
    ours, theirs = (np.array(column) for column in zip(*pairs, strict=True))
    worse = ours.copy()
    worse[index % len(worse)] = False
    reference = HitOrMiss(theirs)
    assert loss_bound(HitOrMiss(worse), reference, 0.9) >= loss_bound(HitOrMiss(ours), reference, 0.9) - 1e-12


def test_the_same_part_lost_is_surer_on_more_pictures() -> None:
    few, many = hits(*[1] * 19, 0), hits(*([1] * 19 + [0]) * 20)
    assert loss_bound(few, hits(*[1] * 20), 0.9) > loss_bound(many, hits(*[1] * 400), 0.9) > 0.05


def test_confidence_costs() -> None:
    ours, reference = hits(*([1] * 9 + [0]) * 10), hits(*[1] * 100)
    assert loss_bound(ours, reference, 0.99) > loss_bound(ours, reference, 0.5)


def boxed(rng: np.random.Generator, pictures: int) -> tuple[list[Truth], list[Detections]]:
    """A detector that is mostly right, in pictures of up to four things of three classes."""
    truths, found = [], []
    for _ in range(pictures):
        count = int(rng.integers(0, 5))
        corners = rng.uniform(0, 80, (count, 2))
        boxes = np.concatenate((corners, corners + rng.uniform(10, 40, (count, 2))), axis=1)
        classes = rng.integers(0, 3, count)
        truths.append(Truth(boxes.astype(np.float32), classes.astype(np.int64)))
        seen = np.concatenate((boxes + rng.normal(0, 2, boxes.shape), rng.uniform(0, 100, (2, 4))))
        found.append(Detections.of(seen, rng.uniform(0, 1, count + 2), [*classes, *rng.integers(0, 3, 2)]))
    return truths, found


@pytest.mark.parametrize("seed", range(4))
def test_resampled_precision_is_that_of_the_pictures_repeated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths, found = boxed(rng, 12)
    counts = rng.multinomial(12, np.full(12, 1 / 12), 5)
    got = resampled_precision(rank(truths, found), counts)
    for sample, precision in zip(counts, got, strict=True):
        chosen = np.repeat(np.arange(12), sample)
        expected = average_precision([truths[index] for index in chosen], [found[index] for index in chosen])
        # repeated pictures have equal scores, whose order is anybody's: that moves a figure by a little
        assert precision == pytest.approx(expected.ap50_95, abs=0.02)


def test_pictures_as_they_are_have_the_precision_that_evaluation_says() -> None:
    truths, found = boxed(np.random.default_rng(7), 20)
    expected = average_precision(truths, found).ap50_95
    ranked = Ranked(rank(truths, found), 20)
    assert ranked.value == expected
    assert ranked.resampled(np.ones((1, 20), np.int64))[0] == pytest.approx(expected, abs=1e-3)
