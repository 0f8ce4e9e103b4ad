"""A simulated Greengrass core device: takes deployments, runs the real component processes, serves them real IPC."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from models.errors import ConfigError, DeployError
from models.mqtt import Broker
from simulator.bad_link import BadLink
from simulator.nucleus.cloud import Faults
from simulator.nucleus.component import Component, State
from simulator.nucleus.faults import Clock, SlowProcessor, fill_disk, free_disk
from simulator.nucleus.personality import LITE, Personality
from simulator.nucleus.powered import Powered
from simulator.nucleus.users import find_user


class Nucleus:
    """One device. Everything it must remember is under `root`, so it can lose power and be started again.

    `<root>/packages` holds artifacts, `<root>/work/<component>` is a component's working folder, kept across versions,
    `<root>/logs/<component>.log` its output, `<root>/config/state.json` the device's memory.

    Its faults are methods; each holds until its opposite is called, through restarts too.
    """

    def __init__(
        self,
        thing: str,
        root: Path,
        *,
        environment: Mapping[str, str],
        broker: Broker,
        personality: Personality = LITE,
        poll_s: float = 1.0,
        run_as: str = "",
        faulty_link: bool = False,
    ) -> None:
        """`environment`: the AWS_* variables that say where the cloud is; components do not get to see them. `run_as`:
        the user (`name:group`) of its components, if this process is root; empty is this very user. `faulty_link`: the
        way to the broker, which must be on this machine, leads through `link`, so that the network can go."""
        if run_as:
            find_user(run_as)
        self.thing = thing
        self.root = root.resolve()
        self.personality = personality
        self.secrets: dict[str, str] = {}  # what a Java nucleus' secret manager holds, by name
        self.link: BadLink | None = None  # while it is started, and has a faulty_link
        self._faulty_link = faulty_link
        self._environment = dict(environment)
        self._broker = broker
        self._poll_s = poll_s
        self._run_as = run_as
        self._cloud_faults = Faults()
        self._clock = Clock(self.root / "config" / "clock")
        self._slow: SlowProcessor | None = None
        self._powered: Powered | None = None

    def start(self) -> None:
        """Run what was installed before, without waiting for the network, and take deployments from now on."""
        if self._powered is None:
            broker = self._broker
            if self._faulty_link:
                self.link = self.link or BadLink(broker.port)
                broker = replace(broker, port=self.link.port)
                if self._cloud_faults.gone:
                    self.link.cut()
            self._powered = Powered(
                self.thing,
                self.root,
                cloud=self._environment,
                broker=broker,
                personality=self.personality,
                poll_s=self._poll_s,
                run_as=self._run_as,
                adjust=self._clock.adjust,
                cloud_faults=self._cloud_faults,
                secrets=self.secrets,
            )

    def close(self) -> None:
        """Shut down in order: components get SIGTERM and their time of grace."""
        self.slow_down(1.0)
        if self._powered is not None:
            self._powered.close()
            self._powered = None
        if self.link is not None:
            self.link.close()
            self.link = None

    # --- what it runs

    def pid(self, component: str) -> int | None:
        """The process of the component's `run`; None while there is none."""
        running = self._component(component)
        return running.pid if running is not None else None

    def state(self, component: str) -> State | None:
        """The component's state; None when it is not installed or the device is off."""
        running = self._component(component)
        return running.state if running is not None else None

    def version(self, component: str) -> str | None:
        """The version that runs; None when it is not installed or the device is off."""
        running = self._component(component)
        return running.recipe.version if running is not None else None

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._powered is not None

    @property
    def is_connected(self) -> bool:
        """Whether it is on and has its connection to the broker."""
        powered = self._powered
        return powered is not None and powered.is_connected

    # --- faults

    def kill(self, component: str) -> None:
        """SIGKILL to the component's process group: an error, after which it is started again."""
        running = self._component(component)
        if running is None:
            raise DeployError(f"{self.thing} runs no component {component}")
        running.kill()

    def power_cut(self) -> None:
        """Everything is dead at once, by SIGKILL. `start` is the power coming back."""
        if self._powered is not None:
            self._powered.cut()
            self._powered = None

    def cut_network(self) -> None:
        """Neither the broker nor the cloud is there; what is under way breaks off. Components that have a connection of
        their own keep it. ConfigError without `faulty_link`."""
        if not self._faulty_link:
            raise ConfigError(f"{self.thing} has no faulty_link: it was made with a network that stays")
        self._cloud_faults.gone = True
        if self.link is not None:
            self.link.cut()

    def mend_network(self) -> None:
        self._cloud_faults.gone = False
        if self.link is not None:
            self.link.mend()

    def damage_downloads(self, count: int) -> None:
        """One bit of each of the next `count` artifacts is wrong when it arrives; 0 lets them be."""
        self._cloud_faults.damaged = count

    def break_off_downloads(self, count: int) -> None:
        """The next `count` artifacts stop after their first bytes; the device tries again, from there on."""
        self._cloud_faults.broken_off = count

    def set_clock(self, shift_s: float) -> None:
        """The wall clock of components' Python programs is off by so much. Those that run already see it only if the
        clock was set before they were started."""
        self._clock.set(shift_s)

    def slow_down(self, share: float) -> None:
        """Components get this share of the time only, 0.05 to 1.0."""
        if not 0.05 <= share <= 1:
            raise ConfigError(f"a processor's share must be in 0.05..1, got {share:g}")
        if self._slow is not None:
            self._slow.close()
        self._slow = SlowProcessor(self._components, share) if share < 1 else None

    def fill_disk(self) -> None:
        """No room is left under `root`, which must be a small disk of its own (ConfigError)."""
        fill_disk(self.root)

    def free_disk(self) -> None:
        free_disk(self.root)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _component(self, name: str) -> Component | None:
        return self._powered.device.component(name) if self._powered is not None else None

    def _components(self) -> list[Component]:
        powered = self._powered
        return powered.device.components() if powered is not None else []
