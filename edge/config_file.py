"""A gateway's configuration as a file."""

import tomllib
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig
from models.configuration import parse
from models.errors import ConfigError

T = TypeVar("T")


class ReadOnDemand:
    """A configuration (edge.config_changes.Source) that `read` reads again whenever that was asked for."""

    def __init__(self, read: Callable[[], GatewayConfig]) -> None:
        self._read = read
        self._asked = False

    def ask(self) -> None:
        """From a signal's handler: no lock, which the thread might hold that it interrupts."""
        self._asked = True

    def changed(self) -> GatewayConfig | None:
        if not self._asked:
            return None
        self._asked = False
        return self._read()


def read_config(path: Path) -> GatewayConfig:
    """The gateway's configuration from a TOML file; relative paths in it, defaults too, start in the file's folder.
    ConfigError when it can't be read or makes no sense."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; expected a TOML file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    return located(parse(GatewayConfig, document, where=str(path)), path.absolute().parent)


def located(config: T, folder: Path) -> T:
    """The same configuration with its relative paths below `folder`, a recording's too."""
    changes: dict[str, Any] = {}
    if isinstance(config, CameraConfig) and not config.is_live:
        changes["uri"] = str(folder / config.uri.removeprefix("file://"))
    for field in fields(cast(Any, config)):
        value = getattr(config, field.name)
        if isinstance(value, Path):
            changes[field.name] = folder / value
        elif is_dataclass(value):
            changes[field.name] = located(value, folder)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            changes[field.name] = tuple(located(item, folder) for item in value)
    return cast(T, replace(cast(Any, config), **changes))
