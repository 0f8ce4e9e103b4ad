"""`tidegate provision device`: one device, whose key was made on it and stays there."""

import argparse
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from rich.console import Console

from greengrass.csr import SigningRequest, read_request
from greengrass.device_policy import core_device_policy, gateway_policy
from greengrass.device_settings import nucleus_settings, uplink_settings
from greengrass.groups import things_in
from greengrass.provision import (
    Certificate,
    certificate_for,
    check_rings,
    endpoints,
    ensure_policy,
    ensure_role_alias,
    ensure_thing,
    grant,
    groups_of,
    has_thing,
    issue,
    join_groups,
)
from greengrass.things import Description, write_description
from models.durable import write_atomic
from models.errors import UsageError
from models.topics import check_gateway

IDENTITY = PurePosixPath("/etc/tidegate/identity")
STACK = "tidegate"  # the infrastructure's name, with which its policies and its role alias begin


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME", help="the device's name, here and in all it sends")
    parser.add_argument(
        "--csr", type=Path, required=True, metavar="FILE",
        help="its signing request, made there by `tidegate gateway identity request`",
    )  # fmt: skip
    parser.add_argument(
        "--group", action="append", default=[], metavar="GROUP",
        help="its fleet's thing group, and a ring's (may be repeated); made where missing",
    )  # fmt: skip
    add_description(parser)
    parser.add_argument(
        "--nucleus", choices=("java", "lite", "none"), default="lite",
        help="what runs on it; none: the gateway speaks to AWS IoT Core itself (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--policy", metavar="NAME",
        help="its IoT policy (default: TIDEGATE_CORE_DEVICE_POLICY or, without a nucleus, TIDEGATE_GATEWAY_POLICY)",
    )  # fmt: skip
    parser.add_argument(
        "--role-alias", default=os.environ.get("TIDEGATE_ROLE_ALIAS", STACK), metavar="NAME",
        help=f"default: TIDEGATE_ROLE_ALIAS, else {STACK}",
    )  # fmt: skip
    parser.add_argument("--role-arn", metavar="ARN", help="the role behind the alias, where the alias is to be made")
    parser.add_argument(
        "--identity", type=PurePosixPath, default=IDENTITY, metavar="FOLDER",
        help="where the device keeps its identity (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/devices"), help="default: %(default)s")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def add_description(parser: argparse.ArgumentParser) -> None:
    """What roll-outs go by: `read_description` reads it."""
    said = parser.add_argument_group("what roll-outs go by, kept as the thing's attributes")
    said.add_argument("--hardware", default="", metavar="CLASS", help="its hardware class, as in model cards: rpi5")
    said.add_argument("--site", default="", help="where it is: one link, one cap on bytes in flight")
    said.add_argument("--timezone", default="", metavar="ZONE", help="its local time, as Europe/Berlin (default: UTC)")
    said.add_argument("--tag", action="append", default=[], help="for `rollout --prefer tag=TAG` (may be repeated)")


def read_description(args: argparse.Namespace) -> Description:
    """What `add_description` was told; UsageError for what AWS IoT would refuse."""
    return Description(args.hardware, args.site, args.timezone, tuple(args.tag))


