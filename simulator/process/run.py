"""Running a scenario with gateways of processes: in real time, with the same report as any other."""

import heapq
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cloud.rollout.events import Event
from greengrass.recipe import GATEWAY
from models.errors import TidegateError
from simulator import processes
from simulator.control.faults import Fault as Refusal
from simulator.light.count import count_lake
from simulator.light.findings import Findings, Now, Recovery, Sample
from simulator.light.fleet import Strike, strikes_of
from simulator.light.happenings import Deploy, RollOut
from simulator.light.run import CALM
from simulator.light.scenario import Scenario
from simulator.process.finder import MODEL
from simulator.process.fleet import GROUP, ProcessFleet, places
from simulator.process.listening import Listeners
from simulator.process.watching import Key, Watching, count_not_recorded

_LOOK_S = 1.0  # between two looks at all spools
_TICK_S = 0.1
_SAMPLES = 400
_LAST_FRAMES_S = 3.0  # until what a camera showed last is in the spool
_CALM = (*CALM, "damaged_downloads", "broken_downloads", "kill")

Show = Callable[[Now], None]
Say = Callable[[str], None]


def run_processes(
    scenario: Scenario,
    out: Path,
    *,
    seed: int,
    embedded_broker: bool | None = None,
    show: Show | None = None,
    say: Say = lambda text: None,
) -> Findings:
    """Let it happen; lake and logs stay in `out`. `show` is called about once a second, `say` with each step before."""
    began = time.monotonic()
    with ExitStack() as opened:
        story = Story(scenario, out, seed=seed, embedded_broker=embedded_broker, opened=opened)
        say("deploying to the gateways")
        story.set_up()
        setup_s = time.monotonic() - began
        story.live(show)
        story.drain(show)
        say("shutting down, and counting")
        story.end()
        waiting, cpu_s = story.watching.waiting, story.cpu_s()
    # ingest is down: nobody writes the lake any more
    return story.findings(setup_s, waiting, cpu_s)


