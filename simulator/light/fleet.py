"""A fleet of light gateways on one clock, and the faults that come over them."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from simulator.light.clock import Clock
from simulator.light.cloud import LightCloud
from simulator.light.cutting import SharedCuts
from simulator.light.gateway import COMMIT_S, Condition, LightGateway, Model
from simulator.light.happenings import OF_ALL, Fault
from simulator.light.ledger import Ledger
from simulator.light.link import Traffic, Weather
from simulator.light.scenario import Scenario
from simulator.light.tape import Variation, read_tape

_BOOT_S = 20.0  # until a gateway reports again after a power cut, besides what the fault lasts


@dataclass(frozen=True, slots=True, eq=False)
class Strike:
    """One time that a fault happens: from when to when, and to whom."""

    fault: Fault
    begin_s: float
    end_s: float
    gateways: tuple[str, ...]


class LightFleet:
    """The gateways of a scenario, and everything that they share. Lives on the running event loop."""

    def __init__(self, scenario: Scenario, cloud: LightCloud, *, seed: int) -> None:
        self.scenario, self.cloud, self.seed = scenario, cloud, seed
        self.clock = Clock(scenario.speed or math.inf)
        self.ledger = Ledger()
        self.traffic = Traffic()
        self.cuts = SharedCuts()
        self.control_is_down = False
        self._active: dict[str, list[Fault]] = {}  # by gateway
        many = scenario.gateways
        count = min(many.count, scenario.variations)
        # phases spread over the window, so that the fleet does not report in one breath
        variations = [Variation(read_tape(), number, fps=many.fps, seed=seed) for number in range(count)]
        self.gateways = {
            scenario.name_of(number + 1): LightGateway(
                scenario.name_of(number + 1),
                f"site-{number % many.sites + 1}",
                self.clock,
                self.ledger,
                self.traffic,
                self.cuts,
                variations[number % count],
                seed=seed,
                window_s=scenario.window_s,
                phase_s=(number % count) / count * scenario.window_s,
                ack_timeout_s=many.ack_timeout_s,
                spool_bytes=int(many.spool_mb * (1 << 20)),
            )
            for number in range(many.count)
        }
        self.strikes = strikes_of(scenario, tuple(self.gateways.values()), seed=seed)
        self._off_since: dict[str, float] = {}

    def start(self) -> None:
        """Everything on; faults and changes of pace on the agenda."""
        for gateway in self.gateways.values():
            gateway.power_on(self.cloud.broker.plain_port)
        for strike in self.strikes:
            self._plan(strike.begin_s, strike, self._begin)
            if not math.isinf(strike.end_s):
                self._plan(strike.end_s, strike, self._end)
        for pace in self.scenario.paces:
            self.clock.at(pace.at_s, partial(self._set_speed, pace.speed or math.inf), to_the_cloud=True)

    def close(self) -> None:
        for gateway in self.gateways.values():
            gateway.link.close()

    @property
    def waiting(self) -> bool:
        """Whether any gateway has anything that is not acknowledged."""
        return any(gateway.waiting for gateway in self.gateways.values())

    def end_windows(self) -> None:
        """The scenario is over: what is broken is mended, what was recorded by now is due, and nothing more is
        recorded."""
        for strike in self.strikes:
            if strike.begin_s <= self.clock.now < strike.end_s:
                self._plan(self.clock.now, strike, self._end)
        for gateway in self.gateways.values():
            gateway.time.at(self.clock.now, gateway.stop_recording)

    def _plan(self, at_s: float, strike: Strike, what: Callable[[Strike], None]) -> None:
        """Let a strike begin or end: for each gateway in its own time, and for all at once if it hits the cloud."""
        if strike.fault.what in OF_ALL:
            self.clock.at(at_s, lambda: what(strike), to_the_cloud=True)
            return
        for name in strike.gateways:
            gateway = self.gateways[name]
            gateway.time.at(at_s, partial(self._turn, gateway, strike.fault, begins=what == self._begin))

    def _begin(self, strike: Strike) -> None:
        if strike.fault.what == "broker_down":
            self.cloud.kill_broker()
            self._tell_links(broker=False)
        elif strike.fault.what == "ingest_down":
            self.cloud.kill_ingest()
            self._tell_links(cloud=False)
        else:
            self.control_is_down = True
            return
        self.clock.forget()

    def _end(self, strike: Strike) -> None:
        if strike.fault.what == "broker_down" and self.cloud.broker.pid is None:
            self.cloud.start_broker()
            self._tell_links(broker=True)
        elif strike.fault.what == "ingest_down" and not self.cloud.ingest_runs:
            self.cloud.start_ingest()
            self._tell_links(cloud=True)
        elif strike.fault.what == "control_down":
            self.control_is_down = False

    def _tell_links(self, *, broker: bool | None = None, cloud: bool | None = None) -> None:
        for gateway in self.gateways.values():
            if broker is not None:
                gateway.link.broker(up=broker)
            if cloud is not None:
                gateway.link.cloud_answers = cloud

    def _turn(self, gateway: LightGateway, fault: Fault, *, begins: bool) -> None:
        """Let a gateway be as all that is wrong with it now makes it."""
        faults = self._active.setdefault(gateway.name, [])
        if begins:
            faults.append(fault)
        elif fault in faults:
            faults.remove(fault)
        weather = weather_of(faults)
        if weather != gateway.link.weather:
            gateway.link.change(weather)
        if fault.what == "release":
            gateway.run_model(model_of(faults))
        condition = condition_of(faults)
        if condition != gateway.condition:
            gateway.change(condition)
        has_power = all(fault.what != "power_cut" for fault in faults)
        now = gateway.time.now
        if gateway.is_on and not has_power:
            rng = random.Random(f"{self.seed} {gateway.name} {now}")
            gateway.power_cut(rng.uniform(0, COMMIT_S))
            self._off_since[gateway.name] = now
        elif not gateway.is_on and has_power:
            gateway.time.at(now + _BOOT_S, lambda: self._boot(gateway))

    def _boot(self, gateway: LightGateway) -> None:
        cut = any(fault.what == "power_cut" for fault in self._active.get(gateway.name, ()))
        if not gateway.is_on and not cut:
            gateway.was_off(self._off_since.pop(gateway.name))
            gateway.power_on(self.cloud.broker.plain_port)

    def _set_speed(self, speed: float) -> None:
        self.clock.speed = speed


class Sited(Protocol):
    """A gateway of either kind, as a fault aims at it."""

    @property
    def name(self) -> str: ...

    @property
    def site(self) -> str: ...


def strikes_of(scenario: Scenario, gateways: Sequence[Sited], *, seed: int) -> list[Strike]:
    """When each fault happens and whom it hits; decided by the seed alone."""
    strikes = []
    for index, fault in enumerate(scenario.faults):
        rng = random.Random(f"{seed} fault {index}")
        targets = _targets(fault.where, gateways, rng)
        for _ in range(fault.times):
            begin_s = fault.at_s + (rng.uniform(0, fault.within_s) if fault.within_s else 0.0)
            hit = targets if fault.where != "one" else (rng.choice(gateways).name,)
            strikes.append(Strike(fault, begin_s, begin_s + fault.lasts_s, hit))
    happening = (strike for strike in strikes if strike.begin_s < scenario.duration_s)
    return sorted(happening, key=lambda strike: strike.begin_s)


def _targets(where: str, gateways: Sequence[Sited], rng: random.Random) -> tuple[str, ...]:
    if where in ("all", "one"):
        return tuple(gateway.name for gateway in gateways)
    if where.endswith("%"):
        count = max(1, round(len(gateways) * float(where[:-1]) / 100))
        return tuple(sorted(gateway.name for gateway in rng.sample(list(gateways), min(count, len(gateways)))))
    return tuple(gateway.name for gateway in gateways if where in (gateway.name, gateway.site))


def weather_of(faults: Sequence[Fault]) -> Weather:
    """The worst of all that acts on a link."""
    links = [fault for fault in faults if fault.what == "link"]
    return Weather(
        loss=max((fault.loss for fault in links), default=0.0),
        double=max((fault.double for fault in links), default=0.0),
        delay_s=max((fault.delay_s for fault in links), default=0.0),
        jitter_s=max((fault.jitter_s for fault in links), default=0.0),
        cut=any(fault.what == "partition" for fault in faults),
    )


def condition_of(faults: Sequence[Fault]) -> Condition:
    """What all that acts on a gateway makes of it; the latest fault of a kind counts."""
    condition = Condition()
    for fault in faults:
        if fault.what == "clock":
            condition = replace(condition, clock_s=fault.clock_s)
        elif fault.what == "disk_full":
            condition = replace(condition, disk_full=True)
        elif fault.what == "camera":
            condition = replace(condition, camera=fault.state)
        elif fault.what == "slow_cpu":
            condition = replace(condition, slow=fault.slow)
    return condition


def model_of(faults: Sequence[Fault]) -> Model:
    """What runs now: the release of the latest fault, else the first one."""
    releases = [fault for fault in faults if fault.what == "release"]
    if not releases:
        return Model()
    fault = releases[-1]
    return Model(fault.release, fault.p95_ms, fault.errors, fault.memory_bytes, fault.refused)