def describe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME", help="a device that is there already")
    add_description(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def describe(args: argparse.Namespace) -> int:
    """Write down what a device is; what is not said stays as it was."""
    description = read_description(args)
    said = description.attributes()
    if not said:
        raise UsageError("nothing is said about it; give --hardware, --site, --timezone or --tag")
    if not args.dry_run:
        write_description(args.thing, description)
    if args.json:
        print(json.dumps({"dry_run": args.dry_run, "thing": args.thing, "attributes": said}, indent=2))
    else:
        words = ", ".join(f"{name} {value}" for name, value in said.items())
        would = "would be described" if args.dry_run else "is described"
        Console(highlight=False, soft_wrap=True).print(f"{args.thing} {would}: {words}")
    return 0


def run(args: argparse.Namespace) -> int:
    thing = check_gateway(args.thing)
    description = read_description(args)
    request = read_csr(args.csr)
    folder = args.out / thing
    check_rings(thing, {*groups_of(thing), *args.group})
    policy = args.policy or (gateway_policy_name() if args.nucleus == "none" else core_device_policy_name())
    found = certificate_for(request, thing, earlier=read_earlier(folder))
    outcome: dict[str, Any] = {"dry_run": args.dry_run, "thing": thing, "policy": policy, "groups": args.group}
    outcome["attributes"] = description.attributes()
    if args.dry_run:
        outcome |= {
            "new_thing": not has_thing(thing),
            "new_certificate": found is None,
            "new_groups": [group for group in args.group if things_in(group) is None],
        }
    else:
        outcome |= _act(args, thing, request, found, policy, folder, description)
    if args.json:
        print(json.dumps(outcome, indent=2))
    else:
        _show(outcome)
    return 0


def core_device_policy_name() -> str:
    return os.environ.get("TIDEGATE_CORE_DEVICE_POLICY", f"{STACK}-core-device")


def gateway_policy_name() -> str:
    return os.environ.get("TIDEGATE_GATEWAY_POLICY", f"{STACK}-gateway")


def read_csr(file: Path) -> SigningRequest:
    """The signing request in a file; UsageError where there is none."""
    try:
        return read_request(file.read_bytes(), str(file))
    except OSError as exc:
        raise UsageError(f"--csr: {file} cannot be read: {exc.strerror}") from exc


def read_earlier(folder: Path) -> str | None:
    """The certificate that an earlier attempt has written, if any."""
    try:
        return (folder / "certificate.pem").read_text()
    except OSError:
        return None


def write_certificate(folder: Path, certificate: Certificate) -> Path:
    path = folder / "certificate.pem"
    write_atomic(path, certificate.pem.encode())
    return path


def _act(
    args: argparse.Namespace,
    thing: str,
    request: SigningRequest,
    found: Certificate | None,
    policy: str,
    folder: Path,
    description: Description,
) -> dict[str, Any]:
    if args.nucleus != "none":
        # first: what is likeliest to be missing
        ensure_role_alias(args.role_alias, args.role_arn)
    places = endpoints()
    home = ensure_thing(thing)
    if description.attributes():
        write_description(thing, description)
    document = gateway_policy(home) if args.nucleus == "none" else core_device_policy(home, role_alias=args.role_alias)
    same = ensure_policy(policy, document)
    certificate = found or issue(request)
    # at once: whoever is killed from here on takes this one up again
    files = [write_certificate(folder, certificate)]
    join_groups(thing, args.group)
    certificate = grant(certificate, thing, policies=[policy])
    if args.nucleus == "none":
        settings = folder / "uplink.toml"
        write_atomic(settings, uplink_settings(data_endpoint=places.data, identity=args.identity))
    else:
        settings = folder / "nucleus.yaml"
        content = nucleus_settings(
            args.nucleus,
            thing,
            region=home.region,
            data_endpoint=places.data,
            credential_endpoint=places.credentials,
            role_alias=args.role_alias,
            identity=args.identity,
        )
        write_atomic(settings, content)
    return {
        "certificate": certificate.id,
        "endpoint": places.data,
        "policy_is_ours": same,
        "files": [str(file) for file in [*files, settings]],
    }


def _show(outcome: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    thing = outcome["thing"]
    if outcome["dry_run"]:
        new = [f"the thing {thing}"] * outcome["new_thing"] + ["a certificate"] * outcome["new_certificate"]
        new += [f"the group {group}" for group in outcome["new_groups"]]
        console.print(f"would be made: {', '.join(new) or 'nothing'}; {thing} would be in {_groups(outcome)}")
        return
    console.print(f"{thing} is in {_groups(outcome)}, under the policy {outcome['policy']}")
    if not outcome["policy_is_ours"]:
        console.print("  that policy was there already and says something else than ours; it is left as it is")
    console.print(f"  certificate {outcome['certificate']}, endpoint {outcome['endpoint']}")
    console.print(f"  for the device: {', '.join(outcome['files'])}")


def _groups(outcome: dict[str, Any]) -> str:
    return ", ".join(outcome["groups"]) or "no group by this"
