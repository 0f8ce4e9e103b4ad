"""How well good is told from wrong is counted right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.anomaly.judged import DRAWN, Judged, area_under_roc, pairs_won, to_judge_by
from cloud.compress.scored import Separated
from cloud.image_folder import Images
from models.errors import DataError
from tests.cloud.anomaly.textures import scratched, texture

SCORES = st.lists(st.integers(0, 6).map(lambda tenth: tenth / 10), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("goods", "defects", "area"),
    [
        ((0.1, 0.2), (0.3, 0.4), 1.0),
        ((0.3, 0.4), (0.1, 0.2), 0.0),
        ((0.5, 0.5), (0.5, 0.5), 0.5),
        ((0.1, 0.3), (0.2, 0.3), 0.625),
    ],
)
def test_auroc_is_the_part_of_pairs_in_order(goods: tuple[float, ...], defects: tuple[float, ...], area: float) -> None:
    assert area_under_roc(np.array(goods), np.array(defects)) == pytest.approx(area)


@given(goods=SCORES, defects=SCORES, data=st.data())
def test_a_sample_counts_pictures_as_often_as_they_are_in_it(
    goods: list[float], defects: list[float], data: st.DataObject
) -> None:
    count = len(goods) + len(defects)
    times = np.array([data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))])
    separated = Separated(pairs_won(np.array(goods), np.array(defects)))
    again = np.repeat(defects, times[0, : len(defects)]), np.repeat(goods, times[0, len(defects) :])
    expected = area_under_roc(again[1], again[0])
    assert separated.resampled(times)[0] == pytest.approx(expected, nan_ok=True)
    assert separated.resampled(np.ones((1, count), np.int64))[0] == pytest.approx(separated.value)
    assert separated.pictures == count


def test_figures_are_by_kind_of_defect() -> None:
    wrong = np.array((0.1, 0.6, 0.7, 0.2, 0.9), np.float32)
    judged = Judged(("good", "bent", "cut"), np.array((0, 0, 1, 1, 2)), wrong)
    assert judged.false_alarms == 0.5
    assert judged.by_class()["bent"] == {"pictures": 2, "recall": 0.5, "auroc": 0.75}
    assert judged.document()["accuracy"] == pytest.approx(5 / 6)
    assert judged.table()[1][:3] == ("good", "2", "0.500")
    assert judged.metric == "AUROC"


def test_defects_are_drawn_only_where_there_are_none() -> None:
    rng = np.random.default_rng(0)
    goods, bad = np.stack([texture(rng), texture(rng)]), scratched(rng)[None]
    alone = Images(("good",), goods, np.zeros(2, np.int64), (), "")
    drawn = to_judge_by(alone)
    assert (drawn.labels, drawn.class_ids.tolist()) == (("good", DRAWN), [0, 0, 1, 1])
    assert np.array_equal(drawn.pixels[:2], goods)
    both = Images(("good", "cut"), np.concatenate((goods, bad)), np.array((0, 0, 1)), (), "")
    assert to_judge_by(both) is both
    with pytest.raises(DataError, match="no good pictures to judge by"):
        to_judge_by(Images(("good", "cut"), bad, np.ones(1, np.int64), (), ""))
