"""A scenario: how many gateways, for how long, and what happens to them; read from TOML."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.configuration import parse
from models.errors import ConfigError
from simulator.light.link import Weather

SHIPPED = Path(__file__).parents[1] / "scenarios"
MAX_GATEWAYS = 5_000
What = Literal[
    "link",
    "partition",
    "broker_down",
    "ingest_down",
    "control_down",
    "power_cut",
    "disk_full",
    "clock",
    "camera",
    "slow_cpu",
    "release",
]
# which settings go with which fault, besides what, at, lasts, where, times and within
_SETTINGS: dict[str, tuple[str, ...]] = {
    "link": ("loss", "double", "delay_s", "jitter_s"),
    "clock": ("clock_s",),
    "camera": ("state",),
    "slow_cpu": ("slow",),
    "release": ("release", "p95_ms", "errors", "memory_bytes", "refused"),
}
OF_ALL = ("broker_down", "ingest_down", "control_down")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WHERE = re.compile(r"all|one|site-\d+|light-\d{4}|\d+(?:\.\d+)?%")


@dataclass(frozen=True, slots=True)
class Gateways:
    """`count` gateways at `sites` sites, with cameras of `fps` frames a second (at most the recorded minute's 5).

    `kind` light: no process of its own. Each remembers at most `spool_mb` megabytes, and waits `ack_timeout_s` for an
    answer before it sends again.
    """

    count: int
    kind: Literal["light"] = "light"
    sites: int = 1
    fps: float = 5.0
    spool_mb: float = 256.0
    ack_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_GATEWAYS:
            raise ValueError(f"count must be in 1..{MAX_GATEWAYS}, got {self.count}")
        if not 1 <= self.sites <= self.count:
            raise ValueError(f"sites must be in 1..count ({self.count}), got {self.sites}")
        if not 0.1 <= self.fps <= 5:
            raise ValueError(f"fps must be in 0.1..5, got {self.fps:g}")
        if not 0.01 <= self.spool_mb <= 4096:
            raise ValueError(f"spool_mb must be in 0.01..4096, got {self.spool_mb:g}")
        if not 1 <= self.ack_timeout_s <= 600:
            raise ValueError(f"ack_timeout_s must be in 1..600, got {self.ack_timeout_s:g}")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens at `at` and `lasts` (for ever if not said), `where`: `all`, `site-2`, `light-0007`, `10%`
    (the same ones for the whole fault, drawn by the seed) or `one` (another one each time). With `times`, it happens so
    often, at random moments between `at` and `at` + `within`."""

    what: What
    at: str
    lasts: str = ""
    where: str = "all"
    times: int = 1
    within: str = ""
    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    clock_s: float = 0.0
    state: Literal["", "down", "stalled", "frozen", "dark"] = ""
    slow: float = 1.0
    release: int = 0
    p95_ms: float = 45.0
    errors: float = 0.0
    memory_bytes: int = 180_000_000
    refused: str = ""

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        for name in ("lasts", "within"):
            if getattr(self, name):
                seconds(getattr(self, name), what=name)
        if not _WHERE.fullmatch(self.where):
            raise ValueError(f"where must be all, one, site-N, light-NNNN or N%, got {self.where!r}")
        if self.what in OF_ALL and self.where != "all":
            raise ValueError(f"{self.what} is everybody's: leave `where` out, got {self.where!r}")
        if self.what in OF_ALL and not self.lasts:
            raise ValueError(f"{self.what} needs `lasts`, or nothing would ever arrive again")
        if (self.times > 1) != bool(self.within) or not 1 <= self.times <= 10_000:
            raise ValueError(f"times (1..10000, got {self.times}) and within go together")
        allowed = _SETTINGS.get(self.what, ())
        for names in _SETTINGS.values():
            for name in names:
                if name not in allowed and getattr(self, name) != type(self).__dataclass_fields__[name].default:
                    raise ValueError(f"{name} does not go with what = {self.what!r}; it takes {', '.join(allowed)}")
        if self.what == "camera" and not self.state:
            raise ValueError("a camera fault needs state: down, stalled, frozen or dark")
        if self.what == "release" and self.release < 1:
            raise ValueError(f"release must be at least 1, got {self.release}")
        if not 1 <= self.slow <= 100:
            raise ValueError(f"slow must be in 1..100, got {self.slow:g}")
        if abs(self.clock_s) > 10 * 365 * 86_400:
            raise ValueError(f"clock_s must be within ten years, got {self.clock_s:g}")
        if not 0 <= self.errors <= 1:
            raise ValueError(f"errors must be in 0..1, got {self.errors:g}")
        Weather(self.loss, self.double, self.delay_s, self.jitter_s)

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")

    @property
    def lasts_s(self) -> float:
        """Infinity: for ever."""
        return seconds(self.lasts, what="lasts") if self.lasts else float("inf")

    @property
    def within_s(self) -> float:
        return seconds(self.within, what="within") if self.within else 0.0

    @property
    def title(self) -> str:
        """In a few words, for a plot."""
        often = f" x{self.times}" if self.times > 1 else ""
        return f"{self.what.replace('_', ' ')}{often}" + ("" if self.where == "all" else f" ({self.where})")


@dataclass(frozen=True, slots=True)
class RollOut:
    """At `at` the roll-out of a release begins, ring by ring as `rings` says (tidegate rollout start --rings); the
    other settings are those of a fault `release`. The fleet runs release 1 before."""

    at: str
    release: int
    rings: str = "1,4,rest"
    p95_ms: float = 45.0
    errors: float = 0.0
    memory_bytes: int = 180_000_000
    refused: str = ""

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        if self.release < 2:
            raise ValueError(f"release must be at least 2, got {self.release}")
        if not 0 <= self.errors <= 1:
            raise ValueError(f"errors must be in 0..1, got {self.errors:g}")
        if not 0 < self.p95_ms <= 60_000:
            raise ValueError(f"p95_ms must be above 0 and at most 60000, got {self.p95_ms:g}")

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")


@dataclass(frozen=True, slots=True)
class Pace:
    """From `at` on, `speed` simulated seconds pass in a second; 0 is as fast as possible."""

    at: str
    speed: float

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        if not 0 <= self.speed <= 10_000:
            raise ValueError(f"speed must be in 0..10000 (0: as fast as possible), got {self.speed:g}")

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")


@dataclass(frozen=True, slots=True)
class Scenario:
    """`duration` is simulated, and then what waits is drained for at most `drain`. Windows are of `window_s` seconds.
    `speed`: simulated seconds a second, 0 for as fast as possible. `variations` of the recorded minute are replayed, so
    many gateways at most record something different at a time. `commit_s` and `workers` are those of ingest."""

    name: str
    about: str
    duration: str
    gateways: Gateways
    faults: tuple[Fault, ...] = ()
    paces: tuple[Pace, ...] = ()
    rollouts: tuple[RollOut, ...] = ()
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
        if not 60 <= seconds(self.duration, what="duration") <= 32 * 86_400:
            raise ValueError(f"duration must be from 1m to 32d, got {self.duration}")
        seconds(self.drain, what="drain")
        if not 5 <= self.window_s <= 3600:
            raise ValueError(f"window_s must be in 5..3600, got {self.window_s:g}")
        if not 0 <= self.speed <= 10_000:
            raise ValueError(f"speed must be in 0..10000 (0: as fast as possible), got {self.speed:g}")
        if not 1 <= self.variations <= MAX_GATEWAYS:
            raise ValueError(f"variations must be in 1..{MAX_GATEWAYS}, got {self.variations}")
        if not 0.05 <= self.commit_s <= 60 or not 1 <= self.workers <= 8:
            raise ValueError(
                f"commit_s must be in 0.05..60 and workers in 1..8, got {self.commit_s:g} and {self.workers}"
            )
        for fault in self.faults:
            if fault.at_s > self.duration_s:
                raise ValueError(f"{fault.what} at {fault.at} is after the end ({self.duration})")
            site = re.fullmatch(r"site-(\d+)", fault.where)
            gateway = re.fullmatch(r"light-(\d+)", fault.where)
            if site and not 1 <= int(site[1]) <= self.gateways.sites:
                raise ValueError(f"there is no {fault.where}, only site-1 to site-{self.gateways.sites}")
            if gateway and not 1 <= int(gateway[1]) <= self.gateways.count:
                raise ValueError(f"there is no {fault.where}, only light-0001 to {name_of(self.gateways.count)}")

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


def seconds(text: str, *, what: str) -> float:
    """`90s`, `10m`, `1.5h` or `2d` in seconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} must be like 90s, 10m, 1.5h or 2d, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def name_of(number: int) -> str:
    """Of the gateway with that number, from 1 on."""
    return f"light-{number:04d}"
