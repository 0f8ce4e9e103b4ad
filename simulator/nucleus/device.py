"""What is installed on a device and runs there. It knows nothing of the cloud."""

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simulator.nucleus.artifacts import artifacts_folder, decompressed_folder
from simulator.nucleus.component import Component, State
from simulator.nucleus.configuration import Configuration
from simulator.nucleus.deployment import start_order, with_dependents
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe, Variables, read_recipe, this_platform

# of the nucleus' own environment; everything else a component gets is Greengrass' or its recipe's
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


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

    def __init__(self, thing: str, root: Path, *, environment: Mapping[str, str], personality: Personality) -> None:
        """`environment`: what every component is given besides its own."""
        self.root = root
        self.platform = this_platform(personality.runtime)
        self._thing = thing
        self._personality = personality
        self._environment = {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **environment}
        self._state_file = root / "config" / "state.json"
        self._lock = threading.RLock()
        self._state = DeviceState.load(self._state_file)
        self._candidate: DeviceState | None = None  # what a deployment is installing; on disk once it is installed
        self._running: dict[str, Component] = {}
        self._by_token: dict[str, Component] = {}  # what runs, and what is being installed beside it
        self._down = False

    @property
    def state(self) -> DeviceState:
        return self._state

    def component(self, name: str) -> Component | None:
        """The component as it runs; None when there is none of that name."""
        return self._running.get(name)

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
        return read_recipe(item.recipe, self.platform)

    def start(self) -> None:
        """Start all that is installed, in the order of their dependencies. Needs no network."""
        components = {name: self._make(item) for name, item in self._state.components.items()}
        for name in start_order(component.recipe for component in components.values()):
            self._start(components[name])

    def change_to(self, after: DeviceState) -> Outcome:
        """Install what is new beside what runs, then stop, start and forget what has changed, and only that.

        All files must be there. Nothing is undone when a component does not come up: neither does nucleus lite.
        """
        before = self._state
        changed = {name for name, item in after.components.items() if self._differs(before.components.get(name), item)}
        recipes = [self.recipe(item) for item in after.components.values()]
        restarted = with_dependents(changed, recipes)
        fresh = {name: self._make(after.components[name]) for name in start_order(recipes) if name in restarted}
        with self._lock:
            self._candidate = after
        problem = self._install(fresh, before)
        with self._lock:
            if not problem:
                self._keep(self._candidate)
            self._candidate = None
        if problem:
            self._stop(list(fresh.values()))
            return Outcome("FAILED_NO_STATE_CHANGE", problem)
        leaving = restarted | (before.components.keys() - after.components.keys())
        self._stop([component for name, component in list(self._running.items()) if name in leaving])
        for component in fresh.values():
            self._start(component)
        # all of them: after a power cut the fresh ones of an interrupted deployment are running already
        return self._wait_for(list(self._running.values()))

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

    def _install(self, fresh: Mapping[str, Component], before: DeviceState) -> str:
        """Run the install steps of what comes in a new version; what went wrong, empty when nothing did."""
        for name, component in fresh.items():
            installed = before.components.get(name)
            is_new = installed is None or installed.version != component.recipe.version
            if is_new and not component.install():
                return f"{name}: install {component.reason}"
        return ""

    def _differs(self, installed: Installed | None, wanted: Installed) -> bool:
        if installed != wanted:
            return True  # a configuration alone is reason enough: nucleus lite 2.6 restarts for it
        running = self._running.get(str(wanted.recipe["ComponentName"]))
        return running is None or running.state is State.BROKEN

    def _make(self, item: Installed) -> Component:
        recipe = self.recipe(item)
        work = self.root / "work" / recipe.name
        logs = self.root / "logs"
        for folder in (work, logs):
            folder.mkdir(parents=True, exist_ok=True)
        component = Component(
            recipe,
            variables=Variables(
                artifacts=artifacts_folder(self.root, recipe.name, recipe.version),
                decompressed=decompressed_folder(self.root, recipe.name, recipe.version),
                work=work,
                root=self.root,
                thing=self._thing,
                configuration=item.configuration,
            ),
            environment={**self._environment, "HOME": str(work)},
            log_file=logs / f"{recipe.name}.log",
            personality=self._personality,
        )
        with self._lock:
            self._by_token[component.token] = component
            if self._down:
                component.power_cut()
        return component

    def _start(self, component: Component) -> None:
        with self._lock:
            if self._down:
                return
            self._running[component.name] = component
            component.start()

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
        deadline = time.monotonic() + self._personality.deployment_timeout_s
        for component in components:
            state = component.wait_settled(max(0.0, deadline - time.monotonic()))
            if state not in (State.RUNNING, State.FINISHED):
                reason = component.reason or "it has neither run nor startup, or they take too long"
                problems.append(f"{component.name} is {state}: {reason}")
        return Outcome("FAILED_ROLLBACK_NOT_REQUESTED", "; ".join(problems)) if problems else Outcome("SUCCESSFUL")

    def _keep(self, state: DeviceState) -> None:
        state.save(self._state_file)
        self._state = state
