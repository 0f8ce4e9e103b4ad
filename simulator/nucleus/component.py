"""A component's life on the device: install, start, restart after an error, BROKEN after too many, stop."""

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from models.errors import DeployError
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe, Step, Variables, interpolate
from simulator.nucleus.script import Script

log = logging.getLogger(__name__)

LOG_LIMIT_BYTES = 10_000_000


class State(StrEnum):
    """Greengrass' own names."""

    NEW = "NEW"
    INSTALLED = "INSTALLED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"


class Component:
    """One version of a component with one configuration, and its processes; a thread of its own minds them."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        variables: Variables,
        environment: Mapping[str, str],
        log_file: Path,
        personality: Personality,
    ) -> None:
        self.recipe = recipe
        self.token = secrets.token_hex(8)  # SVCUID: by this the IPC server knows who calls
        self.reason = ""  # of the last error
        self._variables = variables
        self._environment = {**environment, "SVCUID": self.token}
        self._log_file = log_file
        self._personality = personality
        self._changed = threading.Condition()  # its lock is reentrant
        self._state = State.NEW
        self._since = time.monotonic()
        self._script: Script | None = None
        self._stopping = False
        self._errors: list[float] = []
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int | None:
        """The first process of `run` while it runs."""
        script = self._script
        return script.pid if script is not None and script.running and self._state is State.RUNNING else None

    def install(self) -> bool:
        """Run the steps that come before the first start, as often as errors are allowed; False when one never
        succeeded."""
        for name in ("bootstrap", "install"):
            while name in self.recipe.steps:
                step = self.recipe.steps[name]
                script = self._launch(step, State.NEW)
                if script is not None and self._ends_well(script, step):
                    break
                if not self._may_try_again():
                    return False
        self._set(State.INSTALLED)
        return True

    def start(self) -> None:
        """Run the component in the background until `stop`."""
        self._thread = threading.Thread(target=self._live, name=f"component {self.name}", daemon=True)
        self._thread.start()

    def terminate(self) -> None:
        """SIGTERM, and no restart; `stop` waits for what comes of it."""
        with self._changed:
            if self._stopping:
                return
            script = self._begin_stop()
        if script is not None:
            script.terminate()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for what is still there after the time of grace; returns when nothing is left."""
        self.terminate()
        if self._thread is not None:
            self._thread.join(self._personality.stop_grace_s)
        self._end_stop()

    def power_cut(self) -> None:
        """SIGKILL now, and no restart."""
        self._begin_stop()
        self._end_stop()

    def kill(self) -> None:
        """SIGKILL to the process group: an error like any other, so the component is started again."""
        with self._changed:
            if self._script is not None:
                self._script.kill()
                self._changed.notify_all()

    def report(self, state: State) -> None:
        """What the component says about itself over IPC."""
        if state is State.ERRORED:
            self.kill()

    def wait_settled(self, timeout_s: float) -> State:
        """The state once it is FINISHED, BROKEN, or RUNNING for the settling time; whichever it is at the time-out."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                now = time.monotonic()
                until = deadline
                if self._state in (State.FINISHED, State.BROKEN) or self._stopping:
                    return self._state
                if self._state is State.RUNNING:
                    until = min(deadline, self._since + self._personality.settle_s)
                if now >= until:
                    return self._state
                self._changed.wait(until - now)

    def _live(self) -> None:
        name = next((name for name in ("run", "startup") if name in self.recipe.steps), None)
        if name is None:
            # measured: nucleus lite waits for a component without run or startup until the deployment times out
            log.warning("%s has neither run nor startup; it will never be RUNNING", self.name)
            return
        outlive = self._run if name == "run" else self._run_startup
        while not outlive(self.recipe.steps[name]):
            if not self._may_try_again():
                return
        self._set(State.FINISHED)

    def _run(self, step: Step) -> bool:
        """Whether the script ended well, after however long."""
        script = self._launch(step, State.RUNNING)
        return script is not None and self._ends_well(script, step)

    def _run_startup(self, step: Step) -> bool:
        """False when the script failed or what it left behind was killed; does not return while that is there."""
        script = self._launch(step, State.STARTING)
        if script is None:
            return False
        status = script.wait(step.timeout_s)
        if status != 0:
            self._note_error(script, status)
            return False
        self._set(State.RUNNING)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or script.killed)
        self._note_error(script, -9)
        return False

    def _ends_well(self, script: Script, step: Step) -> bool:
        status = script.wait(step.timeout_s)
        if status == 0:
            script.kill()  # as systemd does with what a service leaves behind
            return True
        self._note_error(script, status)
        return False

    def _note_error(self, script: Script, status: int | None) -> None:
        script.kill()
        script.wait()
        self.reason = "took too long" if status is None else f"ended with status {status}"
        self._errors.append(time.monotonic())

    def _launch(self, step: Step, state: State) -> Script | None:
        """The step's script, running; None when it cannot be run, now or at all."""
        try:
            text = interpolate(step.script, self._variables)
            own = {name: interpolate(value, self._variables) for name, value in step.environment.items()}
            with self._changed:
                if self._stopping:
                    return None
                _bound(self._log_file)
                self._script = Script(
                    text, folder=self._variables.work, environment={**self._environment, **own}, log=self._log_file
                )
                self._change(state)
                return self._script
        except (DeployError, OSError) as exc:
            # what cannot even be started will not be better the next time: BROKEN at once
            self._errors += [time.monotonic()] * self._personality.errors_to_broken
            self.reason = str(exc)
            return None

    def _may_try_again(self) -> bool:
        """After an error: wait a moment, then True; False when the component is being stopped, or BROKEN now."""
        with self._changed:
            if self._stopping:
                return False
            recent = time.monotonic() - self._personality.error_window_s
            self._errors = [at for at in self._errors if at > recent]
            broken = len(self._errors) >= self._personality.errors_to_broken
            self._change(State.BROKEN if broken else State.ERRORED)
            log.warning("%s %s: %s, %s", self.name, self.recipe.version, self.reason, self._state)
            if broken:
                return False
            return not self._changed.wait_for(lambda: self._stopping, self._personality.restart_delay_s)

    def _begin_stop(self) -> Script | None:
        with self._changed:
            self._stopping = True
            self._change(State.STOPPING)
            return self._script

    def _end_stop(self) -> None:
        with self._changed:
            if self._script is not None:
                self._script.kill()
        if self._thread is not None:
            self._thread.join()
        self._set(State.FINISHED)

    def _set(self, state: State) -> None:
        with self._changed:
            if not self._stopping or state is State.FINISHED:
                self._change(state)

    def _change(self, state: State) -> None:
        self._state = state
        self._since = time.monotonic()
        self._changed.notify_all()


def _bound(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > LOG_LIMIT_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
