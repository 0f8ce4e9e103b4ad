"""Whatever happens to a fleet and to whoever rolls out, these hold at each deployment and at the end."""

import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cloud.rollout.plan import Plan, Wishes, waves_of
from cloud.rollout.requests import Ask
from cloud.rollout.run import is_over, tick
from cloud.rollout.state import Order
from simulator.rollout_fleet import Behaviour, RolloutFleet, worse
from tests.cloud.rollout.stories import ANN, FLEET, GOOD, MODEL, ask, fleet_running, start, state, world

NAMES = [f"gateway-{number}" for number in range(1, 7)]
RINGS = "1,2,rest"


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


class LawfulFleet(RolloutFleet):
    """Every deployment of the candidate is held against the plan and against what the gateways have really said."""

    plan: Plan | None = None
    dies_in = 0  # calls; 0: never
    silence_s = 60.0

    def deploy(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        if release == 2 and self.plan is not None and self.pins[group][0] != 2:
            self._check(self.plan, group)
        self._die()
        made = super().deploy(group, model, release, instead_of=instead_of)
        self._die()
        return made

    def reported(self, name: str) -> bool:
        return any(report.gateway == name and report.health.release == 2 for report in self.health)

    def _check(self, plan: Plan, group: str) -> None:
        groups = [wave.group for wave in plan.waves]
        number = groups.index(group)
        assert [self.pins[before][0] for before in groups] == [2] * number + [1] * (len(groups) - number), "in order"
        given = plan.names(number)
        lately = self.clock() - int(self.silence_s * 1e6)
        said = {report.gateway for report in self.health if report.health.at_us >= lately}
        flying = [name for name in given if name in said and not self.reported(name)]
        assert len(flying) + len(plan.waves[number].names) <= (plan.wishes.max_in_flight or 99), f"{flying} fly"
        ring = plan.ring_of(number)
        if ring and number == waves_of(plan, ring).start:
            before = plan.rings[ring - 1].names
            assert sum(map(self.reported, before)) >= 0.5 * len(before), "no advance on missing evidence"

    def _die(self) -> None:
        if self.dies_in:
            self.dies_in -= 1
            if not self.dies_in:
                raise Killed


class AnyRollOut(RuleBasedStateMachine):
    """A roll-out of release 2, moved on by ticks that may die."""

    @initialize(
        candidate=st.sampled_from([GOOD, GOOD, worse(GOOD, refused="broken"), worse(GOOD, p95_ms=60.0)]),
        approve=st.sampled_from([(), (), (2,)]),
        cap=st.sampled_from([2, None]),
        seed=st.integers(0, 3),
    )
    def begin(self, candidate: Behaviour, approve: tuple[int, ...], cap: int | None, seed: int) -> None:
        self.path = Path(tempfile.mkdtemp())
        made = fleet_running(candidate=candidate, gateways=len(NAMES), rings=RINGS, seed=seed, windows=6)
        made.__class__ = LawfulFleet
        assert isinstance(made, LawfulFleet)
        self.fleet = made
        wishes = Wishes(max_in_flight=cap, approve=approve)
        self.fleet.plan = start(self.path, self.fleet, order=Order(2, ANN, RINGS, wishes)).plan

    @rule(seconds=st.sampled_from([5, 20, 70]), ticks=st.integers(1, 4))
    def time_passes(self, seconds: int, ticks: int) -> None:
        for _ in range(ticks):
            self.fleet.pause(seconds)
            tick(world(self.path, self.fleet), who=ANN, clock=self.fleet.clock)

    @rule(calls=st.integers(1, 4))
    def whoever_acts_is_killed(self, calls: int) -> None:
        self.fleet.dies_in = calls
        with contextlib.suppress(Killed):
            tick(world(self.path, self.fleet), who=ANN, clock=self.fleet.clock)
        self.fleet.dies_in = 0

    @rule(name=st.sampled_from(NAMES))
    def a_gateway_goes_or_comes_back(self, name: str) -> None:
        self.fleet.gateways[name].offline = not self.fleet.gateways[name].offline

    @rule(name=st.sampled_from(NAMES), load=st.sampled_from([1.0, 4.0]))
    def a_gateway_gets_slow_or_fast(self, name: str, load: float) -> None:
        self.fleet.gateways[name].load = load

    @rule(what=st.sampled_from(["approve", "pause", "resume", "abort"]))
    def an_operator_asks(self, what: Ask) -> None:
        ask(self.path, what, at_us=self.fleet.clock(), ring=2 if what == "approve" else -1)

    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            try:
                self._bring_to_an_end()
            finally:
                shutil.rmtree(self.path)

    def _bring_to_an_end(self) -> None:
        for gateway in self.fleet.gateways.values():
            gateway.offline, gateway.load = False, 1.0
        ask(self.path, "resume", at_us=self.fleet.clock())
        ask(self.path, "approve", at_us=self.fleet.clock(), ring=2)
        for _ in range(400):
            if is_over(state(self.path)) and state(self.path).phase != "revert-failed":
                break
            self.fleet.pause(10)
            tick(world(self.path, self.fleet), who=ANN, clock=self.fleet.clock)
        ended = state(self.path)
        assert ended.phase in ("done", "reverted"), (ended.phase, ended.waits_for)
        assert self.fleet.plan is not None
        wanted = 2 if ended.phase == "done" else 1
        groups = [wave.group for wave in self.fleet.plan.waves if self.fleet.things(wave.group)]
        assert {self.fleet.release_of(group, MODEL) for group in groups} == {wanted}
        self.fleet.pause(30)
        assert {gateway.running for gateway in self.fleet.gateways.values()} == {wanted}
        for group in {group for group, _ in self.fleet.deployments}:
            made = [release for name, release in self.fleet.deployments if name == group]
            assert all(before != after for before, after in itertools.pairwise(made)) or wanted == 1
        assert sorted(self.fleet.groups[FLEET]) == sorted(ended.plan.names())


class TestTheLaws(AnyRollOut.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=5, stateful_step_count=15, deadline=None)


@pytest.mark.soak
class TestTheLawsAtLength(AnyRollOut.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
