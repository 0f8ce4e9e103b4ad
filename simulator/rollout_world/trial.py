"""One roll-out from a seed: a fleet, a candidate, and the product's own plan, ledger, judge and decide, minute by
minute.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloud.rollout.begin import make_plan
from cloud.rollout.decide import Advance, Done, Revert, Shadow, decide
from cloud.rollout.judge import Ledger
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, Wishes
from cloud.rollout.promise import Promise
from cloud.rollout.standings import Standings
from simulator.rollout_world.releases import GOOD, HARDWARE
from simulator.rollout_world.reports import CANDIDATE_RELEASE, INCUMBENT_RELEASE, START_US, Reports
from simulator.rollout_world.variants import WAYS, Variant
from simulator.rollout_world.weather import DAY, NEVER, SIZE, WINDOW_S, Weather, weather
from simulator.rollout_world.worlds import INCUMBENT, World

HISTORY = DAY  # windows with the incumbent that the lake holds when a roll-out begins
_LONGEST = 2 * DAY + 480
_WINDOW_US = int(WINDOW_S * 1e6)
# how often a roll-out is looked at: every so many windows, up to so many after its last change
_LOOKS = ((1, 20), (5, 60), (30, NEVER))
_LATER_LOOKS = ((5, 60), (30, NEVER))  # the same from ring 1 on
_DEPLOY_WINDOWS = 3  # a gateway that is there has a deployment after one to so many
_LEAKS = (2e3, 2e4)  # bytes of a second that a leaking candidate keeps, from, to


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a roll-out ended: "stopped" (in `ring`, -1: in shadow), "done", or "unfinished" at the horizon.

    `minutes` since it began, `noticed` windows from the candidate's first report to its end. `because` is what the
    product said. `seconds` of processor time, `wall_s` by the clock.
    """

    seed: int
    world: str
    variant: str
    way: str
    base: str
    end: str
    ring: int
    touched: int
    minutes: int
    noticed: int
    because: str
    seconds: float
    wall_s: float

    @property
    def stopped_early(self) -> bool:
        return self.end == "stopped" and self.ring <= 0


