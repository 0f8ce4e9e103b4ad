"""A component's steps as scripts that run: with its variables, its environment, its user and its log."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe, Step, Variables, interpolate
from simulator.nucleus.script import Script
from simulator.nucleus.users import User

LOG_LIMIT_BYTES = 10_000_000
_READ_BY_A_SHELL = re.compile(r"[^\w@%+=:,./{}-]")


class Steps:
    """Of one component with one configuration."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        personality: Personality,
        variables: Variables,
        environment: Mapping[str, str],
        log_file: Path,
        user: User | None = None,
        adjust: Callable[[Mapping[str, str]], Mapping[str, str]] = dict,
    ) -> None:
        """`user`: who runs the steps that require no privilege, if not this very user. `adjust` has the last word on
        a step's environment."""
        self.recipe = recipe
        self._personality = personality
        self._variables = variables
        self._environment = environment
        self._log_file = log_file
        self._user = user
        self._adjust = adjust

    def find(self, name: str) -> Step | None:
        """The step, unless the recipe has none or says to skip it here."""
        step = self.recipe.steps.get(name)
        if step is None or not step.skip_if:
            return step
        kind, _, what = step.skip_if.partition(" ")
        path = self._environment.get("PATH", os.defpath)
        there = shutil.which(what.strip(), path=path) if kind == "onpath" else Path(what.strip()).exists()
        return None if there else step

    def run(self, step: Step) -> Script:
        """The step's script, running. DeployError or OSError when it cannot be run."""
        text = self._filled(step.script)
        own = {name: self._filled(value) for name, value in step.environment.items()}
        if not self._personality.quotes_environment:
            # of what the recipe itself holds: folders at a desk may have blanks in their names, a device's have none
            read = [name for name, value in step.environment.items() if _READ_BY_A_SHELL.search(value)]
            text = "".join(f"export {name}={own.pop(name)}\n" for name in read) + text
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_LIMIT_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        return Script(
            text,
            folder=self._variables.work,
            environment=self._adjust({**self._environment, **own}),
            log=self._log_file,
            user=None if step.privileged else self._user,
        )

    def _filled(self, text: str) -> str:
        return interpolate(text, self._variables, every_brace_counts=self._personality.every_brace_counts)
