"""When two models are said to agree on a frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.agreement import Sight, compare
from models.detections import Detections


def sight(*things: tuple[str, float, tuple[float, float, float, float]]) -> Sight:
    found = Detections.of([box for _, _, box in things], [score for _, score, _ in things], [0] * len(things))
    return Sight(found, tuple(label for label, _, _ in things))


BOX, NEAR, FAR = (0.0, 0.0, 10.0, 10.0), (1.0, 0.0, 11.0, 10.0), (50.0, 50.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs", "left_over"),
    [
        (sight(), sight(), 0, None),  # both see nothing: they agree
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.4, NEAR)), 1, None),
        (sight(("cup", 0.9, BOX)), sight(("mug", 0.4, BOX)), 0, 0.9),
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.4, FAR)), 0, 0.9),
        (sight(("cup", 0.9, BOX)), sight(), 0, 0.9),
        (sight(), sight(("cup", 0.0, BOX)), 0, 0.0),
        # one of two lies on the first
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.8, NEAR), ("cup", 0.7, BOX)), 1, 0.8),
    ],
)
def test_detections_match_by_label_and_overlap(ours: Sight, theirs: Sight, pairs: int, left_over: float | None) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        agreement = compare(one, other)
        assert len(agreement.ious) == pairs
        assert agreement.left_over == (None if left_over is None else pytest.approx(left_over))


things = st.lists(
    st.tuples(
        st.sampled_from(["cup", "mug"]),
        st.floats(0, 1, width=32),
        st.tuples(st.floats(0, 40), st.floats(0, 40)).map(lambda at: (at[0], at[1], at[0] + 20, at[1] + 20)),
    ),
    max_size=6,
)


@given(things, things)
def test_nothing_matches_twice_and_a_sight_agrees_with_itself(
    ours: list[tuple[str, float, tuple[float, float, float, float]]],
    theirs: list[tuple[str, float, tuple[float, float, float, float]]],
) -> None:
    agreement = compare(sight(*ours), sight(*theirs))
    assert len(agreement.ious) <= min(len(ours), len(theirs))
    assert (agreement.left_over is None) == (len(agreement.ious) == len(ours) == len(theirs))
    assert compare(sight(*ours), sight(*ours)).left_over is None