def choose(seed: int, worlds: dict[str, World]) -> tuple[World, Variant]:
    """Half of the seeds have a good candidate; the others one made worse, each way as often as any other."""
    rng = np.random.default_rng((seed, 1))
    if seed % 2 == 0:
        base = GOOD[seed // 2 % len(GOOD)]
        found = [(world, variant) for world in worlds.values() for variant in world.variants.values()]
        found = [(world, variant) for world, variant in found if not variant.way and variant.base == base]
    else:
        way = WAYS[seed // 2 % len(WAYS)]
        found = [(world, variant) for world in worlds.values() for variant in world.variants.values()]
        found = [(world, variant) for world, variant in found if variant.way == way and _is_worse(variant)]
    names = sorted({world.name for world, _ in found})
    name = names[int(rng.integers(len(names)))]  # worlds alike, however many variants they have
    of_world = [pair for pair in found if pair[0].name == name]
    return of_world[int(rng.integers(len(of_world)))]


def _is_worse(variant: Variant) -> bool:
    """Grey pictures look the same with red and blue swapped: that is no fault there."""
    return variant.way != "red-blue" or variant.accuracy < 0.95 * variant.signed


def run_trial(
    seed: int,
    worlds: dict[str, World],
    *,
    shadow_s: float = 1800.0,
    history: int = HISTORY,
    every_window: bool = False,
    limits: Limits | None = None,
) -> Outcome:
    """The roll-out of a seed. In shadow and ring 0 it is looked at in every window for 20 of them, then in one of 5 for
    an hour, and then in one of 30; later rings in one of 5; or always, with `every_window`."""
    started, began = time.process_time(), time.monotonic()
    world, variant = choose(seed, worlds)
    rng = np.random.default_rng((seed, 2))
    fleet = weather(seed, history + _LONGEST, minute=int(rng.integers(DAY)), blocks=len(world.scatter.p50))
    candidate = dict.fromkeys(HARDWARE, variant.name)
    if variant.way == "one-hardware":
        broken = list(HARDWARE)[int(rng.integers(len(HARDWARE)))]
        candidate = {name: variant.name if name == broken else variant.base for name in HARDWARE}
    leak = 0.0
    if variant.way == "leaking":
        per_second = float(np.exp(rng.uniform(*np.log(_LEAKS))))
        leak = per_second * WINDOW_S / (np.median(fleet.frames) * world.leak_bytes)
    reports = Reports(world, fleet, candidate, leak=leak)
    plan = _plan(world, fleet, shadow_s)
    rollout = _Rollout(plan, reports, _promise(world, variant), rng, limits or Limits(), history)
    rollout.every_window = every_window
    outcome = rollout.run()
    return Outcome(
        seed=seed,
        world=world.name,
        variant=variant.name,
        way=variant.way,
        base=variant.base,
        seconds=round(time.process_time() - started, 3),
        wall_s=round(time.monotonic() - began, 3),
        **outcome,
    )


def _plan(world: World, fleet: Weather, shadow_s: float) -> Plan:
    return make_plan(
        model=world.name,
        release=CANDIDATE_RELEASE,
        incumbent=INCUMBENT_RELEASE,
        fleet="shop",
        gateways=fleet.gateways,
        wishes=Wishes(shadow_s=shadow_s, soak_s=(86_400.0, 3_600.0)),
    )


def _promise(world: World, variant: Variant) -> Promise:
    return Promise(world.shifts[variant.base], world.signed_ms[variant.base], world.signed_ms[INCUMBENT])


class _Rollout:
    def __init__(
        self, plan: Plan, reports: Reports, promise: Promise, rng: np.random.Generator, limits: Limits, history: int
    ) -> None:
        self.plan, self.reports, self.rng, self.limits = plan, reports, rng, limits
        self.every_window = False
        self.fleet = reports.weather
        self.history, self.horizon = history, reports.weather.sent.shape[1]
        self.number = {gateway.name: k for k, gateway in enumerate(self.fleet.gateways)}
        self.ring = np.zeros(SIZE, np.int64)
        for number, ring in enumerate(plan.rings):
            self.ring[[self.number[name] for name in ring.names]] = number
        self.ledger = Ledger(
            reports.names,
            rings=self.ring.tolist(),
            model=plan.model,
            release=CANDIDATE_RELEASE,
            incumbent=INCUMBENT_RELEASE,
            window_s=WINDOW_S,
            limits=limits,
            promise=promise,
            hardware=[gateway.hardware for gateway in self.fleet.gateways],
        )
        windows = self.horizon
        gateway, window = np.divmod(np.arange(SIZE * windows), windows)
        sent = self.fleet.sent.reshape(-1)
        order = np.argsort(sent, kind="stable")
        order = order[sent[order] < windows]
        self.gateway, self.window, self.sent = gateway[order], window[order], sent[order]
        self.delivered = 0
        self.heard = np.full(SIZE, -1, np.int64)  # the newest window that has arrived, by gateway
        self.first_heard = NEVER  # the window in which the first report of the candidate arrived
        self.deployed_us: list[int] = []
        self.shadow_since = 0

    def run(self) -> dict[str, Any]:
        now = self.history
        self._deliver(now)
        changed = now
        while now < self.horizon - 1:
            action = decide(self.plan, self._standings(now), self._us(now))
            if isinstance(action, Revert | Done):
                return self._end(action, now)
            if isinstance(action, Shadow):
                self.shadow_since = now
                self._look_on(now)
            if isinstance(action, Advance):
                self._advance(action, now)
            if isinstance(action, Advance | Shadow):
                changed = now
            looks = _LOOKS if len(self.deployed_us) <= 1 else _LATER_LOOKS
            step = 1 if self.every_window else next(step for step, upto in looks if now - changed < upto)
            now = min(self.horizon - 1, now + step)
            self._deliver(now)
        return self._end(None, now)

    def _us(self, window: int) -> int:
        return START_US + (window + 1) * _WINDOW_US

    def _standings(self, now: int) -> Standings:
        return Standings(
            self.ledger.judge(self._us(now)),
            tuple(self.deployed_us),
            self._us(self.history),
            self.limits.patience_windows * WINDOW_S,
            shadow_since_us=self._us(self.shadow_since) if self.shadow_since else 0,
        )

    def _deliver(self, now: int) -> None:
        """What has arrived up to now goes into the ledger."""
        upto = int(np.searchsorted(self.sent, now, side="right"))
        while self.delivered < upto:
            end = min(upto, self.delivered + 60 * SIZE)
            gateway, window = self.gateway[self.delivered : end], self.window[self.delivered : end]
            self.ledger.add(self.reports.make(gateway, window), self._us(now))
            np.maximum.at(self.heard, gateway, window)
            if (window >= self.reports.deployed.since[gateway]).any():
                self.first_heard = min(self.first_heard, now)
            self.delivered = end

    def _reached(self, names: tuple[str, ...], now: int) -> list[tuple[int, int]]:
        """When each gateway gets what is deployed to it now: soon, or when it is back."""
        found = []
        for name in names:
            gateway = self.number[name]
            asked = now + int(self.rng.integers(1, _DEPLOY_WINDOWS + 1))
            sent = self.fleet.sent[gateway, asked:]
            there = np.flatnonzero(sent < NEVER)
            found.append((gateway, int(sent[there[0]]) if len(there) else NEVER))
        return found

    def _look_on(self, now: int) -> None:
        for gateway, window in self._reached(self.plan.rings[0].names, now):
            self.reports.deployed.beside[gateway] = window + 1

    def _advance(self, action: Advance, now: int) -> None:
        wave = self.plan.waves[action.wave]
        silent = now - self.limits.silence_windows
        members = [self.number[name] for name in wave.names]
        newest = self.reports.at_us(np.arange(SIZE), self.heard).tolist()
        marks = {name: at for name, at, heard in zip(self.reports.names, newest, self.heard, strict=True) if heard >= 0}
        absent = [self.reports.names[g] for g in members if self.heard[g] < silent]
        self.ledger.touch(wave.names, marks, deployed_us=self._us(now), absent=absent)
        self.deployed_us.append(self._us(now))
        for gateway, window in self._reached(wave.names, now):
            if window < self.horizon - 1:
                self.reports.deploy(gateway, window)

    def _end(self, action: Revert | Done | None, now: int) -> dict[str, Any]:
        end = {Revert: "stopped", Done: "done"}.get(type(action), "unfinished")
        touched = len(self.deployed_us)
        return {
            "end": end,
            "ring": self.plan.ring_of(touched - 1) if touched else -1,
            "touched": touched,
            "minutes": now - self.history,
            "noticed": now - self.first_heard if self.first_heard < NEVER else -1,
            "because": action.because if action else "",
        }
