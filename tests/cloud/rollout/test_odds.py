"""Seeded fleets, not only the one that a story needs: the limits hold on average."""

from collections import Counter
from pathlib import Path

import pytest

from simulator.rollout_fleet import Behaviour, worse
from tests.cloud.rollout.stories import GOOD, fleet_running, roll_out, state

FLEETS = [pytest.param(range(3), id="3 fleets"), pytest.param(range(3, 15), id="12 more", marks=pytest.mark.soak)]


def outcomes(folder: Path, candidate: Behaviour, seeds: range) -> Counter[tuple[str, int]]:
    """How roll-outs of the candidate to many fleets ended, and how many rings they touched."""
    ended: Counter[tuple[str, int]] = Counter()
    for seed in seeds:
        fleet = fleet_running(candidate=candidate, seed=seed)
        roll_out(folder / str(seed), fleet)
        rollout = state(folder / str(seed))
        ended[rollout.phase, len(rollout.touched)] += 1
    return ended


@pytest.mark.parametrize("seeds", FLEETS)
@pytest.mark.parametrize("candidate", [GOOD, worse(GOOD, accuracy=0.99, score=0.97, p95_ms=14.0)])
def test_good_releases_arrive(tmp_path: Path, candidate: Behaviour, seeds: range) -> None:
    assert outcomes(tmp_path, candidate, seeds) == {("done", 3): len(seeds)}


@pytest.mark.parametrize("seeds", FLEETS)
@pytest.mark.parametrize(
    "candidate",
    [worse(GOOD, answers={"good": "defect", "defect": "good"}), worse(GOOD, p95_ms=26.0)],
    ids=["classes mixed up", "slow"],
)
def test_bad_releases_stay_in_ring_0(tmp_path: Path, candidate: Behaviour, seeds: range) -> None:
    assert outcomes(tmp_path, candidate, seeds) == {("reverted", 1): len(seeds)}
