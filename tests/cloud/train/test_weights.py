"""Weights are taken over by name, and those of the head by label."""

import pytest
import torch
from torch import Tensor

from cloud.train.nets import NetConfig, ResidualNet
from cloud.train.weights import Weights, take_over
from models.errors import UsageError


def state(labels: int, width: int = 8, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return ResidualNet(labels, NetConfig(width=width, stages=1)).state_dict()


def test_rows_of_the_head_go_by_label_whatever_their_order() -> None:
    old = Weights("classification", {}, ("apple", "pear", "plum"), state(3))
    fresh = state(3, seed=1)
    found = take_over(fresh, ("cherry", "plum", "apple"), old)
    assert torch.equal(found["head.weight"][1:], old.state["head.weight"][[2, 0]])
    assert torch.equal(found["head.bias"][1:], old.state["head.bias"][[2, 0]])
    assert torch.equal(found["head.weight"][0], fresh["head.weight"][0])  # a cherry is new to it
    assert torch.equal(found["features.0.0.weight"], old.state["features.0.0.weight"])


@pytest.mark.parametrize("labels", [("apple", "pear"), ("apple", "cherry", "pear", "plum")])
def test_classes_may_come_and_go(labels: tuple[str, ...]) -> None:
    old = Weights("classification", {}, ("apple", "pear", "plum"), state(3))
    found = take_over(state(len(labels), seed=1), labels, old)
    for label in set(labels) & set(old.labels):
        ours, theirs = found["head.weight"][labels.index(label)], old.state["head.weight"][old.labels.index(label)]
        assert torch.equal(ours, theirs)


def test_weights_of_another_network_are_refused() -> None:
    other = Weights("classification", {}, (), state(2, width=12))
    with pytest.raises(UsageError, match=r"is 4x3x3x3 here and 6x3x3x3 there; pass the flags"):
        take_over(state(2), ("a", "b"), other)
