"""The last configuration that was in force, in the state folder: what a gateway goes on with when it is given one that
makes no sense, also after a restart."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.cameras.uri import public
from edge.config import DEFAULT_STATE, GatewayConfig
from models.configuration import document as document_of
from models.configuration import parse, understood
from models.durable import write_atomic
from models.errors import ConfigError

log = logging.getLogger(__name__)

KEPT = "configuration.json"


def keep(config: GatewayConfig) -> None:
    """Replace what is kept in its state folder, unless that is the same; OSError when the disk takes nothing. Only the
    gateway's own user may read it: cameras have passwords."""
    path = config.state / KEPT
    data = json.dumps(document_of(config), indent=1).encode()
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    if data != known:
        write_atomic(path, data, mode=0o600)


def start_with(document: object, *, where: str) -> tuple[GatewayConfig, str]:
    """The configuration to start with, and why it is not the one in `document`, "" where it is: the one kept; and where
    there is none, what this version understands of the document, for an older one that takes over again finds what a
    newer one knew. ConfigError where that does not help."""
    try:
        return parse(GatewayConfig, document, where=where), ""
    except ConfigError as exc:
        refused = exc
    if not isinstance(document, Mapping):
        raise refused
    config = kept(named_state(document))
    if config is None:
        try:
            config = parse(GatewayConfig, understood(GatewayConfig, document), where=where)
        except ConfigError:
            raise refused from None
    log.error("the configuration is refused: %s", public(str(refused)))
    return config, str(refused)


def named_state(document: Mapping[str, Any]) -> Path:
    """The state folder that a configuration names, whatever else is wrong with it."""
    named = document.get("state")
    return Path(named) if isinstance(named, str) else DEFAULT_STATE


def kept(state: Path) -> GatewayConfig | None:
    """What is kept in the state folder; None where there is nothing that makes sense."""
    path = state / KEPT
    try:
        return parse(GatewayConfig, json.loads(path.read_bytes()), where=str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ConfigError) as exc:
        log.warning("the configuration kept in %s is of no use: %s", path, exc)
        return None
