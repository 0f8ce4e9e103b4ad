"""What a device remembers over restarts: which group wants what, each component's recipe and configuration."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from models.durable import write_atomic
from models.errors import DeployError


@dataclass(frozen=True, slots=True)
class Installed:
    """A component on the device; `recipe` is the JSON document as it came, `run_as` the user (`name:group`) that a
    deployment named, empty for the nucleus' own choice."""

    recipe: Mapping[str, Any]
    configuration: Mapping[str, Any]
    run_as: str = ""

    @property
    def version(self) -> str:
        return str(self.recipe["ComponentVersion"])


@dataclass(frozen=True, slots=True)
class DeviceState:
    """`groups`: target -> component -> version, the roots of each; `components` by name, dependencies too."""

    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    components: Mapping[str, Installed] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> Self:
        """What `save` wrote; an empty device when there is nothing yet."""
        if not file.exists():
            return cls()
        try:
            document = json.loads(file.read_text())
            components = {name: Installed(**item) for name, item in document["components"].items()}
            return cls(document["groups"], components)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise DeployError(f"{file} is damaged ({exc!r}); remove it and deploy to the device again") from exc

    def save(self, file: Path) -> None:
        write_atomic(file, json.dumps(dataclasses.asdict(self), indent=1).encode())

    def with_configuration(self, component: str, configuration: Mapping[str, Any]) -> "DeviceState":
        changed = dataclasses.replace(self.components[component], configuration=configuration)
        return dataclasses.replace(self, components={**self.components, component: changed})
