"""`tidegate gateway run`: a gateway in the foreground, without Greengrass."""

import argparse
import json
import os
import signal
import socket
import sys
import threading
import tomllib
from dataclasses import replace
from pathlib import Path

from edge.config import GatewayConfig, UplinkConfig
from edge.gateway import Outcome, run_gateway
from models.configuration import parse
from models.errors import ConfigError
from models.topics import check_gateway


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="see, infer and ship until the cameras end, or for ever")
    run.add_argument("--config", type=Path, required=True, metavar="FILE", help="gateway.toml; paths in it start here")
    run.add_argument("--name", help="the gateway's name (default: AWS_IOT_THING_NAME, else this machine's)")
    run.add_argument("--keep-running", action="store_true", help="go on after all cameras' files have ended")
    run.add_argument("--broker", metavar="HOST:PORT", help="instead of the configuration's (TIDEGATE_BROKER)")
    run.add_argument("--ca", type=Path, metavar="PEM", help="verifies the broker (TIDEGATE_BROKER_CA)")
    run.add_argument("--certificate", type=Path, metavar="PEM", help="the gateway's (TIDEGATE_BROKER_CERTIFICATE)")
    run.add_argument("--key", type=Path, metavar="PEM", help="the gateway's (TIDEGATE_BROKER_KEY)")
    run.add_argument("--json", action="store_true", help="print how it ended as JSON")


def run(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    config = replace(config, uplink=_uplink(config.uplink, args))
    name = check_gateway(args.name or os.environ.get("AWS_IOT_THING_NAME") or socket.gethostname())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    outcome = run_gateway(config, gateway=name, stop=stop, keep_running=args.keep_running)
    _say(outcome, stopped=stop.is_set(), as_json=args.json)
    return 1 if outcome.failures else 0


def read_config(path: Path) -> GatewayConfig:
    """The gateway's configuration from a TOML file."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; expected a TOML file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}") from exc
    return parse(GatewayConfig, document, where=str(path))


def _uplink(configured: UplinkConfig, args: argparse.Namespace) -> UplinkConfig:
    """Flags win over the file, and the file over the environment."""
    address = args.broker or ("" if configured.host else os.environ.get("TIDEGATE_BROKER", ""))
    if not address and not configured.host:
        return configured
    uplink = replace(
        configured,
        ca=args.ca or configured.ca or _path_from("TIDEGATE_BROKER_CA"),
        certificate=args.certificate or configured.certificate or _path_from("TIDEGATE_BROKER_CERTIFICATE"),
        key=args.key or configured.key or _path_from("TIDEGATE_BROKER_KEY"),
    )
    if not address:
        return uplink
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit():
        raise ConfigError(f"a broker is given as HOST:PORT, got {address!r}")
    try:
        return replace(uplink, kind="mqtt", host=host, port=int(port))
    except ValueError as exc:
        raise ConfigError(f"broker {address}: {exc}") from exc


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _say(outcome: Outcome, *, stopped: bool, as_json: bool) -> None:
    if as_json:
        document = {"waiting": outcome.waiting, "failures": outcome.failures, "stopped": stopped}
        print(json.dumps(document))
    for failure in outcome.failures:
        print(f"tidegate gateway: {failure}", file=sys.stderr)
    if outcome.waiting:
        print(f"{outcome.waiting} records wait in the spool for the next start", file=sys.stderr)
    elif not as_json:
        print("all that was recorded is in the lake")
