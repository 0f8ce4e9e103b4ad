"""What is found out about a scenario while it runs and when it is over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cloud.rollout.events import Event
from edge.lanes import Lane
from simulator.light.count import Count
from simulator.light.fleet import Strike
from simulator.light.ledger import Tally
from simulator.light.link import Traffic
from simulator.light.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Sample:
    """The fleet at one moment: `at_s` simulated, `real_s` since the start. `waiting` records; gateways that are `on`
    and `connected`; processor time so far, by part; bytes sent so far."""

    at_s: float
    real_s: float
    waiting: int
    on: int
    connected: int
    cpu_s: Mapping[str, float]
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Now:
    """What there is to see while a scenario runs; `wrong`: the titles of the faults that act."""

    scenario: Scenario
    seed: int
    at_s: float
    real_s: float
    connected: int
    on: int
    recorded: int
    waiting: int
    detections: int
    messages: int
    bytes: int
    resent: int
    cpu_s: Mapping[str, float]
    wrong: Sequence[str]


@dataclass(frozen=True, slots=True)
class Command:
    """Something that an operator ran at `at_s`: its words, how long it took, its exit code (None: it was stopped, since
    the scenario was over), and the last that it said."""

    at_s: float
    words: str
    took_s: float
    code: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """After a strike: how many gateways it hit, and how long after its end the last of them had all in the lake that
    was recorded before that end; None when the scenario was over first."""

    strike: Strike
    gateways: int
    took_s: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """`ages_s` (gateways, m): at `age_times_s` (m,), how long the oldest record of each gateway had waited. `series` as
    in ledger.Ledger. `rollouts`: when (simulated seconds) and what they did. `drained`: nothing waited any more at the
    end. Of gateways of processes also: `commands` that were run, calls that the control plane refused because it was
    told to, by operation, and how long it took from an empty folder to the first result of every gateway."""

    scenario: Scenario
    seed: int
    broker: str
    count: Count
    lanes: Mapping[Lane, Tally]
    detections: int
    not_recorded: Mapping[str, int]
    traffic: Traffic
    samples: Sequence[Sample]
    series: npt.NDArray[np.float64]
    age_times_s: Sequence[float]
    ages_s: npt.NDArray[np.float32]
    names: Sequence[str]
    strikes: Sequence[Strike]
    recoveries: Sequence[Recovery]
    simulated_s: float
    real_s: float
    held_s: float
    behind_s: float
    unanswered: int
    encoded: int
    encoded_again: int
    drained: bool
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    commands: Sequence[Command] = ()
    refused_by_aws: Mapping[str, int] = field(default_factory=dict)
    setup_s: float = 0.0
    rollouts: Sequence[tuple[float, Event]] = ()

    @property
    def factor(self) -> float:
        """Simulated seconds a second, over all."""
        return self.simulated_s / max(self.real_s, 1e-9)

    @property
    def holds(self) -> bool:
        """Whether nothing that was recorded is lost, and nothing came twice."""
        return self.drained and self.count.is_exact
