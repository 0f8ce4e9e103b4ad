"""`tidegate provision claim`: a template, and a certificate that many devices share until each has its own."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from greengrass.claims import ensure_template, has_template, issue_claim, template_body
from greengrass.commands.provision_device import core_device_policy_name
from greengrass.csr import make_key, read_request
from greengrass.device_policy import claim_policy
from greengrass.groups import ensure_group
from greengrass.provision import check_rings, endpoints, ensure_policy, home_of
from models.durable import write_atomic
from models.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("template", metavar="TEMPLATE", help="its name; made where it is missing")
    parser.add_argument(
        "--group", action="append", default=[], metavar="GROUP",
        help="the thing group that devices join (may be repeated); made where missing",
    )  # fmt: skip
    parser.add_argument(
        "--policy", default=core_device_policy_name(), metavar="NAME", help="their IoT policy (default: %(default)s)"
    )
    parser.add_argument(
        "--role-arn", default=os.environ.get("TIDEGATE_PROVISIONING_ROLE"), metavar="ARN",
        help="what AWS IoT acts as: a role that may register things (default: TIDEGATE_PROVISIONING_ROLE)",
    )  # fmt: skip
    parser.add_argument("--hook", metavar="ARN", help="a Lambda that may refuse a device that provisions itself")
    parser.add_argument("--out", type=Path, default=Path("out/claim"), help="default: %(default)s")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and make nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> int:
    if not args.group:
        raise UsageError("provision claim needs --group: the fleet that its devices belong to")
    if not args.role_arn:
        raise UsageError("provision claim needs --role-arn, or TIDEGATE_PROVISIONING_ROLE: what AWS IoT acts as")
    check_rings("a device", args.group)
    certificate, key = args.out / "certificate.pem", args.out / "private.key"
    outcome: dict[str, Any] = {"dry_run": args.dry_run, "template": args.template, "groups": args.group}
    if args.dry_run:
        outcome |= {"new_template": not has_template(args.template), "new_claim": not certificate.exists()}
    else:
        outcome |= _act(args, certificate, key)
    if args.json:
        print(json.dumps(outcome, indent=2))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    if args.dry_run:
        new = ["the template"] * outcome["new_template"] + ["a claim certificate"] * outcome["new_claim"]
        console.print(f"would be made: {', '.join(new) or 'nothing'}")
        return 0
    console.print(f"{args.template}: devices that name themselves join {', '.join(args.group)}")
    console.print(f"  for all of them: {certificate}, {key}, endpoint {outcome['endpoint']}")
    console.print("  whoever holds these can make devices: put them into images only, and end them when all are made")
    return 0


def _act(args: argparse.Namespace, certificate: Path, key: Path) -> dict[str, Any]:
    places = endpoints()
    for group in args.group:
        ensure_group(group)
    body = template_body(groups=args.group, policy=args.policy)
    home = home_of(ensure_template(args.template, body, role_arn=args.role_arn, hook_arn=args.hook))
    policy = f"{args.template}-claim"
    ensure_policy(policy, claim_policy(home, args.template))
    if not certificate.exists():
        # the desk's own: nobody else has it before it is put into an image
        private, request = make_key(args.template)
        claim = issue_claim(read_request(request, "the claim's request"), policy)
        write_atomic(key, private, mode=0o600)
        write_atomic(certificate, claim.pem.encode())
    return {"endpoint": places.data, "files": [str(certificate), str(key)], "policy": policy}
