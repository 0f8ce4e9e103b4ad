"""Weights with just so much noise on them that a model is worse by so much."""

from collections.abc import Callable

import onnx

from simulator.rollout_world.faults import disturbed

_NEAR = 0.01  # of the accuracy wanted: so near must it come
_MOST_NOISE = 1.5
_TRIES = 10


def with_loss(
    graph: onnx.ModelProto, judged: Callable[[onnx.ModelProto], float], wanted: float, *, seed: int
) -> tuple[onnx.ModelProto, float]:
    """The graph with noise on its weights that brings its accuracy nearest to `wanted`, by bisection."""
    low, high = 0.0, _MOST_NOISE
    best: tuple[float, onnx.ModelProto, float] | None = None
    amount = 0.1
    for _ in range(_TRIES):
        changed = disturbed(graph, amount, seed)
        value = judged(changed)
        miss = abs(value - wanted)
        if best is None or miss < best[0]:
            best = (miss, changed, value)
        if miss < _NEAR * wanted:
            break
        low, high = (amount, high) if value > wanted else (low, amount)
        amount = (low + high) / 2 if high < _MOST_NOISE else amount * 1.6
    assert best is not None
    return best[1], best[2]
