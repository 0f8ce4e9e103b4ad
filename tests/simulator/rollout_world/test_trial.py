"""A roll-out in a small world: the same seed, the same end; a fault changes what is reported of the candidate, and
nothing else."""

import numpy as np
import pytest

from cloud.rollout.windows import COLUMNS
from simulator.rollout_world import faults
from simulator.rollout_world.releases import HARDWARE
from simulator.rollout_world.reports import Reports
from simulator.rollout_world.trial import Outcome, run_trial
from simulator.rollout_world.variants import WAYS
from simulator.rollout_world.weather import NEVER, SIZE, weather
from simulator.rollout_world.worlds import World
from tests.simulator.rollout_world.tiny import graph, world

SHORT = 120  # windows of history


@pytest.fixture(scope="module")
def small() -> World:
    return world({"permuted": faults.permuted(graph(), [1, 2, 0]), "nan": faults.with_nan(graph(), 1)})


def without_times(outcome: Outcome) -> dict[str, object]:
    return {name: getattr(outcome, name) for name in Outcome.__slots__ if name not in ("seconds", "wall_s")}


def test_permuted_labels_are_stopped_early_and_alike_twice(small: World) -> None:
    seed = 2 * WAYS.index("permuted") + 1
    once, again = (run_trial(seed, {"squares": small}, shadow_s=1800.0, history=SHORT) for _ in range(2))
    assert once.stopped_early, once
    assert without_times(once) == without_times(again)


def test_a_candidate_changes_nothing_of_what_others_report(small: World) -> None:
    fleet = weather(5, SHORT, minute=600, blocks=3)
    gateway, window = np.arange(SIZE).repeat(SHORT), np.tile(np.arange(SHORT), SIZE)
    found = []
    for name in ("identical", "permuted"):
        reports = Reports(small, fleet, dict.fromkeys(HARDWARE, name), leak=0.0)
        for number in range(4):
            reports.deploy(number, 60)
        found.append(reports.make(gateway, window))
    runs = found[1].release == 2
    assert 0 < runs.sum() == (found[0].release == 2).sum() == 4 * (SHORT - 61)
    for column in COLUMNS:
        assert np.array_equal(getattr(found[0], column)[~runs], getattr(found[1], column)[~runs]), column
    assert not np.array_equal(found[0].mix[runs], found[1].mix[runs])
    assert np.array_equal(found[0].frames, found[1].frames)


def test_a_model_that_raises_is_given_up_on_the_spot(small: World) -> None:
    fleet = weather(5, SHORT, minute=600, blocks=3)
    reports = Reports(small, fleet, dict.fromkeys(HARDWARE, "nan"), leak=0.0)
    reports.deploy(7, 60)
    windows = reports.make(np.full(SHORT, 7), np.arange(SHORT))
    assert (windows.release == 1).all()
    assert "not finite" in windows.failures[windows.failed[-1]]
    assert windows.failed[:60].sum() == 0


def test_every_report_of_a_gateway_that_is_up_arrives_once_its_link_is_back() -> None:
    fleet = weather(8, 2880, minute=0, blocks=3)
    made = fleet.sent < NEVER
    at = np.broadcast_to(np.arange(2880), fleet.sent.shape)
    assert (fleet.sent[made] >= at[made]).all()
    assert 0.9 < made.mean() < 1
    assert (fleet.sent[made] > at[made] + 10).any(), "nobody was ever away"
    assert 0.1 < fleet.night.mean() < 0.5
