"""A fleet in memory, for roll-outs: gateways that take deployments, run models that behave as told, and report health.

Time is theirs alone (`clock`, `pause`), so that an hour of roll-out takes a moment. What they report is as noisy as the
real thing: their cameras look at the simulator's conveyors, where parts come in runs, inference times wander with the
machine's load, windows are cut at a swap.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cloud.rollout.fleet import GROUPS_OF_A_THING, Progress
from cloud.rollout.plan import Gateway
from models.errors import DeployError
from models.health import SCORE_BINS, Challenge, Health
from simulator.scenes import LABELS, Conveyor

START_US = 1_780_000_000_000_000  # some day in 2026; the fleet's clock begins here
_STEP_S = 1.0
_COMPARED = 3  # every how manieth frame a release that looks on is asked about
_SMALL = (32, 24)  # pixels: nobody looks at the pictures


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a release does on a gateway. `answers` maps what is there to what is said; scores lie around `score`."""

    p95_ms: float = 12.0
    memory_bytes: int = 150_000_000
    accuracy: float = 0.97
    score: float = 0.94
    answers: Mapping[str, str] = field(default_factory=dict)
    per_frame: int = 1
    errors_per_frame: float = 0.0
    refused: str = ""  # why every gateway refuses it
    deadly: bool = False  # the gateway says nothing while it runs


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """A row of the lake's health table."""

    gateway: str
    stream: str
    seq: int
    health: Health


@dataclass(slots=True)
class RolloutGateway:
    """One gateway. Knobs: `offline` (takes and says nothing), `stubborn` (does not take deployments any more),
    `clock_s` (its clock is so much ahead), `load` (its machine is so many times slower), `digest`
    (what it runs is no file of the release)."""

    name: str
    offline: bool = False
    stubborn: bool = False
    clock_s: float = 0.0
    load: float = 1.0
    digest: str = ""
    fps: float = 10.0
    camera_state: str = "ok"
    running: int = 0
    wanted: int = 0
    shadow: int | None = None  # the release that looks on
    shadow_wanted: int | None = None
    deployment: str = ""
    due_us: int = 0
    failed: str = ""
    frame: int = 0
    seq: int = 0
    scene: Conveyor = field(default_factory=lambda: Conveyor(0, *_SMALL))


