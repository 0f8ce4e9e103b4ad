"""The lake's own frames judge the roll-outs."""

import pytest

from simulator.demo.findings import Findings, RolloutStory, Span
from simulator.demo.releasing import judge_order

RINGS = (("a",), ("b",), ("c", "d"))
AS_PROMISED = {"a": [1, 3], "b": [1, 3], "c": [1, 3], "d": [1, 3]}


def findings(ran: dict[str, list[int]], first_frames: dict[str, float]) -> Findings:
    stories = [RolloutStory(f"parts@{number}", RINGS, (), "done", "") for number in (1, 2, 3)]
    spans = [Span(gateway, 3, at_s, at_s + 1) for gateway, at_s in first_frames.items()]
    later = [Span(gateway, 3, at_s + 5, at_s + 6) for gateway, at_s in first_frames.items()]
    return Findings(rollouts=stories, releases_ran=ran, spans=spans + later)


@pytest.mark.parametrize(
    ("ran", "first_frames", "holds"),
    [
        (AS_PROMISED, {"a": 1, "b": 2, "c": 3, "d": 3.5}, [True, True]),
        # the bad release answered on ring 0, and was taken back
        ({**AS_PROMISED, "a": [1, 2, 1, 3]}, {"a": 1, "b": 2, "c": 3, "d": 4}, [False, True]),
        # ring 0 kept it until the good one came
        ({**AS_PROMISED, "a": [1, 2, 3]}, {"a": 1, "b": 2, "c": 3, "d": 4}, [False, True]),
        # another ring had it too
        ({**AS_PROMISED, "c": [1, 2, 1, 3]}, {"a": 1, "b": 2, "c": 3, "d": 4}, [False, True]),
        # a gateway of which nothing landed
        ({**AS_PROMISED, "d": []}, {"a": 1, "b": 2, "c": 3}, [False, True]),
        # half of ring 2 was faster than ring 1
        (AS_PROMISED, {"a": 1, "b": 3, "c": 2, "d": 4}, [True, False]),
    ],
)
def test_frames_say_who_ran_what_and_when(
    ran: dict[str, list[int]], first_frames: dict[str, float], holds: list[bool]
) -> None:
    seen = findings(ran, first_frames)
    judge_order(seen)
    assert [claim.holds for claim in seen.claims.judged] == holds
