"""`tidegate up`: a local cloud, until Ctrl-C."""

import argparse
import json
import shlex
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from models.durable import write_atomic
from models.errors import UsageError
from models.topics import check_gateway
from simulator.broker import INGEST
from simulator.fleet import SimulatedFleet
from simulator.local_cloud import LocalCloud
from simulator.nucleus.personality import LITE, PERSONALITIES

FLEET = "fleet"  # the thing group of the gateways
RESERVED = ("ca", "broker", INGEST)  # certificates that are there already, and are not a device's


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("out/cloud"), help="lake, keys, certificates (default: %(default)s)"
    )
    parser.add_argument("--embedded-broker", action="store_true", help="use amqtt even where mosquitto is installed")
    parser.add_argument(
        "--device", action="append", default=[], metavar="NAME", help="also issue a certificate for NAME"
    )
    parser.add_argument(
        "--gateway",
        action="append",
        default=[],
        metavar="NAME",
        help=f"also run a Greengrass core device NAME, in the thing group {FLEET}",
    )
    parser.add_argument(
        "--nucleus", choices=PERSONALITIES, default=LITE.name, help="what the gateways run (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the environment as one JSON object")


def run(args: argparse.Namespace) -> int:
    for option in ("device", "gateway"):
        for name in getattr(args, option):
            check_gateway(name)
            if name in RESERVED:
                raise UsageError(f"--{option} {name}: the local cloud itself goes by that name; choose another")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as opened:
        cloud = opened.enter_context(LocalCloud(args.out, embedded_broker=True if args.embedded_broker else None))
        if args.gateway:
            cloud.adopt_environment()
            personalities = dict.fromkeys(args.gateway, PERSONALITIES[args.nucleus])
            fleet = SimulatedFleet(cloud, FLEET, args.gateway, cloud.folder / "gateways", personalities=personalities)
            opened.enter_context(fleet).start()
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in cloud.environment.items())
        environment = cloud.folder / "environment"
        write_atomic(environment, exports.encode(), mode=0o600)
        devices = {name: cloud.authority.device(name) for name in args.device}
        if args.json:
            print(json.dumps(cloud.environment, indent=2), flush=True)
        else:
            console = Console()
            console.print(f"The local cloud is up ({cloud.broker.kind}). In another shell:\n", highlight=False)
            console.print(f"  source {shlex.quote(str(environment))}\n", highlight=False, soft_wrap=True)
            for name, identity in devices.items():
                console.print(f"  {name}: {identity.certificate}, {identity.key}", highlight=False, soft_wrap=True)
            for name in args.gateway:
                folder = cloud.folder / "gateways" / name
                console.print(f"  {name}: nucleus {args.nucleus}, {folder}", highlight=False, soft_wrap=True)
            console.print("Ctrl-C takes it down. The object store forgets then; lake, keys and certificates stay.")
        stop.wait()
        environment.unlink(missing_ok=True)  # its ports are somebody else's soon
    return 0