class RolloutFleet:
    """A `Fleet` in memory. `behaviours` by release; `down` makes the control plane and the lake fail."""

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        group: str = "shop",
        model: str = "flange",
        behaviours: Mapping[int, Behaviour] | None = None,
        window_s: float = 5.0,
        deploy_s: float = 4.0,
        fps: float = 10.0,
        defect_rate: float = 0.1,
        belt_speed: float = 0.2,  # of the picture's height a frame
        seed: int = 0,
    ) -> None:
        self.model, self.window_s, self.deploy_s = model, window_s, deploy_s
        self.behaviours = dict(behaviours or {})
        self.gateways = {
            name: RolloutGateway(
                name, fps=fps, scene=Conveyor(seed * 1000 + index, *_SMALL, defect_rate=defect_rate, speed=belt_speed)
            )
            for index, name in enumerate(gateways)
        }
        self.groups: dict[str, tuple[str, ...]] = {group: tuple(gateways)}
        self.described: dict[str, Gateway] = {}  # what their attributes say
        self.sizes: dict[int, int] = {}  # what a release downloads
        self.pins: dict[str, tuple[int | None, str]] = {}
        self.shadows: dict[str, int] = {}  # the release that looks on, by group
        self.deployments: list[tuple[str, int | None]] = []  # every one that was made: group, release
        self.health: list[RolloutReport] = []
        self.down = False
        self._random = random.Random(seed)
        self._now_us = START_US

    # time

    def clock(self) -> int:
        return self._now_us

    def pause(self, seconds: float) -> None:
        """Let the gateways work for so long."""
        end_us = self._now_us + int(seconds * 1e6)
        while self._now_us < end_us:
            self._now_us += int(_STEP_S * 1e6)
            for index, gateway in enumerate(self.gateways.values()):
                self._live(gateway, phase_us=index * 1_000_000)

    def settle(self, release: int, windows: int = 12) -> None:
        """All gateways run `release`, each ring's group is given it, and some windows pass."""
        for gateway in self.gateways.values():
            gateway.running = gateway.wanted = release
        for group in self.groups:
            if "-ring-" in group:
                self.pins[group] = (release, f"settled-{group}")
        self.pause(windows * self.window_s)

    # the lake

    def reports(self, since_us: int) -> list[RolloutReport]:
        if self.down:
            raise DeployError("the simulated cloud is down")
        return [report for report in self.health if report.health.at_us >= since_us]

    # Fleet

    def things(self, group: str) -> tuple[str, ...] | None:
        things = self.groups.get(group)
        return None if things is None else tuple(sorted(things))

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        return tuple(self.described.get(name, Gateway(name)) for name in things)

    def count_groups(self, thing: str) -> int:
        return sum(thing in things for things in self.groups.values())

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        self._check_up()
        self._join(group, things)

    def move(self, thing: str, *, into: str | None, out_of: tuple[str, ...] = ()) -> None:
        self._check_up()
        if into is not None and into not in self.groups:
            raise DeployError(f"there is no thing group {into!r}")
        for group in {*out_of} - {into}:
            self.groups[group] = tuple(name for name in self.groups.get(group, ()) if name != thing)
        if into is not None:
            self._join(into, (thing,))

    def copy(self, group: str, to: str) -> None:
        self._check_up()
        if to not in self.groups:
            raise DeployError(f"there is no thing group {to!r}")
        release, _ = self.pins.get(group, (None, ""))
        same = self.pins.get(to, (None, ""))[0] == release and self.shadows.get(to) == self.shadows.get(group)
        if release is not None and not same:
            if group in self.shadows:
                self.shadows[to] = self.shadows[group]
            self._make(to, release)

    def registered(self, model: str, release: int) -> bool:
        return model == self.model and release in self.behaviours

    def download_bytes(self, model: str, release: int) -> int:
        return self.sizes.get(release, 0)

    def release_of(self, group: str, model: str) -> int | None:
        return self.pins.get(group, (None, ""))[0]

    def deploy(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        self._check_up()
        if group not in self.groups:
            raise DeployError(f"there is no thing group {group!r}")
        pinned, deployment = self.pins.get(group, (None, ""))
        if deployment and pinned == release and group not in self.shadows and deployment != instead_of:
            return deployment
        self.shadows.pop(group, None)
        return self._make(group, release)

    def shadow(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        self._check_up()
        if group not in self.groups:
            raise DeployError(f"there is no thing group {group!r}")
        if release is not None and not self.registered(model, release):
            raise DeployError(f"{model}@{release} is not registered")
        pinned, deployment = self.pins.get(group, (None, ""))
        if deployment and self.shadows.get(group) == release and deployment != instead_of:
            return deployment
        if release is None:
            self.shadows.pop(group, None)
        else:
            self.shadows[group] = release
        return self._make(group, pinned)

    def progress(self, deployment: str, things: tuple[str, ...]) -> Mapping[str, Progress]:
        self._check_up()
        found: dict[str, Progress] = {}
        for name in things:
            gateway = self.gateways[name]
            settled = deployment.startswith("settled") or (gateway.deployment == deployment and not gateway.due_us)
            found[name] = "succeeded" if settled else "pending"
        return found

    # inside

    def _check_up(self) -> None:
        if self.down:
            raise DeployError("the simulated cloud is down")

    def _join(self, group: str, things: tuple[str, ...]) -> None:
        newcomers = sorted(set(things).difference(self.groups.get(group, ())))
        for name in newcomers:
            if name not in self.gateways:
                raise DeployError(f"there is no thing {name!r}")
            if self.count_groups(name) >= GROUPS_OF_A_THING:
                raise DeployError(f"{name} is in {GROUPS_OF_A_THING} thing groups already")
        self.groups[group] = tuple(sorted({*self.groups.get(group, ()), *things}))
        release, deployment = self.pins.get(group, (None, ""))
        if release is not None:
            self._order(newcomers, release, self.shadows.get(group), deployment)

    def _make(self, group: str, release: int | None) -> str:
        deployment = f"deployment-{len(self.deployments)}"
        self.deployments.append((group, release))
        self.pins[group] = (release, deployment)
        self._order(self.groups[group], release or 0, self.shadows.get(group), deployment)
        return deployment

    def _order(self, things: Sequence[str], release: int, shadow: int | None, deployment: str) -> None:
        for name in things:
            gateway = self.gateways[name]
            if not gateway.stubborn:
                gateway.wanted, gateway.shadow_wanted, gateway.deployment = release, shadow, deployment
                gateway.due_us = self._now_us + int(self.deploy_s * self._random.uniform(0.7, 1.5) * 1e6)

    def _live(self, gateway: RolloutGateway, *, phase_us: int) -> None:
        if gateway.offline:
            return
        window_us = int(self.window_s * 1e6)
        since_us = (self._now_us + phase_us) % window_us  # of the window that is open
        if gateway.due_us and self._now_us >= gateway.due_us and not gateway.stubborn:
            gateway.due_us = 0
            gateway.shadow = gateway.shadow_wanted
            behaviour = self.behaviours.get(gateway.wanted)
            if behaviour is not None and behaviour.refused:
                gateway.failed = f"{self.model}@{gateway.wanted}: {behaviour.refused}"
            elif gateway.running != gateway.wanted:
                self._report(gateway, since_us / 1e6)  # the window is cut at a swap
                gateway.running = gateway.wanted
        if since_us < int(_STEP_S * 1e6):
            self._report(gateway, self.window_s)

    def _report(self, gateway: RolloutGateway, seconds: float) -> None:
        behaviour = self.behaviours.get(gateway.running)
        if behaviour is None or behaviour.deadly or seconds < 0.1:
            return
        frames = 0 if gateway.camera_state == "down" else round(seconds * gateway.fps)
        mix: Counter[str] = Counter()
        bins = [0] * SCORE_BINS
        errors = 0
        looks_on = self.behaviours.get(gateway.shadow or 0) if gateway.shadow != gateway.running else None
        compared = _Compared()
        for _ in range(frames):
            seen = gateway.scene.truth(gateway.frame).label
            gateway.frame += 1
            if self._random.random() < behaviour.errors_per_frame:
                errors += 1
                continue
            said, bin_ = self._answer(behaviour, seen)
            mix[said] += behaviour.per_frame
            bins[bin_] += behaviour.per_frame
            if looks_on is not None and gateway.frame % _COMPARED == 0:
                compared.add(said, bin_, behaviour, *self._answer(looks_on, seen), looks_on)
        hiccup = 2.5 if self._random.random() < 0.05 else 1.0
        busy_ms = behaviour.p95_ms * gateway.load
        inferred = min(frames, int(seconds * 1000 / busy_ms))
        gateway.seq += 1
        health = Health(
            at_us=self._now_us + int(gateway.clock_s * 1e6),
            window_s=seconds,
            model=self.model,
            release=gateway.running,
            digest=gateway.digest or f"{gateway.running:064x}",
            variant="fp32",
            frames_seen=frames,
            frames_inferred=inferred,
            frames_skipped=frames - inferred,
            p50_ms=busy_ms * 0.8 * self._random.lognormvariate(0, 0.05),
            p95_ms=busy_ms * hiccup * self._random.lognormvariate(0, 0.12),
            memory_bytes=int(behaviour.memory_bytes * self._random.uniform(0.97, 1.03)),
            errors=errors,
            score_histogram=tuple(bins),
            class_mix=dict(mix),
            detections=sum(bins),
            camera_state=gateway.camera_state,
            failed_release=gateway.failed,
            challenge=None
            if looks_on is None
            else Challenge(
                model=self.model,
                release=gateway.shadow or 0,
                digest=f"{gateway.shadow or 0:064x}",
                frames=compared.frames,
                agreed=compared.agreed,
                matched=compared.matched,
                ours=sum(compared.ours),
                theirs=sum(compared.theirs),
                mean_iou=1.0 if compared.matched else 0.0,
                our_scores=tuple(compared.ours),
                their_scores=tuple(compared.theirs),
                p50_ms=looks_on.p95_ms * 0.8 * gateway.load,
            ),
        )
        self.health.append(RolloutReport(gateway.name, "00000000000000aa", gateway.seq, health))

    def _answer(self, behaviour: Behaviour, seen: str) -> tuple[str, int]:
        """What it says, and the bin of its score."""
        said = seen if self._random.random() < behaviour.accuracy else self._random.choice(LABELS)
        score = min(0.999, max(0.0, self._random.gauss(behaviour.score, 0.05)))
        return behaviour.answers.get(said, said), int(score * SCORE_BINS)


@dataclass(slots=True)
class _Compared:
    """Two releases' answers to the same frames."""

    frames: int = 0
    agreed: int = 0
    matched: int = 0
    ours: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    theirs: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)

    def add(self, said: str, bin_: int, ours: Behaviour, other: str, other_bin: int, theirs: Behaviour) -> None:
        both = min(ours.per_frame, theirs.per_frame) if said == other else 0
        self.frames += 1
        self.matched += both
        self.agreed += both == ours.per_frame == theirs.per_frame
        self.ours[bin_] += ours.per_frame
        self.theirs[other_bin] += theirs.per_frame


def worse(behaviour: Behaviour, **changes: object) -> Behaviour:
    """The same release, made worse in the ways named."""
    return replace(behaviour, **changes)  # type: ignore[arg-type]
