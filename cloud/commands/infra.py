"""tidegate infra: what AWS needs, as a CloudFormation template and what belongs to it, made without network."""

import argparse
import json
import tempfile
from pathlib import Path

from cloud.infra.image import lay_out
from cloud.infra.least_privilege import wide_writes
from cloud.infra.node import use_node
from cloud.infra.outputs import exports, variables
from cloud.infra.settings import ARCHITECTURES, Settings
from models.errors import DeployError, UsageError

_DEFAULTS = Settings()


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    synth = actions.add_parser("synth", help="write what `cdk deploy --app` takes")
    synth.add_argument("--out", type=Path, default=Path("out/infra"), help="folder (default: %(default)s)")
    synth.add_argument("--name", default=_DEFAULTS.name, help="of the stack, policies and alias (default: %(default)s)")
    synth.add_argument(
        "--shards", type=int, default=_DEFAULTS.shards, help="of Kinesis, 1 MB/s each (default: %(default)s)"
    )
    synth.add_argument(
        "--gather-s",
        type=int,
        default=_DEFAULTS.gather_s,
        help="gather messages for this long into one commit: cheaper, and later (default: %(default)s)",
    )
    synth.add_argument("--email", default="", help="who hears of alarms")
    synth.add_argument(
        "--architecture", default=_DEFAULTS.architecture, help=f"{' or '.join(ARCHITECTURES)} (default: %(default)s)"
    )
    synth.add_argument("--json", action="store_true", help="print what was made as JSON")
    env = actions.add_parser("env", help="print a deployed stack's places as shell variables")
    env.add_argument("outputs", type=Path, help="what `cdk deploy --outputs-file` wrote")
    env.add_argument("--json", action="store_true", help="print them as JSON")


def run(args: argparse.Namespace) -> int:
    return _synth(args) if args.action == "synth" else _env(args)


def _synth(args: argparse.Namespace) -> int:
    settings = Settings(args.name, args.shards, args.gather_s, args.email, args.architecture)
    try:
        # Node tries for ever where a folder cannot be made, /proc for one
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"--out {args.out} cannot be made: {exc.strerror}; name a folder") from exc
    use_node()
    # seconds of importing, and an extra that is not always there
    from cloud.infra.stack import synthesise

    with tempfile.TemporaryDirectory(prefix="tidegate-infra-") as temporary:
        image = Path(temporary) / "ingest"
        lay_out(image)
        template = synthesise(settings, image=image, out=args.out)
    document = json.loads(template.read_text())
    if complaints := wide_writes(document):
        raise DeployError(f"{template} allows too much: {'; '.join(complaints)}")
    made = {"template": str(template), "resources": len(document["Resources"])}
    print(json.dumps(made) if args.json else f"{template}: {made['resources']} resources")
    return 0


def _env(args: argparse.Namespace) -> int:
    try:
        found = variables(args.outputs.read_text(errors="replace"))
    except OSError as exc:
        raise UsageError(f"{args.outputs} cannot be read: {exc.strerror}") from exc
    print(json.dumps(found, indent=2) if args.json else exports(found), end="\n" if args.json else "")
    return 0
