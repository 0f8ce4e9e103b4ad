"""`tidegate gateway identity`: this device's key and certificate. The key is made here and never leaves."""

import argparse
import json
from pathlib import Path

from edge.enrol import enrol
from edge.identity import CURRENT, current_id, make_request, stage, switch
from models.errors import ConfigError, UplinkError, UsageError
from models.mqtt import Broker, Connection
from models.topics import acks_topic, check_gateway

FOLDER = Path("/etc/tidegate/identity")
_MQTT_PORT = 8883
_CONNECT_S = 60.0


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="identity_action", required=True, metavar="ACTION")
    request = actions.add_parser("request", help="make a key and its signing request, for `tidegate provision`")
    install = actions.add_parser("install", help="use the certificate that came back")
    claim = actions.add_parser("claim", help="ask for a certificate with a claim that many devices share")
    show = actions.add_parser("show", help="which certificate is in use")
    for action in (request, install, claim, show):
        action.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
        action.add_argument("--json", action="store_true", help="print the outcome as JSON")
    for action in (request, install, claim):
        action.add_argument("--name", required=action is not install, help="the device's name: its thing's")
    install.add_argument("certificate", type=Path, metavar="PEM")
    install.add_argument(
        "--endpoint", metavar="HOST[:PORT]",
        help="connect with it first, and keep what is in use where that fails; a connection by the same name is "
        "interrupted for a moment",
    )  # fmt: skip
    install.add_argument("--ca", type=Path, metavar="PEM", help="verifies the endpoint (default: FOLDER/ca.pem)")
    claim.add_argument("--template", required=True, help="the provisioning template's name")
    claim.add_argument("--claim", type=Path, required=True, metavar="FOLDER", help="certificate.pem and private.key")
    claim.add_argument("--endpoint", required=True, metavar="HOST[:PORT]")
    claim.add_argument("--ca", type=Path, metavar="PEM", help="verifies the endpoint (default: FOLDER/ca.pem)")


def run(args: argparse.Namespace) -> int:
    return {"request": _request, "install": _install, "claim": _claim, "show": _show}[args.identity_action](args)


def _request(args: argparse.Namespace) -> int:
    path = make_request(args.folder, check_gateway(args.name))
    if args.json:
        print(json.dumps({"request": str(path)}))
    else:
        print(f"{path}: send it to where `tidegate provision` is called; the key beside it stays here")
    return 0


def _install(args: argparse.Namespace) -> int:
    if args.endpoint is not None and args.name is None:
        raise UsageError("--endpoint needs --name, by which the device connects")
    try:
        certificate = args.certificate.read_bytes()
    except OSError as exc:
        raise UsageError(f"{args.certificate} cannot be read: {exc.strerror}") from exc
    staged = stage(args.folder, certificate)
    if args.endpoint is not None:
        _try(check_gateway(args.name), _broker(args, staged))
    return _say(args, switch(args.folder, staged))


def _claim(args: argparse.Namespace) -> int:
    name = check_gateway(args.name)
    staged = enrol(args.folder, name=name, template=args.template, broker=_broker(args, args.claim))
    return _say(args, switch(args.folder, staged))


def _show(args: argparse.Namespace) -> int:
    found = current_id(args.folder)
    if found is None:
        raise ConfigError(f"{args.folder} holds no identity; make one with `tidegate gateway identity request`")
    return _say(args, found)


def _say(args: argparse.Namespace, identity: str) -> int:
    current = args.folder / CURRENT
    if args.json:
        print(json.dumps({"certificate": identity, "folder": str(current)}))
    else:
        print(f"certificate {identity} is in use: {current}")
    return 0


def _try(name: str, broker: Broker) -> None:
    """UplinkError unless the cloud lets the device in with what is staged."""
    with Connection(broker, client_id=name, subscriptions=[acks_topic(name)]) as connection:
        if not connection.wait_until_ready(_CONNECT_S):
            raise UplinkError(
                f"{broker.host}:{broker.port} did not let {name} in with the new certificate within {_CONNECT_S:g} s; "
                f"the old one stays in use; is the new one active?"
            )


def _broker(args: argparse.Namespace, identity: Path) -> Broker:
    host, colon, port = args.endpoint.partition(":")
    if not host or (colon and not port.isdigit()):
        raise UsageError(f"--endpoint {args.endpoint}: expected HOST or HOST:PORT")
    ca = args.ca or args.folder / "ca.pem"
    certificate, key = identity / "certificate.pem", identity / "private.key"
    for path in (ca, certificate, key):
        if not path.is_file():
            raise UsageError(f"{path} is not there; the endpoint cannot be connected to without it")
    return Broker(host, int(port) if colon else _MQTT_PORT, ca, certificate, key)
