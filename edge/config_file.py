"""A gateway's configuration as a file."""

import tomllib
from pathlib import Path

from edge.config import GatewayConfig
from models.configuration import parse
from models.errors import ConfigError


def read_config(path: Path) -> GatewayConfig:
    """The gateway's configuration from a TOML file; ConfigError when it can't be read or makes no sense."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; expected a TOML file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    return parse(GatewayConfig, document, where=str(path))
