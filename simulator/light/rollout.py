"""A roll-out over light gateways: the real `cloud/rollout` decides, from the health that is in the real lake.

What is simulated is how a release reaches a gateway: some seconds after its group is given it.
"""

import functools
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cloud.lake.lake import Lake
from cloud.rollout.begin import survey
from cloud.rollout.events import Event
from cloud.rollout.fleet import GROUPS_OF_A_THING, Progress
from cloud.rollout.place import Place
from cloud.rollout.plan import Gateway
from cloud.rollout.run import IDLE, run_rollout
from cloud.rollout.starting import start
from cloud.rollout.state import Order
from cloud.rollout.steps import World
from greengrass.objects import DiskStore
from models.errors import DeployError, RolloutError
from simulator.light.fleet import LightFleet
from simulator.light.gateway import Model
from simulator.light.happenings import RollOut

MODEL, GROUP = "coco", "fleet"
_ARRIVES_S = (5.0, 40.0)  # after a deployment
_POLL_S = 60.0
_SOON_S = 1.0
_WHO = "scenario"


class LightGroups:
    """cloud.rollout.fleet.Fleet for a fleet of light gateways, all of which run release 1 at first."""

    def __init__(self, fleet: LightFleet) -> None:
        self._fleet = fleet
        self._random = random.Random(f"{fleet.seed} deployments")
        self._models = {1: Model()}
        self._groups: dict[str, tuple[str, ...]] = {GROUP: tuple(fleet.gateways)}
        self.described: dict[str, Gateway] = {}  # what their attributes say
        self._given: dict[str, tuple[int | None, str]] = {}
        self._shadows: dict[str, int] = {}  # the release that looks on, by group
        self._made = 0

    def register(self, model: Model) -> None:
        """Make a release known."""
        self._models[model.release] = model

    def settle(self, shares: str) -> None:
        """Rings as a first roll-out of release 1 has left them."""
        for wave in survey(self, model=MODEL, release=1, group=GROUP, shares=shares, first=True).waves:
            self.assign(wave.group, wave.names)
            self._given[wave.group] = 1, f"settled-{wave.group}"

    def things(self, group: str) -> tuple[str, ...] | None:
        return self._groups.get(group)

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        return tuple(self.described.get(name, Gateway(name)) for name in things)

    def count_groups(self, thing: str) -> int:
        return sum(thing in things for things in self._groups.values())

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        self._check()
        self._join(group, things)

    def move(self, thing: str, *, into: str | None, out_of: tuple[str, ...] = ()) -> None:
        self._check()
        if into is not None:
            self._check_there(into)
        for group in {*out_of} - {into}:
            self._groups[group] = tuple(name for name in self._groups.get(group, ()) if name != thing)
        if into is not None:
            self._join(into, (thing,))

    def copy(self, group: str, to: str) -> None:
        self._check_there(to)
        release, _ = self._given.get(group, (None, ""))
        same = self._given.get(to, (None, ""))[0] == release and self._shadows.get(to) == self._shadows.get(group)
        if release is not None and not same:
            if group in self._shadows:
                self._shadows[to] = self._shadows[group]
            self._give(to, release, self._shadows.get(group))

    def registered(self, model: str, release: int) -> bool:
        return model == MODEL and release in self._models

    def download_bytes(self, model: str, release: int) -> int:
        return 0

    def release_of(self, group: str, model: str) -> int | None:
        return self._given.get(group, (None, ""))[0]

    def deploy(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        self._check_there(group)
        given, deployment = self._given.get(group, (None, ""))
        if deployment and given == release and group not in self._shadows and deployment != instead_of:
            return deployment
        self._shadows.pop(group, None)
        return self._give(group, release, None)

    def shadow(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        self._check_there(group)
        if release is not None and not self.registered(model, release):
            raise DeployError(f"{model}@{release} is not registered")
        given, deployment = self._given.get(group, (None, ""))
        if deployment and self._shadows.get(group) == release and deployment != instead_of:
            return deployment
        if release is None:
            self._shadows.pop(group, None)
        else:
            self._shadows[group] = release
        return self._give(group, given, release)

    def _join(self, group: str, things: tuple[str, ...]) -> None:
        newcomers = sorted(set(things).difference(self._groups.get(group, ())))
        for name in newcomers:
            if name not in self._fleet.gateways:
                raise DeployError(f"there is no thing {name!r}")
            if self.count_groups(name) >= GROUPS_OF_A_THING:
                raise DeployError(f"{name} is in {GROUPS_OF_A_THING} thing groups already")
        self._groups[group] = tuple(sorted({*self._groups.get(group, ()), *things}))
        release, deployment = self._given.get(group, (None, ""))
        if release is not None and not deployment.startswith("settled-"):
            self._send(newcomers, release, self._shadows.get(group), deployment)

    def _give(self, group: str, release: int | None, shadow: int | None) -> str:
        self._made += 1
        deployment = f"deployment-{self._made}"
        self._given[group] = release, deployment
        self._send(self._groups[group], release, shadow, deployment)
        return deployment

    def _send(self, things: Iterable[str], release: int | None, shadow: int | None, deployment: str) -> None:
        for name in things:
            at_s = self._fleet.clock.now + self._random.uniform(*_ARRIVES_S)
            arrive = functools.partial(self._arrive, name, release or 1, shadow, deployment)
            self._fleet.gateways[name].time.at(at_s, arrive)

    def progress(self, deployment: str, things: tuple[str, ...]) -> Mapping[str, Progress]:
        self._check()
        settled = deployment.startswith("settled-")
        taken = {name for name in things if self._fleet.gateways[name].deployment == deployment}
        return {name: "succeeded" if settled or name in taken else "pending" for name in things}

    def _arrive(self, name: str, release: int, shadow: int | None, deployment: str) -> None:
        gateway = self._fleet.gateways[name]
        if not gateway.is_on:
            # it asks for its deployments when it is back
            arrive = functools.partial(self._arrive, name, release, shadow, deployment)
            gateway.time.at(gateway.time.now + _ARRIVES_S[1], arrive)
            return
        gateway.deployment = deployment
        gateway.shadow = None if shadow is None else self._models[shadow]
        if gateway.model.release != release:
            gateway.run_model(self._models[release])

    def _check_there(self, group: str) -> None:
        self._check()
        if group not in self._groups:
            raise DeployError(f"there is no thing group {group!r}")

    def _check(self) -> None:
        if self._fleet.control_is_down:
            raise DeployError("the simulated control plane throttles everything")


class RollOuts:
    """The roll-outs of a scenario, one after the other, on the fleet's clock; `events` of all."""

    def __init__(self, fleet: LightFleet, lake: Path, folder: Path) -> None:
        self.events: list[tuple[float, Event]] = []
        self._fleet, self._lake, self._folder = fleet, lake, folder
        self._groups = LightGroups(fleet)
        planned = fleet.scenario.rollouts
        if planned:
            self._groups.settle(planned[0].rings)
        for number, rollout in enumerate(planned):
            fleet.clock.at(rollout.at_s, lambda r=rollout, n=number: self._begin(r, n))  # type: ignore[misc]

    def _begin(self, rollout: RollOut, number: int) -> None:
        model = Model(rollout.release, rollout.p95_ms, rollout.errors, rollout.memory_bytes, rollout.refused)
        self._groups.register(model)
        now_us = self._fleet.clock.now_us
        store = DiskStore(self._folder / str(number))
        try:
            plan = survey(self._groups, model=MODEL, release=rollout.release, group=GROUP, shares=rollout.rings)
            order = Order(rollout.release, _WHO, rollout.rings)
            start(store, plan, order, window_s=self._fleet.scenario.window_s, now_us=now_us)
        except RolloutError as exc:
            self._note(Event(now_us, "", "trouble", str(exc)))
            return
        story = run_rollout(
            World(store, Place(GROUP, MODEL), self._groups, lambda since_us: Lake(self._lake).health(since_us)),
            who=_WHO,
            poll_s=_POLL_S,
            clock=lambda: self._fleet.clock.now_us,
            pause=lambda seconds: None,  # simulated time passes between two steps
        )
        self._step(story)

    def _step(self, story: Iterator[Event]) -> None:
        try:
            event = next(story, None)
        except RolloutError as exc:
            self._note(Event(self._fleet.clock.now_us, "", "trouble", str(exc)))
            return
        if event is None:
            return
        self._note(event)
        pause_s = _POLL_S if event.kind in IDLE else _SOON_S
        self._fleet.clock.at(self._fleet.clock.now + pause_s, lambda: self._step(story))

    def _note(self, event: Event) -> None:
        if event.kind != "wait":
            self.events.append((self._fleet.clock.now, event))
