"""Pairing at the least cost: what the solver is spared changes nothing."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.analytics.assignment import Cost, assign

LIMIT = 0.8
# few distinct costs would tie, and then another pairing is as good
COSTS = st.dictionaries(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.floats(0, 1), max_size=10)


@settings(deadline=None)
@given(costs=COSTS)
def test_no_other_pairing_costs_less(costs: dict[tuple[int, int], float]) -> None:
    rows, columns = assign([(row, column, cost) for (row, column), cost in costs.items()], limit=LIMIT)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    chosen = list(zip(rows, columns, strict=True))
    assert all(costs[pair] <= LIMIT for pair in chosen)
    best = min(_cost(costs, subset) for size in range(6) for subset in itertools.combinations(costs, size))
    assert _cost(costs, chosen) <= best + 1e-9


def test_what_is_no_number_is_never_paired() -> None:
    costs: list[Cost] = [(0, 0, float("nan")), (0, 1, 0.5), (1, 1, 0.4)]
    assert assign(costs, limit=LIMIT) == ([1], [1])


def _cost(costs: dict[tuple[int, int], float], pairs: "tuple[tuple[int, int], ...] | list[tuple[int, int]]") -> float:
    """Of a pairing; what is left out costs the limit."""
    rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
    if len(rows) < len(pairs) or len(columns) < len(pairs):
        return float("inf")
    return sum(costs[pair] for pair in pairs) - LIMIT * len(pairs)
