"""`tidegate gateway`: a gateway without Greengrass, in the foreground or as a service; how it is; and how fast models
are on this device."""

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cameras.uri import public
from edge.commands import gateway_identity, gateway_install, gateway_status
from edge.config import DEFAULT_STATE, GatewayConfig, UplinkConfig
from edge.config_file import ReadOnDemand, read_config
from edge.kept_config import kept
from edge.status_table import waiting
from models.errors import ConfigError, UsageError
from models.topics import check_gateway

if TYPE_CHECKING:
    from edge.bench import Bench
    from edge.running import Outcome

log = logging.getLogger(__name__)

_BENCH_S = 5.0


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="see, infer and ship until the cameras end, or for ever")
    run.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="gateway.toml; paths in it start where it is"
    )
    run.add_argument("--name", help="the gateway's name (default: AWS_IOT_THING_NAME, else this machine's)")
    run.add_argument("--state", type=Path, metavar="FOLDER", help="the gateway's own folder, instead of the file's")
    run.add_argument("--keep-running", action="store_true", help="go on after all cameras' files have ended")
    run.add_argument("--broker", metavar="HOST:PORT", help="instead of the configuration's (TIDEGATE_BROKER)")
    run.add_argument("--ca", type=Path, metavar="PEM", help="verifies the broker (TIDEGATE_BROKER_CA)")
    run.add_argument("--certificate", type=Path, metavar="PEM", help="the gateway's (TIDEGATE_BROKER_CERTIFICATE)")
    run.add_argument("--key", type=Path, metavar="PEM", help="the gateway's (TIDEGATE_BROKER_KEY)")
    run.add_argument("--json", action="store_true", help="print how it ended as JSON")
    gateway_status.arguments(actions.add_parser("status", help="how the gateway is that runs on this machine"))
    gateway_install.arguments(actions.add_parser("install", help="make the gateway a systemd service of this machine"))
    gateway_identity.arguments(actions.add_parser("identity", help="this device's key and certificate"))
    measure = actions.add_parser("bench", help="measure each variant of a model on this device")
    measure.add_argument(
        "folder", type=Path, metavar="PACKAGE_OR_RUN", help="a model package or a run folder; it is run as it is"
    )
    measure.add_argument(
        "--seconds", type=float, default=_BENCH_S, metavar="S", help="processor time to spend (default: %(default)s)"
    )
    measure.add_argument(
        "--json", action="store_true", help="print one JSON document, for `tidegate models latency` where RUN is"
    )


def run(args: argparse.Namespace) -> int:
    return {
        "run": _run,
        "status": gateway_status.run,
        "install": gateway_install.run,
        "identity": gateway_identity.run,
        "bench": _bench,
    }[args.action](args)


def _bench(args: argparse.Namespace) -> int:
    from edge.bench import bench  # loads the runtime, which takes a Raspberry Pi seconds that `status` need not wait

    if not 0.1 <= args.seconds <= 3600:
        raise UsageError(f"--seconds must be in 0.1..3600, got {args.seconds:g}")
    measured = bench(args.folder, budget_s=args.seconds)
    if args.json:
        print(json.dumps(asdict(measured), indent=2))
    else:
        _show_bench(measured)
    return 0 if measured.runs else 1


def _show_bench(measured: "Bench") -> None:
    print(f"{measured.name}@{measured.release} on {measured.hardware}, {measured.runtime}")
    print(f"{'variant':<12}{'bytes':>12}{'p50 ms':>10}{'p95 ms':>10}{'memory MB':>11}  golden frames")
    for variant in measured.variants:
        if variant.error:
            print(f"{variant.name:<12}{variant.bytes:>12,}  does not run: {variant.error}")
            continue
        verdict = f"disagree: {variant.differences[0]}" if variant.differences else "agree"
        mark = " (chosen)" if variant.name == measured.chosen else ""
        print(
            f"{variant.name:<12}{variant.bytes:>12,}{variant.p50_ms:>10.2f}{variant.p95_ms:>10.2f}"
            f"{variant.peak_memory_bytes / 1e6:>11.1f}  {verdict}{mark}"
        )
    print(f"a gateway here runs {measured.runs}" if measured.runs else "no variant is fit to run here")


def _run(args: argparse.Namespace) -> int:
    from edge.gateway import run_gateway  # see _bench

    def read() -> GatewayConfig:
        config = read_config(args.config)
        uplink = _uplink(config.uplink, args)
        return replace(config, uplink=uplink, state=args.state or config.state)

    config, refused = _to_start_with(read, args)
    source = ReadOnDemand(read)
    if not sys.stdin or not sys.stdin.isatty():  # else it means that the terminal has gone
        signal.signal(signal.SIGHUP, lambda *_: source.ask())
    name = check_gateway(args.name or os.environ.get("AWS_IOT_THING_NAME") or socket.gethostname())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    outcome = run_gateway(
        config, gateway=name, stop=stop, keep_running=args.keep_running, source=source, refused=refused
    )
    _say(outcome, stopped=stop.is_set(), as_json=args.json)
    return 1 if outcome.failures else 0


def _to_start_with(read: Callable[[], GatewayConfig], args: argparse.Namespace) -> tuple[GatewayConfig, str]:
    """The file's configuration; of a gateway that is to run for good the last one that worked, and why, where the file
    makes no sense any more."""
    try:
        return read(), ""
    except ConfigError as exc:
        before = kept(args.state or args.config.absolute().parent / DEFAULT_STATE) if args.keep_running else None
        if before is None:
            raise
        log.error("the configuration is refused, and the one before goes on: %s", public(str(exc)))
        return before, str(exc)


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
        return replace(uplink, kind="aws" if uplink.kind == "aws" else "mqtt", host=host, port=int(port))
    except ValueError as exc:
        raise ConfigError(f"broker {address}: {exc}") from exc


def _path_from(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _say(outcome: "Outcome", *, stopped: bool, as_json: bool) -> None:
    if as_json:
        document = {"waiting": outcome.waiting, "failures": outcome.failures, "stopped": stopped}
        print(json.dumps(document))
    for failure in outcome.failures:
        print(f"tidegate gateway: {failure}", file=sys.stderr)
    if outcome.waiting:
        print(f"{waiting(outcome.waiting)} in the spool for the next start", file=sys.stderr)
    elif not as_json:
        print("all that was recorded is in the lake")
