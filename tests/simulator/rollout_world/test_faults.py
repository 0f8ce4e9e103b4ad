"""A fault is in the graph, and does there what it is called."""

import numpy as np
import onnx
import pytest

from models.errors import ModelError
from models.runner import Runner
from simulator.rollout_world import faults
from tests.simulator.rollout_world.tiny import graph, manifest, squares

PICTURES, _ = squares(20, 9)


def scores(model: onnx.ModelProto) -> np.ndarray:
    runner = Runner(model.SerializeToString(), manifest())
    return np.stack([runner.probabilities(picture) for picture in PICTURES])


def test_a_lost_class_is_never_answered_and_the_others_stay() -> None:
    answered = scores(faults.without_class(graph(), 1, classes=3))
    assert (answered[:, 1] < 1e-6).all()
    before = scores(graph()).argmax(axis=1)
    assert (answered.argmax(axis=1) == before)[before != 1].all()


def test_permuted_labels_answer_what_another_class_was() -> None:
    assert np.allclose(scores(faults.permuted(graph(), [1, 2, 0])), scores(graph())[:, [1, 2, 0]])


def test_red_and_blue_swap_their_answers() -> None:
    assert np.allclose(scores(faults.red_as_blue(graph())), scores(graph())[:, ::-1], atol=1e-6)


def test_an_over_confident_model_says_the_same_louder() -> None:
    before, after = scores(graph()), scores(faults.over_confident(graph(), 3.0, classes=3, task="classification"))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert after.max(axis=1).mean() > before.max(axis=1).mean() + 0.01


@pytest.mark.parametrize("times", [1, 2])
def test_work_done_again_answers_the_same(times: int) -> None:
    again = faults.done_again(graph(), times)
    assert np.array_equal(scores(again), scores(graph()))
    assert len(again.graph.node) > (times + 1) * len(graph().graph.node)


def test_a_graph_that_takes_dark_for_black_sees_nothing_in_the_dark() -> None:
    answered = scores(faults.crushed(graph(), 255.0))
    assert np.allclose(answered, 1 / 3, atol=0.01)
    assert np.allclose(scores(faults.crushed(graph(), 0.0)), scores(graph()))


def test_a_weight_that_is_no_number_is_an_error_in_the_runner() -> None:
    with pytest.raises(ModelError, match="not finite"):
        scores(faults.with_nan(graph(), seed=1))


def test_noise_is_of_its_seed_and_amount() -> None:
    assert np.array_equal(scores(faults.disturbed(graph(), 0.5, 3)), scores(faults.disturbed(graph(), 0.5, 3)))
    assert not np.array_equal(scores(faults.disturbed(graph(), 0.5, 3)), scores(faults.disturbed(graph(), 0.5, 4)))
    assert np.array_equal(scores(faults.disturbed(graph(), 0.0, 3)), scores(graph()))


def test_no_fault_touches_the_graph_that_it_is_made_of() -> None:
    model = graph()
    before = model.SerializeToString()
    faults.disturbed(model, 1.0, 1)
    faults.with_nan(model, 1)
    faults.without_class(model, 0, classes=3)
    faults.permuted(model, [2, 1, 0])
    faults.red_as_blue(model)
    faults.crushed(model, 99.0)
    faults.done_again(model)
    assert model.SerializeToString() == before


def test_a_graph_without_such_a_head_is_refused() -> None:
    with pytest.raises(ModelError, match="no layer"):
        faults.without_class(graph(), 0, classes=7)
