"""From what is installed to a component that can be started: its recipe, variables, folders, user and environment."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from models.errors import DeployError
from simulator.nucleus.artifacts import artifacts_folder, decompressed_folder
from simulator.nucleus.component import Component
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe, Step, Variables, interpolate, read_recipe, this_platform
from simulator.nucleus.steps import Steps
from simulator.nucleus.token_exchange import SERVICE
from simulator.nucleus.users import find_user, give

# of the nucleus' own environment; everything else a component gets is Greengrass' or its recipe's
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

Environment = Mapping[str, str]


class Maker:
    """What all components of a device have in common."""

    def __init__(
        self,
        thing: str,
        root: Path,
        personality: Personality,
        *,
        environment: Environment,
        run_as: str,
        adjust: Callable[[Environment], Environment],
        credentials: Callable[[str], Environment],
    ) -> None:
        """`credentials`: what a component with this token is given that depends on the token exchange."""
        self.platform = this_platform(personality.runtime)
        self._thing = thing
        self._root = root
        self._personality = personality
        self._environment = {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **environment}
        self._run_as = run_as
        self._adjust = adjust
        self._credentials = credentials

    def recipe(self, item: Installed) -> Recipe:
        return read_recipe(item.recipe, self.platform, self._personality)

    def steps(self, item: Installed) -> Mapping[str, Step]:
        """The component's steps with their variables replaced; as they are where one has no value."""
        recipe = self.recipe(item)
        variables = self._variables(item, recipe)

        def filled(text: str) -> str:
            try:
                return interpolate(text, variables)
            except DeployError:
                return text

        return {
            name: replace(
                step,
                script=filled(step.script),
                environment={key: filled(value) for key, value in step.environment.items()},
            )
            for name, step in recipe.steps.items()
        }

    def make(self, item: Installed, among: DeviceState, *, failed: Callable[[Component], None]) -> Component:
        """The component as it is among these, not started yet; `failed` as in Component."""
        recipe = self.recipe(item)
        others = {}
        if self._personality.knows_dependencies:
            found = {name: among.components[name] for name in recipe.dependencies if name in among.components}
            others = {name: self._variables(other, self.recipe(other)) for name, other in found.items()}
        variables = replace(self._variables(item, recipe), others=others)
        logs = self._root / "logs"
        for folder in (variables.work, logs):
            folder.mkdir(parents=True, exist_ok=True)
        run_as = item.run_as or self._run_as
        user = find_user(run_as) if run_as else None
        if user is not None:
            give(variables.work, user)
        token = secrets.token_hex(8)
        credentials = self._credentials(token) if SERVICE in recipe.dependencies else {}
        steps = Steps(
            recipe,
            personality=self._personality,
            variables=variables,
            environment={**self._environment, **credentials, "HOME": str(variables.work), "SVCUID": token},
            log_file=logs / f"{recipe.name}.log",
            user=user,
            adjust=self._adjust,
        )
        return Component(steps, token=token, personality=self._personality, failed=failed)

    def _variables(self, item: Installed, recipe: Recipe) -> Variables:
        return Variables(
            artifacts=artifacts_folder(self._root, recipe.name, recipe.version),
            decompressed=decompressed_folder(self._root, recipe.name, recipe.version),
            work=self._root / "work" / recipe.name,
            root=self._root,
            thing=self._thing,
            configuration=item.configuration,
        )
