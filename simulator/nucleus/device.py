"""What is installed on a device and runs there. It knows nothing of the cloud."""

import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator.nucleus.change import Change, differs_at_all, differs_in_life, plan_change
from simulator.nucleus.component import Component, State
from simulator.nucleus.configuration import Configuration, KeyPath, changes
from simulator.nucleus.deployment import start_order
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.making import Environment, Maker
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe

_STARTED = (State.RUNNING, State.FINISHED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a change of the device went; `status` in Greengrass' words, `cause` empty on success."""

    status: str
    cause: str = ""

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESSFUL"


class Device:
    """Components of one device, from their state on disk. Safe to use from several threads."""

    def __init__(
        self,
        thing: str,
        root: Path,
        *,
        environment: Environment,
        personality: Personality,
        run_as: str = "",
        adjust: Callable[[Environment], Environment] = dict,
        credentials: Callable[[str], Environment] = lambda token: {},
        configured: Callable[[str, list[KeyPath]], None] = lambda component, paths: None,
    ) -> None:
        """`environment`: what every component is given besides its own, on which `adjust` has the last word. `run_as`:
        the user (`name:group`) of components for which no deployment names one; empty is this very user.
        `credentials`: more of it, by token, for components that depend on the token exchange. `configured` is told
        which values of a component's configuration a deployment has changed."""
        self.root, self.personality = root, personality
        self._maker = Maker(
            thing, root, personality, environment=environment, run_as=run_as, adjust=adjust, credentials=credentials
        )
        self._configured = configured
        self._state_file = root / "config" / "state.json"
        self._lock = threading.RLock()
        self._state = DeviceState.load(self._state_file)
        self._candidate: DeviceState | None = None  # what a deployment is installing; on disk once it is installed
        self._running: dict[str, Component] = {}
        self._by_token: dict[str, Component] = {}  # what runs, and what is being installed beside it
        self._down = False

    @property
    def platform(self) -> Mapping[str, str]:
        """What a manifest's Platform is compared with."""
        return self._maker.platform

    @property
    def state(self) -> DeviceState:
        return self._state

    def component(self, name: str) -> Component | None:
        """The component as it runs; None when there is none of that name."""
        return self._running.get(name)

    def components(self) -> list[Component]:
        """All that run, or would if they were not BROKEN."""
        with self._lock:
            return list(self._running.values())

    def component_of(self, token: str) -> str | None:
        component = self._by_token.get(token)
        return component.name if component is not None else None

    def configuration(self, component: str) -> Configuration:
        return dict((self._candidate or self._state).components[component].configuration)

    def set_configuration(self, component: str, configuration: Configuration) -> None:
        with self._lock:
            if self._candidate is not None and component in self._candidate.components:
                self._candidate = self._candidate.with_configuration(component, configuration)
            if component in self._state.components:
                self._keep(self._state.with_configuration(component, configuration))

    def report(self, component: str, state: State) -> None:
        running = self._running.get(component)
        if running is not None:
            running.report(state)

    def recipe(self, item: Installed) -> Recipe:
        return self._maker.recipe(item)

    def start(self) -> None:
        """Start all that is installed, in the order of their dependencies. Needs no network."""
        components = {name: self._make_one(item, self._state) for name, item in self._state.components.items()}
        for name in start_order(component.recipe for component in components.values()):
            # documented: the Java nucleus runs install again each time that it starts
            self._start(components[name], install=not self.personality.installs_beside)

    def change_to(self, after: DeviceState, *, rollback: bool = True) -> Outcome:
        """Bring the device to this state, whose files must be there, and leave alone what need not change. OSError, and
        nothing is changed, where the disk takes nothing.

        Where the nucleus can and `rollback` asks for it, what went wrong is undone; nucleus lite undoes nothing.
        """
        if self.personality.installs_beside:
            return self._change_beside(after)
        before = self._state
        excused = {component.name for component in self.components() if component.state is State.BROKEN}
        outcome = self._change_in_turn(after)
        if outcome.succeeded or self._down or not (self.personality.rolls_back and rollback):
            return outcome
        try:
            undone = self._change_in_turn(before, excused=excused)
        except OSError as exc:
            undone = Outcome("", str(exc))
        status = "FAILED_ROLLBACK_COMPLETE" if undone.succeeded else "FAILED_UNABLE_TO_ROLLBACK"
        return Outcome(status, "; ".join(filter(None, (outcome.cause, undone.cause))))

    def stop(self) -> None:
        """Stop all components; nothing starts any more."""
        with self._lock:
            self._down = True
            components = list(self._by_token.values())
        self._stop(components)

    def power_cut(self) -> None:
        """Kill all components; nothing starts any more."""
        with self._lock:
            self._down = True
            components = list(self._by_token.values())
        for component in components:
            component.power_cut()
        self._forget(components)

    def _change_beside(self, after: DeviceState) -> Outcome:
        """Install what is new beside what runs, then stop and start."""
        before = self._state
        change = self._plan(before, after)
        fresh = self._make(change, after)
        with self._lock:
            self._candidate = after
        problem = next(
            (
                f"{name}: install {component.reason}"
                for name, component in fresh.items()
                if name in change.fresh and not component.install()
            ),
            "",
        )
        try:
            with self._lock:
                candidate, self._candidate = self._candidate, None
                if not problem:
                    self._keep(candidate)
        except OSError as exc:
            problem = str(exc)
        if problem:
            self._stop(list(fresh.values()))
            return Outcome("FAILED_NO_STATE_CHANGE", problem)
        self._tell_configured(before)
        self._stop([component for component in self.components() if component.name in change.leaving])
        for component in fresh.values():
            self._start(component)
        # all of them: after a power cut the fresh ones of an interrupted deployment are running already
        return self._wait_for(self.components())

    def _change_in_turn(self, after: DeviceState, *, excused: Collection[str] = ()) -> Outcome:
        """Stop what has to leave, and then install and start what comes. `excused` need not come up."""
        before = self._state
        change = self._plan(before, after)
        coming = self._make(change, after)
        try:
            with self._lock:
                self._keep(after)
        except OSError:
            self._forget(coming.values())
            raise
        self._tell_configured(before)
        self._stop([component for component in self.components() if component.name in change.leaving])
        for name, component in coming.items():
            self._start(component, install=True, bootstrap=name in change.fresh)
        return self._wait_for(component for component in self.components() if component.name not in excused)

    def _plan(self, before: DeviceState, after: DeviceState) -> Change:
        differs: Callable[[Installed, Installed], bool] = differs_at_all
        if not self.personality.restarts_for_configuration:
            differs = functools.partial(differs_in_life, steps=self._maker.steps)
        running = {component.name for component in self.components() if component.state is not State.BROKEN}
        down = before.components.keys() - running
        return plan_change(before, after, down=down, recipe=self.recipe, differs=differs)

    def _tell_configured(self, before: DeviceState) -> None:
        for name, item in self._state.components.items():
            if name in before.components:
                paths = list(changes(before.components[name].configuration, item.configuration))
                if paths:
                    self._configured(name, paths)

    def _make(self, change: Change, after: DeviceState) -> dict[str, Component]:
        """The components that are to start, in order."""
        made: dict[str, Component] = {}
        try:
            for name in change.starting:
                made[name] = self._make_one(after.components[name], after)
        except OSError:
            self._forget(made.values())
            raise
        return made

    def _make_one(self, item: Installed, among: DeviceState) -> Component:
        component = self._maker.make(item, among, failed=self._restart_dependents)
        with self._lock:
            self._by_token[component.token] = component
            if self._down:
                component.power_cut()
        return component

    def _start(self, component: Component, *, install: bool = False, bootstrap: bool = False) -> None:
        with self._lock:
            if self._down:
                return
            self._running[component.name] = component
            needs = [
                self._running[name]
                for name, dependency in component.recipe.dependencies.items()
                if dependency.hard and name in self._running
            ]
            component.start(needs=needs, install=install, bootstrap=bootstrap)

    def _restart_dependents(self, failed: Component) -> None:
        """Whoever depends HARD on a component that failed is started anew."""
        if self._running.get(failed.name) is not failed:
            return  # it is only being installed
        for component in self.components():
            dependency = component.recipe.dependencies.get(failed.name)
            if dependency is not None and dependency.hard:
                component.restart()

    def _stop(self, components: Sequence[Component]) -> None:
        for component in components:
            component.terminate()
        for component in components:
            component.stop()
        self._forget(components)

    def _forget(self, components: Iterable[Component]) -> None:
        with self._lock:
            for component in components:
                self._by_token.pop(component.token, None)
                if self._running.get(component.name) is component:
                    del self._running[component.name]

    def _wait_for(self, components: Iterable[Component]) -> Outcome:
        problems = []
        deadline = time.monotonic() + self.personality.deployment_timeout_s
        for component in components:
            state = component.wait_settled(max(0.0, deadline - time.monotonic()))
            if state not in _STARTED:
                reason = component.reason or "it has neither run nor startup, or they take too long"
                problems.append(f"{component.name} is {state}: {reason}")
        return Outcome("FAILED_ROLLBACK_NOT_REQUESTED", "; ".join(problems)) if problems else Outcome("SUCCESSFUL")

    def _keep(self, state: DeviceState) -> None:
        state.save(self._state_file)
        self._state = state
