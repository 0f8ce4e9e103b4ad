"""A scenario: how many gateways of which kind, for how long, and what happens to them; read from TOML."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.configuration import parse
from models.errors import ConfigError
from simulator.light.happenings import KINDS, ONLY, Deploy, Fault, Kind, Pace, RollOut, seconds

SHIPPED = Path(__file__).parents[1] / "scenarios"
MAX_GATEWAYS: dict[Kind, int] = {"light": 5_000, "process": 64}
_MAX_FPS: dict[Kind, float] = {"light": 5.0, "process": 30.0}
_MAX_SLOW = 20  # of a process: it gets a twentieth of the time


@dataclass(frozen=True, slots=True)
class Gateways:
    """`count` gateways at `sites` sites, with cameras of `fps` frames a second.

    `kind` light: no process of its own, and at most the recorded minute's 5 fps. Process: a simulated core device with
    `nucleus` (both: by turns) that runs the real component, in real time. Each remembers at most `spool_mb` megabytes,
    and waits `ack_timeout_s` for an answer before it sends again.
    """

    count: int
    kind: Kind = "light"
    sites: int = 1
    fps: float = 5.0
    spool_mb: float = 256.0
    ack_timeout_s: float = 10.0
    nucleus: Literal["lite", "java", "both"] = "lite"

    def __post_init__(self) -> None:
        most, most_fps = MAX_GATEWAYS[self.kind], _MAX_FPS[self.kind]
        if not 1 <= self.count <= most:
            raise ValueError(f"count must be in 1..{most} for kind {self.kind}, got {self.count}")
        if not 1 <= self.sites <= self.count:
            raise ValueError(f"sites must be in 1..count ({self.count}), got {self.sites}")
        if not 0.1 <= self.fps <= most_fps:
            raise ValueError(f"fps must be in 0.1..{most_fps:g} for kind {self.kind}, got {self.fps:g}")
        least_mb = 0.01 if self.kind == "light" else 1
        if not least_mb <= self.spool_mb <= 4096:
            raise ValueError(f"spool_mb must be in {least_mb:g}..4096, got {self.spool_mb:g}")
        if not 1 <= self.ack_timeout_s <= 600:
            raise ValueError(f"ack_timeout_s must be in 1..600, got {self.ack_timeout_s:g}")
        if self.kind == "light" and self.nucleus != "lite":
            raise ValueError("nucleus is for gateways of kind process: a light one has none")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`duration` is simulated, and then what waits is drained for at most `drain`. Windows are of `window_s` seconds.
    `speed`: simulated seconds a second, 0 for as fast as possible. `variations` of the recorded minute are replayed, so
    many gateways at most record something different at a time. `commit_s` and `workers` are those of ingest. Gateways
    of processes know neither speed nor variations, and have one worker."""

    name: str
    about: str
    duration: str
    gateways: Gateways
    faults: tuple[Fault, ...] = ()
    paces: tuple[Pace, ...] = ()
    rollouts: tuple[RollOut, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    drain: str = "15m"
    window_s: float = 60.0
    seed: int = 1
    speed: float = 0.0
    variations: int = 64
    commit_s: float = 0.5
    workers: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", self.name):
            raise ValueError(f"name must be of a-z, 0-9 and -, got {self.name!r}")
        least_s = 60 if self.gateways.kind == "light" else 10
        if not least_s <= seconds(self.duration, what="duration") <= 32 * 86_400:
            raise ValueError(f"duration must be from {least_s}s to 32d, got {self.duration}")
        seconds(self.drain, what="drain")
        if not 5 <= self.window_s <= 3600:
            raise ValueError(f"window_s must be in 5..3600, got {self.window_s:g}")
        if not 0 <= self.speed <= 10_000:
            raise ValueError(f"speed must be in 0..10000 (0: as fast as possible), got {self.speed:g}")
        most = MAX_GATEWAYS["light"]
        if not 1 <= self.variations <= most:
            raise ValueError(f"variations must be in 1..{most}, got {self.variations}")
        if not 0.05 <= self.commit_s <= 60 or not 1 <= self.workers <= 8:
            raise ValueError(
                f"commit_s must be in 0.05..60 and workers in 1..8, got {self.commit_s:g} and {self.workers}"
            )
        if self.gateways.kind == "process":
            self._check_real_time()
        elif self.deploys:
            raise ValueError("[[deploys]] is for gateways of kind process: a light one has no component to deploy")
        for number, rollout in enumerate(self.rollouts, start=2):
            rollout.check_for(self.gateways.kind)
            if self.gateways.kind == "process" and rollout.release != number:
                raise ValueError(f"roll-outs to process gateways are of releases 2, 3 ...: got {rollout.release}")
        for at in [what.at for what in self.rollouts] + [what.at for what in self.deploys]:
            if seconds(at, what="at") > self.duration_s:
                raise ValueError(f"what begins at {at} is after the end ({self.duration})")
        for fault in self.faults:
            self._check(fault)

    def _check_real_time(self) -> None:
        if self.speed not in (0.0, 1.0) or self.paces:
            raise ValueError("gateways of kind process live in real time: leave out speed and [[paces]]")
        if self.variations != type(self).__dataclass_fields__["variations"].default or self.workers != 1:
            raise ValueError("variations and workers are for gateways of kind light; leave them out")

    def _check(self, fault: Fault) -> None:
        kind, last = self.gateways.kind, self.name_of(self.gateways.count)
        if fault.at_s > self.duration_s:
            raise ValueError(f"{fault.what} at {fault.at} is after the end ({self.duration})")
        for other in KINDS:
            foreign = [name for name in (fault.what, *fault.settings) if other != kind and name in ONLY[other]]
            if foreign:
                raise ValueError(f"{foreign[0]} is for gateways of kind {other}, and these are of kind {kind}")
        if kind == "process" and fault.slow > _MAX_SLOW:
            raise ValueError(f"slow must be in 1..{_MAX_SLOW} for gateways of kind process, got {fault.slow:g}")
        site = re.fullmatch(r"site-(\d+)", fault.where)
        gateway = re.fullmatch(r"([a-z]+)-(\d{4})", fault.where)
        if site and not 1 <= int(site[1]) <= self.gateways.sites:
            raise ValueError(f"there is no {fault.where}, only site-1 to site-{self.gateways.sites}")
        if gateway and not (gateway[1] == kind and 1 <= int(gateway[2]) <= self.gateways.count):
            raise ValueError(f"there is no {fault.where}, only {self.name_of(1)} to {last}")

    def name_of(self, number: int) -> str:
        """Of the gateway with that number, from 1 on."""
        return f"{self.gateways.kind}-{number:04d}"

    @property
    def duration_s(self) -> float:
        return seconds(self.duration, what="duration")

    @property
    def drain_s(self) -> float:
        return seconds(self.drain, what="drain")


def read_scenario(name: str) -> Scenario:
    """A TOML file, or one that ships with tidegate by its name; ConfigError when it makes no sense."""
    path = Path(name)
    if not path.suffix and not path.exists():
        path = SHIPPED / f"{name}.toml"
        if not path.exists():
            raise ConfigError(f"there is no scenario {name!r}; there are {', '.join(shipped())}, or name a TOML file")
    try:
        document = tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; expected a TOML file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    return parse(Scenario, {"name": path.stem, **document}, where=str(path))


def shipped() -> list[str]:
    """The scenarios that ship with tidegate."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))
