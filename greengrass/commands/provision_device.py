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


def run(args: argparse.Namespace) -> int:
    thing = check_gateway(args.thing)
    request = read_csr(args.csr)
    folder = args.out / thing
    check_rings(thing, {*groups_of(thing), *args.group})
    policy = args.policy or (gateway_policy_name() if args.nucleus == "none" else core_device_policy_name())
    found = certificate_for(request, thing, earlier=read_earlier(folder))
    outcome: dict[str, Any] = {"dry_run": args.dry_run, "thing": thing, "policy": policy, "groups": args.group}
    if args.dry_run:
        outcome |= {
            "new_thing": not has_thing(thing),
            "new_certificate": found is None,
            "new_groups": [group for group in args.group if things_in(group) is None],
        }
    else:
        outcome |= _act(args, thing, request, found, policy, folder)
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
) -> dict[str, Any]:
    if args.nucleus != "none":
        # first: what is likeliest to be missing
        ensure_role_alias(args.role_alias, args.role_arn)
    places = endpoints()
    home = ensure_thing(thing)
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
