"""A component's life on the device: install, start, restart after an error, BROKEN after too many, stop."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from models.errors import DeployError
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Step
from simulator.nucleus.script import Script
from simulator.nucleus.steps import Steps

log = logging.getLogger(__name__)

_LOOK_S = 0.2  # how often somebody who waits for another component looks whether it should still wait


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


class _End(StrEnum):
    """How what a component runs came to its end."""

    WELL = "well"
    BADLY = "badly"
    ASKED = "asked"  # for by `restart`


class Component:
    """One version of a component with one configuration, and its processes; a thread of its own minds them."""

    def __init__(
        self,
        steps: Steps,
        *,
        token: str,
        personality: Personality,
        failed: "Callable[[Component], None]" = lambda component: None,
    ) -> None:
        """By `token` (SVCUID) the IPC server knows who calls. `failed` is called with the component after each error,
        before it is started again."""
        self.recipe = steps.recipe
        self.token = token
        self.reason = ""  # of the last error, or what is waited for
        self._steps = steps
        self._personality = personality
        self._failed = failed
        self._changed = threading.Condition()  # its lock is reentrant
        self._state = State.NEW
        self._since = time.monotonic()
        self._script: Script | None = None
        self._aside: Script | None = None  # recover or shutdown
        self._stopping = False
        self._again = False
        self._blocked = False
        self._errors: list[float] = []
        self._needs: Sequence[Component] = ()
        self._thread: threading.Thread | None = None
        self._shutdown: threading.Thread | None = None

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

    def install(self, *, bootstrap: bool = True) -> bool:
        """Run the steps that come before the first start, as often as errors are allowed; False when one never
        succeeded."""
        for name in ("bootstrap", "install") if bootstrap else ("install",):
            step = self._steps.find(name)
            while step is not None:
                script = self._launch(step, State.NEW)
                if script is not None and self._ends_well(script, step):
                    break
                if not self._may_try_again():
                    return False
        self._set(State.INSTALLED)
        return True

    def start(self, *, needs: Sequence["Component"] = (), install: bool = False, bootstrap: bool = False) -> None:
        """Run the component in the background until `stop`, once those that it needs have started; `install` first
        where that is not done yet."""
        self._needs = needs
        self._thread = threading.Thread(
            target=self._live, args=(install, bootstrap), name=f"component {self.name}", daemon=True
        )
        self._thread.start()

    def terminate(self) -> None:
        """SIGTERM (after the recipe's shutdown, where the nucleus knows that), and no restart; `stop` waits for what
        comes of it."""
        with self._changed:
            if self._stopping:
                return
            script = self._begin_stop()
            ending = self._steps.find("shutdown")
        if script is None:
            return
        script.resume()
        if ending is None:
            script.terminate()
            return
        self._shutdown = threading.Thread(target=self._shut_down, args=(ending, script), daemon=True)
        self._shutdown.start()

    def stop(self) -> None:
        """`terminate`, then SIGKILL for what is still there after the time of grace; returns when nothing is left."""
        self.terminate()
        if self._shutdown is not None:
            self._shutdown.join()
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

    def restart(self) -> None:
        """SIGTERM, SIGKILL after the time of grace, and a new start that counts as no error."""
        with self._changed:
            script = self._script
            if self._stopping or script is None or script.killed:
                return
            self._again = True
        script.terminate()

        def insist() -> None:
            script.wait(self._personality.stop_grace_s)
            script.kill()
            with self._changed:
                self._changed.notify_all()

        threading.Thread(target=insist, daemon=True).start()

    def pause(self) -> None:
        """SIGSTOP to the process group."""
        script = self._script
        if script is not None:
            script.pause()

    def resume(self) -> None:
        script = self._script
        if script is not None:
            script.resume()

    def report(self, state: State) -> None:
        """What the component says about itself over IPC."""
        if state is State.ERRORED:
            self.kill()

    def wait_settled(self, timeout_s: float) -> State:
        """The state once it is FINISHED, BROKEN, or RUNNING for the settling time, or waits for what is BROKEN;
        whichever it is at the time-out."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                now = time.monotonic()
                until = deadline
                if self._state in (State.FINISHED, State.BROKEN) or self._stopping or self._blocked:
                    return self._state
                if self._state is State.RUNNING:
                    until = min(deadline, self._since + self._personality.settle_s)
                if now >= until:
                    return self._state
                self._changed.wait(until - now)

    def _live(self, install: bool, bootstrap: bool) -> None:
        if self._needs_started() and (not install or self.install(bootstrap=bootstrap)):
            self._live_on()

    def _live_on(self) -> None:
        name = next((name for name in ("run", "startup") if name in self.recipe.steps), None)
        if name is None and self._personality.waits_for_install_only:
            log.warning("%s has neither run nor startup; it will never be RUNNING", self.name)
            return
        step = self._steps.find(name) if name is not None else None
        while step is not None:
            end = self._run(step) if name == "run" else self._run_startup(step)
            if end is _End.WELL:
                break
            if end is _End.BADLY and not self._may_try_again():
                return
            if not self._needs_started():
                return
        self._set(State.FINISHED)

    def _needs_started(self) -> bool:
        """Wait until what this component depends on has started; False when that will never be, or this one stops."""
        for needed in self._needs:
            while needed.state not in (State.RUNNING, State.FINISHED):
                with self._changed:
                    if self._stopping:
                        return False
                    if self._state not in (State.NEW, State.INSTALLED):
                        self._change(State.INSTALLED)
                    if needed.state is State.BROKEN or needed._blocked:
                        self.reason = f"it waits for {needed.name}, which is {needed.state}"
                        self._blocked = True
                        self._changed.notify_all()
                        return False
                with needed._changed:
                    needed._changed.wait_for(
                        lambda: needed._state in (State.RUNNING, State.FINISHED, State.BROKEN),  # noqa: B023
                        _LOOK_S,
                    )
        return True

    def _run(self, step: Step) -> _End:
        """How the script ended, after however long."""
        script = self._launch(step, State.RUNNING)
        if script is None:
            return _End.BADLY
        ends_well = self._ends_well(script, step)
        return self._asked() or (_End.WELL if ends_well else _End.BADLY)

    def _run_startup(self, step: Step) -> _End:
        """Does not return while what the script left behind is there."""
        script = self._launch(step, State.STARTING)
        if script is None:
            return _End.BADLY
        status = script.wait(step.timeout_s)
        if status != 0:
            self._note_error(script, status)
            return self._asked() or _End.BADLY
        self._set(State.RUNNING)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or script.killed)
        self._note_error(script, -9)
        return self._asked() or _End.BADLY

    def _asked(self) -> _End | None:
        """ASKED when the end was that of a restart."""
        with self._changed:
            if not self._again:
                return None
            self._again = False
            return _End.ASKED

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
        if self._again:
            return
        self.reason = "took too long" if status is None else f"ended with status {status}"
        self._errors.append(time.monotonic())

    def _launch(self, step: Step, state: State) -> Script | None:
        """The step's script, running; None when it cannot be run, now or at all."""
        try:
            with self._changed:
                if self._stopping:
                    return None
                self._script = self._steps.run(step)
                self._change(state)
                return self._script
        except (DeployError, OSError) as exc:
            # what cannot even be started will not be better the next time: BROKEN at once
            self._errors += [time.monotonic()] * self._personality.errors_to_broken
            self.reason = str(exc)
            return None

    def _run_aside(self, name: str, step: Step) -> None:
        """A step beside the component's life, whose failure changes nothing."""
        try:
            script = self._aside = self._steps.run(step)
        except (DeployError, OSError) as exc:
            log.warning("%s: %s: %s", self.name, name, exc)
            return
        if script.wait(step.timeout_s) != 0:
            log.warning("%s: %s failed or took too long", self.name, name)
        script.kill()
        script.wait()

    def _shut_down(self, step: Step, script: Script) -> None:
        self._run_aside("shutdown", step)
        script.terminate()

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
        self._failed(self)
        if broken:
            return False
        recover = self._steps.find("recover")
        if recover is not None:
            self._run_aside("recover", recover)
        with self._changed:
            return not self._changed.wait_for(lambda: self._stopping, self._personality.restart_delay_s)

    def _begin_stop(self) -> Script | None:
        with self._changed:
            self._stopping = True
            self._change(State.STOPPING)
            return self._script

    def _end_stop(self) -> None:
        with self._changed:
            for script in (self._script, self._aside):
                if script is not None:
                    script.kill()
        if self._thread is not None:
            self._thread.join()
        if self._script is not None:
            self._script.wait_gone()
        self._set(State.FINISHED)

    def _set(self, state: State) -> None:
        with self._changed:
            if not self._stopping or state is State.FINISHED:
                self._change(state)

    def _change(self, state: State) -> None:
        self._state = state
        self._since = time.monotonic()
        self._changed.notify_all()
