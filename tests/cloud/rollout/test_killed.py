"""Killed at every step, a roll-out goes on to the same end."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from cloud.rollout import run
from cloud.rollout.run import run_rollout
from simulator.rollout_fleet import Behaviour, RolloutFleet, worse
from tests.cloud.rollout.stories import GOOD, fleet_running, running, start, state


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


class Reaper:
    """Kills at the n-th moment; a moment is just before or just after something is written or called."""

    def __init__(self, at: int) -> None:
        self.at, self.moments = at, 0

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(act)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._moment()
            result = act(*args, **kwargs)
            self._moment()
            return result

        return watched

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self.at:
            raise Killed


class Restless(Reaper):
    """Dies again and again, each time a little later than the time before."""

    def __init__(self) -> None:
        super().__init__(1)

    def _moment(self) -> None:
        self.moments += 1
        if self.moments == self.at:
            self.moments, self.at = 0, self.at + 1
            raise Killed


def live_through(folder: Path, fleet: RolloutFleet, reaper: Reaper) -> int:
    """Run to the end, begin again when killed; how often that was."""
    deaths = 0
    with pytest.MonkeyPatch.context() as patch:
        for name in ("append_audit", "write_rollout"):
            patch.setattr(run, name, reaper.around(getattr(run, name)))
        for name in ("deploy", "assign"):
            patch.setattr(fleet, name, reaper.around(getattr(fleet, name)))
        while not state(folder).ended:
            try:
                for _ in run_rollout(folder, fleet, fleet.reports, poll_s=2.5, clock=fleet.clock, pause=fleet.pause):
                    pass
            except Killed:
                deaths += 1
    return deaths


@pytest.mark.parametrize(
    ("candidate", "deployments", "releases"),
    [
        (GOOD, [("shop_flange-ring-0", 2), ("shop_flange-ring-1", 2)], [2, 2]),
        (worse(GOOD, refused="broken"), [("shop_flange-ring-0", 2), ("shop_flange-ring-0", 1)], [1, 1]),
    ],
    ids=["good", "bad"],
)
def test_killed_at_every_step_it_ends_the_same_and_deploys_nothing_twice(
    tmp_path: Path, candidate: Behaviour, deployments: list[tuple[str, int]], releases: list[int]
) -> None:
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        fleet = fleet_running(candidate=candidate, gateways=2, rings="1,rest", windows=5)
        start(folder, fleet, rings="1,rest")

        deaths = live_through(folder, fleet, Reaper(at))

        assert fleet.deployments == deployments
        assert running(fleet) == releases
        if not deaths:
            break
    assert at > 20  # it was killed in many places


def test_killed_again_and_again_it_still_arrives(tmp_path: Path) -> None:
    fleet = fleet_running(gateways=2, rings="1,rest", windows=5)
    start(tmp_path, fleet, rings="1,rest")

    deaths = live_through(tmp_path, fleet, Restless())

    assert deaths > 5
    assert fleet.deployments == [("shop_flange-ring-0", 2), ("shop_flange-ring-1", 2)]
    assert running(fleet) == [2, 2]