class Story:
    """A scenario on its way. Built up, lived and ended in this order; `opened` takes it down."""

    def __init__(
        self, scenario: Scenario, out: Path, *, seed: int, embedded_broker: bool | None, opened: ExitStack
    ) -> None:
        self.scenario, self.seed = scenario, seed
        self.zero_s = time.monotonic()
        self.strikes = strikes_of(scenario, places(scenario), seed=seed)
        self.fleet = opened.enter_context(
            ProcessFleet(
                scenario,
                out,
                seed=seed,
                clock=lambda: self.now,
                embedded_broker=embedded_broker,
                strikes=self.strikes,
            )
        )
        self.listeners = opened.enter_context(
            Listeners(self.fleet.cloud.broker, self.fleet.cloud.authority, self.fleet.gateways)
        )
        # each gateway's faults one after the other, whatever others' take; the cloud's, and what an operator does, too
        hands = {name: ThreadPoolExecutor(1, name) for name in (*self.fleet.gateways, "cloud", "operator")}
        for hand in hands.values():
            opened.callback(hand.shutdown, cancel_futures=True)
        opened.callback(self.fleet.operator.leave)
        self._hands = hands
        self._under_way: list[Future[Any]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._samples: list[Sample] = []
        self._ages: list[list[float]] = []
        self._recovering: dict[int, dict[str, float]] = {}
        self._refusals: dict[Strike, Refusal] = {}
        self._refused: dict[str, int] = {}
        self._spent = _Spent()
        self._looked_s = self._sampled_s = -math.inf
        self._drained = False
        self._duration_s = scenario.duration_s

    @property
    def now(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self.zero_s

    def set_up(self) -> None:
        """Everything on, with a result of each gateway in the lake, and what will happen on the agenda."""
        self.fleet.deploy()
        plans = self._plans()
        self.zero_s = time.monotonic()
        self.watching = Watching(self.fleet, self.listeners, zero_s=self.zero_s)
        for at_s, hand, act in plans:
            self._at(at_s, hand, act)
        for index, strike in enumerate(self.strikes):
            self._plan(index, strike)
        self.fleet.cloud.control_plane.faults.clear()

    def live(self, show: Show | None) -> None:
        """Until the scenario's end."""
        while self.now < self.scenario.duration_s:
            self._do_what_is_due()
            self._look_and_show(show)
            time.sleep(_TICK_S)

    def drain(self, show: Show | None) -> None:
        """What is broken is mended, nothing more is recorded, and what waits goes into the lake."""
        self._agenda.clear()
        self.fleet.operator.leave()
        for strike in self.strikes:
            if strike.begin_s <= self.now:
                self._strike(strike, begins=False)
        self._wait_for_hands()
        self.fleet.close_cameras()
        self._duration_s = self.now
        over_s = self.now + _LAST_FRAMES_S
        while not self._drained and self.now < over_s + self.scenario.drain_s:
            self._look_and_show(show)
            # health goes on, a window after the other
            self._drained = self.now > over_s and all(
                (since_s := self.watching.ledger.waiting_since_s(name)) is None or since_s > over_s
                for name in self.fleet.gateways
            )
            time.sleep(_TICK_S)
        self._sample()

    def end(self) -> None:
        """The gateways are shut down in order; what they still recorded is looked up."""
        self._refused = dict(self.fleet.cloud.control_plane.faults.struck)
        self._events = self._rollout_events()
        self._cpu_s = self._spent.so_far(self.fleet)
        self.fleet.fleet.close()
        self.watching.look()
        count_not_recorded(self.watching, self.fleet, self.strikes, until_s=self._duration_s)

    def cpu_s(self) -> Mapping[str, float]:
        """Processor time of each part."""
        return self._cpu_s

    def findings(self, setup_s: float, waiting: Mapping[Key, int], cpu_s: Mapping[str, float]) -> Findings:
        """After the end, with the count."""
        ledger = self.watching.ledger
        return Findings(
            scenario=self.scenario,
            seed=self.seed,
            broker=self.fleet.cloud.broker.kind,
            count=count_lake(ledger, self.fleet.cloud.lake, waiting=waiting),
            lanes=ledger.lanes,
            detections=ledger.detections,
            not_recorded=ledger.not_recorded,
            traffic=self.listeners.traffic,
            samples=self._samples,
            series=ledger.series(),
            age_times_s=[sample.at_s for sample in self._samples],
            ages_s=np.array(self._ages, np.float32).T,
            names=list(self.fleet.gateways),
            strikes=self.strikes,
            recoveries=[self._recovery(index) for index in self._recovering],
            simulated_s=max(self._duration_s, ledger.latest_s),
            real_s=max(self._duration_s, ledger.latest_s),
            held_s=0.0,
            behind_s=0.0,
            unanswered=0,
            encoded=0,
            encoded_again=0,
            drained=self._drained,
            cpu_s=cpu_s,
            rollouts=self._events,
            commands=tuple(self.fleet.operator.commands),
            refused_by_aws=self._refused,
            setup_s=setup_s,
        )

    # --- what happens

    def _plans(self) -> list[tuple[float, str, Callable[[], None]]]:
        """What an operator will do; built before the story begins."""
        plans: list[tuple[float, str, Callable[[], None]]] = []
        code = self.fleet.out / "components" / "1"
        for deploy in sorted(self.scenario.deploys, key=lambda deploy: deploy.at_s):
            code = code if deploy.again else self.fleet.build(code=True)
            plans.append((deploy.at_s, "operator", partial(self._deploy, deploy, code)))
        for rollout in sorted(self.scenario.rollouts, key=lambda rollout: rollout.at_s):
            release = self.fleet.release(rollout.flaw)
            component = self.fleet.build(release=release)
            plans.append((rollout.at_s, "operator", partial(self._roll_out, rollout, release, component)))
        return plans

    def _deploy(self, deploy: Deploy, code: Path) -> None:
        words = ["deploy", "--components", str(code), "--only", GATEWAY, "--group", GROUP]
        words += ["--wait", f"{deploy.wait_s:g}"]
        self.fleet.operator.run(*words, *(["--again"] if deploy.again else []))

    def _roll_out(self, rollout: RollOut, release: str, component: Path) -> None:
        operator = self.fleet.operator
        if operator.run("deploy", "--components", str(component)) == 0:
            operator.run("rollout", "start", release, "--fleet", GROUP, *self.fleet.rollout_words, patience_s=math.inf)

    def _plan(self, index: int, strike: Strike) -> None:
        self._agenda_at(strike.begin_s, partial(self._strike, strike, begins=True))
        if math.isinf(strike.end_s):
            return
        self._agenda_at(strike.end_s, partial(self._strike, strike, begins=False))
        if strike.fault.what not in _CALM and strike.end_s <= self.scenario.duration_s:
            self._recovering[index] = {}

    def _strike(self, strike: Strike, *, begins: bool) -> None:
        fault, cloud = strike.fault, self.fleet.cloud
        if fault.what == "broker_down":
            self._do("cloud", cloud.broker.kill if begins else self._start_broker)
        elif fault.what == "ingest_down":
            self._do("cloud", cloud.kill_ingest if begins else self._start_ingest)
        elif fault.what == "control_down":
            self._do("cloud", partial(self._refuse, strike, begins=begins))
        else:
            for name in strike.gateways:
                gateway = self.fleet.gateways[name]
                self._do(name, partial(gateway.begin if begins else gateway.end, fault))

    def _start_broker(self) -> None:
        if self.fleet.cloud.broker.pid is None:
            self.fleet.cloud.broker.start()

    def _start_ingest(self) -> None:
        if self.fleet.cloud.ingest_pid is None:
            self.fleet.cloud.start_ingest()

    def _refuse(self, strike: Strike, *, begins: bool) -> None:
        faults = self.fleet.cloud.control_plane.faults
        if begins:
            fault = strike.fault
            self._refusals[strike] = refusal = Refusal(fault.operation, fault.error, share=fault.share)
            faults.inject(refusal)
        elif strike in self._refusals:
            faults.withdraw(self._refusals.pop(strike))

    # --- time

    def _at(self, at_s: float, hand: str, act: Callable[[], None]) -> None:
        self._agenda_at(at_s, lambda: self._do(hand, act))

    def _agenda_at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at_s, next(self._order), act))

    def _do_what_is_due(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()

    def _do(self, hand: str, act: Callable[[], None]) -> None:
        self._under_way.append(self._hands[hand].submit(act))

    def _wait_for_hands(self) -> None:
        for future in self._under_way:
            future.result()

    # --- looking

    def _look_and_show(self, show: Show | None) -> None:
        if self.now - self._looked_s < _LOOK_S:
            return
        for future in self._under_way:
            if future.done():
                future.result()  # raises what went wrong
        self._looked_s = self.now
        self.watching.look()
        self._spent.look(self.fleet)
        self._look_for_recoveries()
        if self.now - self._sampled_s >= max(_LOOK_S, self.scenario.duration_s / _SAMPLES):
            self._sample()
        if show is not None:
            show(self._shown())

    def _look_for_recoveries(self) -> None:
        for index, took in self._recovering.items():
            strike = self.strikes[index]
            for name in strike.gateways:
                since_s = self.watching.ledger.waiting_since_s(name)
                if name not in took and self.now > strike.end_s and (since_s is None or since_s >= strike.end_s):
                    took[name] = self.now - strike.end_s

    def _recovery(self, index: int) -> Recovery:
        strike, took = self.strikes[index], self._recovering[index]
        whole = len(took) == len(strike.gateways)
        return Recovery(strike, len(strike.gateways), max(took.values(), default=0.0) if whole else None)

    def _shown(self) -> Now:
        ledger, traffic, now = self.watching.ledger, self.listeners.traffic, self.now
        nuclei = [gateway.nucleus for gateway in self.fleet.gateways.values()]
        return Now(
            scenario=self.scenario,
            seed=self.seed,
            at_s=now,
            real_s=now,
            connected=sum(nucleus.is_connected for nucleus in nuclei),
            on=sum(nucleus.is_on for nucleus in nuclei),
            recorded=ledger.recorded,
            waiting=ledger.recorded - ledger.acknowledged_records,
            detections=ledger.detections,
            messages=traffic.messages,
            bytes=traffic.bytes,
            resent=traffic.resent,
            cpu_s=self._spent.so_far(self.fleet),
            wrong=[strike.fault.title for strike in self.strikes if strike.begin_s <= now < strike.end_s],
        )

    def _sample(self) -> None:
        shown = self._shown()
        self._sampled_s = shown.at_s
        self._samples.append(
            Sample(
                shown.at_s,
                shown.real_s,
                shown.waiting,
                shown.on,
                shown.connected,
                shown.cpu_s,
                shown.messages,
                shown.bytes,
            )
        )
        since = (self.watching.ledger.waiting_since_s(name) for name in self.fleet.gateways)
        self._ages.append([0.0 if since_s is None else max(0.0, shown.at_s - since_s) for since_s in since])

    def _rollout_events(self) -> list[tuple[float, Event]]:
        if not self.scenario.rollouts:
            return []
        try:
            told = self.fleet.operator.prepare("rollout", "status", MODEL, "--json")
        except TidegateError:
            return []  # none was begun
        zero_us = int((time.time() - self.now) * 1e6)
        events = [
            ((event["at_us"] - zero_us) / 1e6, Event(event["at_us"], event["ring"], event["kind"], event["text"]))
            for event in told["events"]
        ]
        return [(at_s, event) for at_s, event in events if at_s >= 0 and event.kind != "wait"]


class _Spent:
    """Processor time of parts whose processes come and go."""

    def __init__(self) -> None:
        self._began_s = time.process_time()
        self._by_part: dict[str, dict[int, float]] = {"gateways": {}, "ingest": {}, "broker": {}}

    def look(self, fleet: ProcessFleet) -> None:
        pids: dict[str, Sequence[int | None]] = {
            "gateways": fleet.pids(),
            "ingest": [fleet.cloud.ingest_pid],
            "broker": [fleet.cloud.broker.pid],
        }
        for part, members in pids.items():
            for pid in members:
                if pid is not None:
                    spent = self._by_part[part]
                    spent[pid] = max(spent.get(pid, 0.0), processes.cpu_s(pid))

    def so_far(self, fleet: ProcessFleet) -> dict[str, float]:
        self.look(fleet)
        spent = {part: sum(by_pid.values()) for part, by_pid in self._by_part.items()}
        return {**spent, "cameras, devices, AWS": time.process_time() - self._began_s}
