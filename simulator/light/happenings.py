"""What a scenario lets happen, and when: faults, deployments, roll-outs, changes of pace; as its TOML file says it."""

import re
from dataclasses import dataclass
from typing import Literal

from simulator.light.link import Weather

Kind = Literal["light", "process"]
KINDS: tuple[Kind, ...] = ("light", "process")
What = Literal[
    "link",
    "partition",
    "broker_down",
    "ingest_down",
    "control_down",
    "power_cut",
    "kill",
    "disk_full",
    "clock",
    "camera",
    "slow_cpu",
    "release",
    "damaged_downloads",
    "broken_downloads",
]
# which settings go with which fault, besides what, at, lasts, where, times and within
_SETTINGS: dict[str, tuple[str, ...]] = {
    "link": ("loss", "double", "delay_s", "jitter_s"),
    "clock": ("clock_s",),
    "camera": ("state",),
    "slow_cpu": ("slow",),
    "release": ("release", "p95_ms", "errors", "memory_bytes", "refused"),
    "control_down": ("operation", "error", "share"),
    "damaged_downloads": ("downloads",),
    "broken_downloads": ("downloads",),
}
AT_ONCE = ("kill",)  # over as soon as they have happened
OF_ALL = ("broker_down", "ingest_down", "control_down")
# what only gateways of one kind have, by kind: faults, and settings of faults
ONLY: dict[Kind, tuple[str, ...]] = {
    "light": ("release", "double", "jitter_s"),
    "process": ("kill", "damaged_downloads", "broken_downloads", "operation", "error", "share"),
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WHERE = re.compile(r"all|one|site-\d+|(?:light|process)-\d{4}|\d+(?:\.\d+)?%")


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
    operation: str = "*"
    error: Literal["throttle", "fail", "deny", "lose"] = "throttle"
    share: float = 1.0
    downloads: int = 1

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        for name in ("lasts", "within"):
            if getattr(self, name):
                seconds(getattr(self, name), what=name)
        if not _WHERE.fullmatch(self.where):
            raise ValueError(f"where must be all, one, site-N, light-NNNN, process-NNNN or N%, got {self.where!r}")
        if self.what in OF_ALL and self.where != "all":
            raise ValueError(f"{self.what} is everybody's: leave `where` out, got {self.where!r}")
        if self.what in AT_ONCE and self.lasts:
            raise ValueError(f"{self.what} happens at once: leave `lasts` out, got {self.lasts!r}")
        if self.what in OF_ALL and not self.lasts:
            raise ValueError(f"{self.what} needs `lasts`, or nothing would ever arrive again")
        if (self.times > 1) != bool(self.within) or not 1 <= self.times <= 10_000:
            raise ValueError(f"times (1..10000, got {self.times}) and within go together")
        allowed = _SETTINGS.get(self.what, ())
        for name in self.settings:
            if name not in allowed:
                raise ValueError(
                    f"{name} does not go with what = {self.what!r}; it takes {', '.join(allowed) or 'no settings'}"
                )
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
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share:g}")
        if not 1 <= self.downloads <= 100:
            raise ValueError(f"downloads must be in 1..100, got {self.downloads}")
        Weather(self.loss, self.double, self.delay_s, self.jitter_s)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings that are not what they are by themselves."""
        fields = type(self).__dataclass_fields__
        names = dict.fromkeys(name for names in _SETTINGS.values() for name in names)
        return tuple(name for name in names if getattr(self, name) != fields[name].default)

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")

    @property
    def lasts_s(self) -> float:
        """Infinity: for ever."""
        if self.what in AT_ONCE:
            return 0.0
        return seconds(self.lasts, what="lasts") if self.lasts else float("inf")

    @property
    def within_s(self) -> float:
        return seconds(self.within, what="within") if self.within else 0.0

    @property
    def title(self) -> str:
        """In a few words, for a plot."""
        what = " ".join(filter(None, (self.what.replace("_", " "), self.state)))
        often = f" x{self.times}" if self.times > 1 else ""
        return f"{what}{often}" + ("" if self.where == "all" else f" ({self.where})")


@dataclass(frozen=True, slots=True)
class RollOut:
    """At `at` the roll-out of a release begins, ring by ring as `rings` says (tidegate rollout start --rings); the
    fleet runs release 1 before. What a release does differently: on light gateways as in a fault `release`, on
    gateways of processes by its `flaw`."""

    at: str
    release: int
    rings: str = "1,4,rest"
    p95_ms: float = 45.0
    errors: float = 0.0
    memory_bytes: int = 180_000_000
    refused: str = ""
    flaw: Literal["", "blind", "slow"] = ""

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        if self.release < 2:
            raise ValueError(f"release must be at least 2, got {self.release}")
        if not 0 <= self.errors <= 1:
            raise ValueError(f"errors must be in 0..1, got {self.errors:g}")
        if not 0 < self.p95_ms <= 60_000:
            raise ValueError(f"p95_ms must be above 0 and at most 60000, got {self.p95_ms:g}")

    def check_for(self, kind: Kind) -> None:
        """ValueError for what gateways of that kind can't do."""
        fields = type(self).__dataclass_fields__
        others = ("flaw",) if kind == "light" else ("p95_ms", "errors", "memory_bytes", "refused")
        for name in others:
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"a roll-out's {name} is not for gateways of kind {kind}; leave it out")

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")


@dataclass(frozen=True, slots=True)
class Deploy:
    """At `at` an operator runs `tidegate deploy` with a new version of the gateway's code for the whole fleet, and
    waits for the devices at most `wait`. With `again` it is the version before once more, for devices that failed."""

    at: str
    again: bool = False
    wait: str = "2m"

    def __post_init__(self) -> None:
        seconds(self.at, what="at")
        seconds(self.wait, what="wait")

    @property
    def at_s(self) -> float:
        return seconds(self.at, what="at")

    @property
    def wait_s(self) -> float:
        return seconds(self.wait, what="wait")


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


def seconds(text: str, *, what: str) -> float:
    """`90s`, `10m`, `1.5h` or `2d` in seconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{what} must be like 90s, 10m, 1.5h or 2d, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]
