"""A YOLOX file becomes a canonical model that sees the same things."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.imports.adapted import MisfitError, prove
from cloud.imports.source import read_source
from cloud.imports.yolox import yolox
from models.detections import UInt8
from models.manifest import InputSpec, Manifest
from models.runner import Runner

CLASSES = 3
GREY: UInt8 = np.full((64, 64, 3), 114, np.uint8)
Table = npt.NDArray[np.float64]


def empty_table(classes: int = CLASSES) -> Table:
    """Every cell sees nothing: objectness 0."""
    return np.zeros((84, 5 + classes))


def put(table: Table, cell: int, box: tuple[float, float, float, float], score: float, class_id: int) -> None:
    """Make the stride-8 cell see `box` (xyxy), by YOLOX's own rule turned around."""
    x1, y1, x2, y2 = box
    column, row = cell % 8, cell // 8
    table[cell, :2] = ((x1 + x2) / 16 - column, (y1 + y2) / 16 - row)
    table[cell, 2:4] = np.log(((x2 - x1) / 8, (y2 - y1) / 8))
    table[cell, 4] = score
    table[cell, 5 + class_id] = 1


def runner_of(path: Path) -> Runner:
    adapted = yolox(read_source(path))
    labels = tuple(map(str, range(adapted.class_count or 0)))
    return Runner(adapted.model.SerializeToString(), Manifest("foreign", "detection", labels, adapted.input))


def test_boxes_come_out_where_the_cells_put_them(yolox_file: Callable[..., Path]) -> None:
    table = empty_table()
    put(table, 9, (8, 10, 20, 30), 0.5, 2)
    put(table, 0, (-6, -4, 40, 70), 0.9, 0)
    boxes, scores, classes = runner_of(yolox_file(table)).candidates(GREY)
    np.testing.assert_allclose(boxes, [(-6, -4, 40, 70), (8, 10, 20, 30)], atol=1e-4)
    np.testing.assert_allclose(scores, [0.9, 0.5], atol=1e-6)
    assert classes.tolist() == [0, 2]
    assert [str(values.dtype) for values in (boxes, scores, classes)] == ["float32", "float32", "int64"]


def test_nothing_seen_is_an_empty_answer(yolox_file: Callable[..., Path]) -> None:
    boxes, scores, classes = runner_of(yolox_file(empty_table())).candidates(GREY)
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))


def test_a_box_suppresses_its_own_class_only(yolox_file: Callable[..., Path]) -> None:
    table = empty_table()
    put(table, 0, (0, 0, 20, 20), 0.9, 0)
    put(table, 1, (1, 0, 21, 20), 0.8, 0)
    put(table, 2, (1, 0, 21, 20), 0.7, 1)
    _, scores, classes = runner_of(yolox_file(table)).candidates(GREY)
    assert classes.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [0.9, 0.7], atol=1e-6)


def test_a_box_that_overflows_takes_no_other_with_it(yolox_file: Callable[..., Path]) -> None:
    table = empty_table()
    put(table, 0, (0, 0, 20, 20), 0.9, 0)
    put(table, 20, (30, 30, 50, 50), 0.8, 1)
    put(table, 40, (0, 0, 8, 8), 0.95, 2)
    table[40, 2:4] = 200  # exp(200) is no float32
    path = yolox_file(table)
    boxes, _, classes = runner_of(path).candidates(GREY)
    assert classes.tolist() == [2, 0, 1]
    assert np.isinf(boxes[0]).all()
    assert np.isfinite(boxes[1:]).all()


def test_the_300_best_are_left(yolox_file: Callable[..., Path]) -> None:
    rng = np.random.default_rng(3)
    table = rng.uniform(0.1, 0.9, (756, 5 + CLASSES))
    table[:, :4] = (0, 0, -3, -3)  # small boxes in their cells' corners: none suppresses another
    boxes, scores, _ = runner_of(yolox_file(table, side=192)).candidates(np.full((192, 192, 3), 114, np.uint8))
    expected = np.sort(table[:, 4] * table[:, 5:].max(axis=1))[::-1][:300]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert boxes.shape == (300, 4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 30), sure=st.sampled_from([0.001, 0.1, 1.0]))
def test_every_answer_is_the_documented_one(
    yolox_file: Callable[..., Path], seed: int, classes: int, sure: float
) -> None:
    rng = np.random.default_rng(seed)
    table = rng.uniform(0, 1, (84, 5 + classes))
    table[:, :2] = rng.normal(0, 2, (84, 2))
    table[:, 2:4] = rng.normal(0, 2, (84, 2))
    table[:, 4] *= sure
    path = yolox_file(table)
    source = read_source(path)
    adapted = yolox(source)
    assert prove(adapted, source, runner_of(path), [GREY]) <= 84


def test_what_fits_is_described(yolox_file: Callable[..., Path]) -> None:
    source = read_source(yolox_file(empty_table(7), batch="batch"))
    adapted = yolox(source)
    assert (adapted.input, adapted.class_count, source.opset) == (InputSpec(64, 64, "letterbox", "linear"), 7, 11)
    assert [port.name for port in source.inputs] == ["images"]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (np.zeros((85, 8)), r"'output' is 1x85x8, expected 1x84x\(5 \+ classes\)"),
        (np.zeros((84, 5)), r"'output' is 1x84x5, expected 1x84x\(5 \+ classes\)"),
        (np.full((84, 8), -2.0), r"confidences reach from -2.00 to -2.00, expected 0..1"),
        (np.full((84, 8), np.nan), r"confidences reach from nan to nan, expected 0..1"),
    ],
)
def test_what_does_not_fit_is_said(yolox_file: Callable[..., Path], table: Table, reason: str) -> None:
    with pytest.raises(MisfitError, match=reason):
        yolox(read_source(yolox_file(table)))
