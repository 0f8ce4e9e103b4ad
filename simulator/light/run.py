"""Running a scenario: the cloud, the fleet, time, and somebody who watches."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from models.errors import TidegateError
from simulator.light.cloud import LightCloud
from simulator.light.count import count_lake
from simulator.light.findings import Findings, Now, Recovery, Sample
from simulator.light.fleet import LightFleet, Strike
from simulator.light.gateway import LightGateway
from simulator.light.rollout import RollOuts
from simulator.light.scenario import Scenario

_SAMPLES = 400  # over the scenario
_SHOW_S = 0.5  # real
_CONNECT_S = 120.0
_LOOK_S = 1.0  # how exactly a recovery is timed
CALM = ("clock", "camera", "slow_cpu", "release", "control_down")  # after which nothing has to be caught up

Show = Callable[[Now], None]


def run_scenario(
    scenario: Scenario, out: Path, *, seed: int, embedded_broker: bool | None = None, show: Show | None = None
) -> Findings:
    """Let it happen; lake and logs stay in `out`. `show` is called now and then."""
    with LightCloud(
        out, commit_s=scenario.commit_s, workers=scenario.workers, embedded_broker=embedded_broker
    ) as cloud:
        watcher = asyncio.run(_live(scenario, cloud, seed, show))
        cpu_s = dict(cloud.cpu_s())
    # ingest is down: nobody writes the lake any more
    return watcher.findings(cloud, cpu_s)


async def _live(scenario: Scenario, cloud: LightCloud, seed: int, show: Show | None) -> "Watcher":
    fleet = LightFleet(scenario, cloud, seed=seed)
    watcher = Watcher(fleet, RollOuts(fleet, cloud.lake, cloud.folder / "rollouts"))
    fleet.start()
    watcher.start()
    showing = asyncio.ensure_future(_show(watcher, show)) if show is not None else None
    try:
        await _connected(fleet)
        await fleet.clock.run(scenario.duration_s)
        fleet.end_windows()
        await fleet.clock.run(scenario.duration_s + scenario.drain_s, stop=lambda: watcher.all_in)
        watcher.stop()
    finally:
        fleet.close()
        if showing is not None:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
    await asyncio.sleep(0)  # the connections see that they are closed
    return watcher


async def _connected(fleet: LightFleet) -> None:
    """Time begins when all are there: connecting a thousand of them is no part of the story."""
    deadline = time.monotonic() + _CONNECT_S
    while not all(gateway.link.is_up for gateway in fleet.gateways.values()):
        if time.monotonic() > deadline:
            raise TidegateError(f"not all gateways could connect to the broker within {_CONNECT_S:g} s")
        await asyncio.sleep(0.01)
    fleet.clock.restart()


async def _show(watcher: "Watcher", show: Show) -> None:
    while True:
        show(watcher.now())
        await asyncio.sleep(_SHOW_S)


class Watcher:
    """Looks at the fleet now and then, and times recoveries."""

    def __init__(self, fleet: LightFleet, rollouts: RollOuts) -> None:
        self.fleet, self._rollouts = fleet, rollouts
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._ended = math.nan
        self._samples: list[Sample] = []
        self._ages: list[list[float]] = []
        self._recovered: dict[int, dict[str, float]] = {}  # strike -> gateway -> seconds
        self._cpu_s = 0.0
        self._simulated_s = 0.0
        self._checked = -1.0
        self._all_in = False

    @property
    def real_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def all_in(self) -> bool:
        """Whether nothing waits any more; looked at now and then."""
        clock = self.fleet.clock
        if clock.owed == 0 and self._checked != clock.now:
            self._checked = clock.now
            self._all_in = not self.fleet.waiting
        return self._all_in

    def now(self) -> Now:
        """The fleet at this moment."""
        fleet, ledger, traffic = self.fleet, self.fleet.ledger, self.fleet.traffic
        gateways = fleet.gateways.values()
        at_s = fleet.clock.now
        return Now(
            scenario=fleet.scenario,
            seed=fleet.seed,
            at_s=at_s,
            real_s=self.real_s,
            connected=sum(gateway.link.is_up for gateway in gateways),
            on=sum(gateway.is_on for gateway in gateways),
            recorded=ledger.recorded,
            waiting=ledger.recorded - ledger.acknowledged_records,
            detections=ledger.detections,
            messages=traffic.messages,
            bytes=traffic.bytes,
            resent=traffic.resent,
            cpu_s=fleet.cloud.cpu_s(),
            wrong=[strike.fault.title for strike in fleet.strikes if strike.begin_s <= at_s < strike.end_s],
        )

    def start(self) -> None:
        self._sample()
        for index, strike in enumerate(self.fleet.strikes):
            if strike.fault.what not in CALM and strike.end_s <= self.fleet.scenario.duration_s:
                self._recovered[index] = {}
                for name in strike.gateways:
                    gateway = self.fleet.gateways[name]
                    gateway.time.at(strike.end_s, lambda g=gateway, i=index, s=strike: self._look(g, i, s))  # type: ignore[misc]

    def stop(self) -> None:
        self._ended = self.real_s
        self._cpu_s = time.process_time() - self._cpu_began
        self._simulated_s = max(self.fleet.scenario.duration_s, self.fleet.ledger.latest_s)
        self._take()

    def findings(self, cloud: LightCloud, cpu_s: dict[str, float]) -> Findings:
        """After the end, with the count."""
        fleet = self.fleet
        return Findings(
            scenario=fleet.scenario,
            seed=fleet.seed,
            broker=cloud.broker.kind,
            count=count_lake(fleet.ledger, cloud.lake),
            lanes=fleet.ledger.lanes,
            detections=fleet.ledger.detections,
            not_recorded=fleet.ledger.not_recorded,
            traffic=fleet.traffic,
            samples=self._samples,
            series=fleet.ledger.series(),
            age_times_s=[sample.at_s for sample in self._samples],
            ages_s=np.array(self._ages, np.float32).T,
            names=list(fleet.gateways),
            strikes=fleet.strikes,
            recoveries=[self._recovery(index, fleet.strikes[index]) for index in self._recovered],
            simulated_s=self._simulated_s,
            real_s=self._ended,
            held_s=fleet.clock.held_s,
            behind_s=fleet.clock.behind_s,
            unanswered=fleet.clock.given_up,
            encoded=fleet.cuts.made,
            encoded_again=fleet.cuts.reused,
            drained=not fleet.waiting,
            cpu_s={"fleet": self._cpu_s, **cpu_s},
            rollouts=self._rollouts.events,
        )

    def _recovery(self, index: int, strike: Strike) -> Recovery:
        took = self._recovered[index]
        whole = len(took) == len(strike.gateways)
        return Recovery(strike, len(strike.gateways), max(took.values(), default=0.0) if whole else None)

    def _look(self, gateway: LightGateway, index: int, strike: Strike) -> None:
        now = gateway.time.now
        since_s = gateway.spool.waiting_since_s()
        if since_s is None or since_s >= strike.end_s:
            self._recovered[index][gateway.name] = now - strike.end_s
        elif now < self.fleet.scenario.duration_s + self.fleet.scenario.drain_s:
            gateway.time.at(now + _LOOK_S, lambda: self._look(gateway, index, strike))

    def _sample(self) -> None:
        scenario = self.fleet.scenario
        self._take()
        every_s = max(5.0, scenario.duration_s / _SAMPLES)
        self.fleet.clock.at(self.fleet.clock.now + every_s, self._sample)

    def _take(self) -> None:
        fleet = self.fleet
        cpu = dict(fleet.cloud.cpu_s())
        gateways = fleet.gateways.values()
        self._samples.append(
            Sample(
                fleet.clock.now,
                self.real_s,
                fleet.ledger.recorded - fleet.ledger.acknowledged_records,
                sum(gateway.is_on for gateway in gateways),
                sum(gateway.link.is_up for gateway in gateways),
                {"fleet": time.process_time() - self._cpu_began, **cpu},
                fleet.traffic.messages,
                fleet.traffic.bytes,
            )
        )
        self._ages.append([_age_s(gateway) for gateway in gateways])


def _age_s(gateway: LightGateway) -> float:
    since_s = gateway.spool.waiting_since_s()
    return 0.0 if since_s is None else max(0.0, gateway.time.now - since_s)
