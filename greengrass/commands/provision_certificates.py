"""`tidegate provision show`, `rotate`, `retire` and `remove`: what becomes of a device's certificates.

Rotation leaves no gap: the new certificate is active before the old one ends, and the old one ends only when somebody
says which one the device uses.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from greengrass.commands.provision_device import read_csr, read_earlier, write_certificate
from greengrass.csr import expiry_of
from greengrass.provision import (
    certificate_for,
    certificates,
    grant,
    groups_of,
    has_thing,
    issue,
    policies_of,
    remove,
    retire,
)
from models.errors import DeployError


def show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def rotate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME")
    parser.add_argument(
        "--csr", type=Path, required=True, metavar="FILE",
        help="for its next key, made there by `tidegate gateway identity request`",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/devices"), help="default: %(default)s")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def retire_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME")
    parser.add_argument(
        "--keep", required=True, metavar="ID",
        help="the certificate that the device uses now: `tidegate gateway identity install` has said so there",
    )  # fmt: skip
    parser.add_argument("--delete", action="store_true", help="delete those that were inactive already")
    parser.add_argument("--dry-run", action="store_true", help="say which would end, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def remove_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("thing", metavar="NAME")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def show(args: argparse.Namespace) -> int:
    _check_there(args.thing)
    groups, listed = list(groups_of(args.thing)), _listed(args.thing)
    found: dict[str, Any] = {"thing": args.thing, "groups": groups, "certificates": listed}
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    console = Console(soft_wrap=True)
    console.print(f"{args.thing} is in {', '.join(found['groups']) or 'no group'}", highlight=False)
    for item in found["certificates"]:
        policies = ", ".join(item["policies"]) or "no policy"
        console.print(f"  {item['id']} {item['status']}, until {item['until']}, under {policies}", highlight=False)
    return 0


def rotate(args: argparse.Namespace) -> int:
    _check_there(args.thing)
    request = read_csr(args.csr)
    old = [item for item in certificates(args.thing) if item.active]
    if not old:
        raise DeployError(f"{args.thing} has no active certificate to follow; use `tidegate provision device`")
    folder = args.out / args.thing
    found = certificate_for(request, args.thing, earlier=read_earlier(folder))
    outcome: dict[str, Any] = {"dry_run": args.dry_run, "thing": args.thing, "new_certificate": found is None}
    if not args.dry_run:
        policies = sorted({policy for item in old for policy in policies_of(item)})
        certificate = found or issue(request)
        file = write_certificate(folder, certificate)
        certificate = grant(certificate, args.thing, policies=policies)
        outcome |= {
            "certificate": certificate.id,
            "file": str(file),
            "still_active": [item.id for item in old if item.id != certificate.id],
        }
    if args.json:
        print(json.dumps(outcome, indent=2))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    if args.dry_run:
        console.print(f"{args.thing} {'would get a new certificate' if found is None else 'has one for this key'}")
        return 0
    console.print(f"{args.thing} has the certificate {outcome['certificate']} ({outcome['file']}) beside its old one")
    console.print(
        "install it there with `tidegate gateway identity install`, then end the old one with "
        f"`tidegate provision retire {args.thing} --keep {outcome['certificate']}`"
    )
    return 0


def retire_others(args: argparse.Namespace) -> int:
    _check_there(args.thing)
    if args.dry_run:
        touched = [item for item in certificates(args.thing) if item.id != args.keep and (item.active or args.delete)]
    else:
        touched = list(retire(args.thing, args.keep, delete=args.delete))
    ended = [{"id": item.id, "was": item.status, "is": "INACTIVE" if item.active else "deleted"} for item in touched]
    if args.json:
        print(json.dumps({"dry_run": args.dry_run, "thing": args.thing, "kept": args.keep, "ended": ended}, indent=2))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    for item in ended:
        console.print(f"{item['id']}: {'would be' if args.dry_run else 'is'} {item['is']}")
    if not ended:
        console.print(f"{args.thing} has no other certificate to end")
    return 0


def remove_device(args: argparse.Namespace) -> int:
    _check_there(args.thing)
    outcome = {
        "dry_run": args.dry_run,
        "thing": args.thing,
        "groups": list(groups_of(args.thing)),
        "certificates": [item.id for item in certificates(args.thing)],
    }
    if not args.dry_run:
        remove(args.thing)
    if args.json:
        print(json.dumps(outcome, indent=2))
        return 0
    how, count = "would be" if args.dry_run else "is", len(outcome["certificates"])
    groups = ", ".join(outcome["groups"]) or "no group"
    Console(highlight=False, soft_wrap=True).print(
        f"{args.thing} {how} gone, with {count} certificates and out of {groups}"
    )
    return 0


def _check_there(thing: str) -> None:
    if not has_thing(thing):
        raise DeployError(f"there is no thing {thing!r}; make it with `tidegate provision device`")


def _listed(thing: str) -> list[dict[str, Any]]:
    return [
        {"id": item.id, "status": item.status, "until": expiry_of(item.pem), "policies": list(policies_of(item))}
        for item in certificates(thing)
    ]
