"""`tidegate demo`: the whole loop on this machine."""

import argparse
import json
import logging
import re
import shutil
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cloud.image_folder import find_split
from edge.cameras.camera import Tally
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from models.errors import UsageError
from models.manifest import read_manifest
from simulator.demo.findings import Findings
from simulator.demo.report import as_document
from simulator.demo.story import tell
from simulator.demo.world import Options, World
from simulator.nucleus.personality import LITE, PERSONALITIES

_EPOCHS = 6  # enough for rendered scenes, which differ less than photographs do
_EPOCHS_DATA = 10
_MARK = ".tidegate-demo"  # in a folder that the demo may empty


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), help="where everything is left (default: %(default)s)"
    )
    parser.add_argument(
        "--data", type=Path, help="a folder of images, one sub-folder a class, instead of rendered scenes"
    )
    parser.add_argument("--model", type=Path, help="a run folder to start from instead of training; goes with --camera")
    parser.add_argument("--camera", type=Path, help="a video file that every gateway's camera plays; goes with --model")
    parser.add_argument("--epochs", type=int, help=f"of training (default: {_EPOCHS}; {_EPOCHS_DATA} with --data)")
    parser.add_argument("--gateways", type=int, default=4, help="how many gateways, 3 to 16 (default: %(default)s)")
    parser.add_argument(
        "--nucleus",
        choices=[*PERSONALITIES, "both"],
        default=LITE.name,
        help="what the gateways run; with both they take turns (default: %(default)s)",
    )
    parser.add_argument("--window-s", type=float, default=5.0, help="seconds a window, 2 to 60 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of scenes and training (default: %(default)s)")
    parser.add_argument("--embedded-broker", action="store_true", help="use amqtt even where mosquitto is installed")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    options = _options(args)
    model = _model_name(options)
    _try_inputs(options)
    _prepare(options.out)
    # a log line amid progress bars helps nobody; it is kept beside the report
    logging.basicConfig(
        filename=options.out / "demo.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # bound now: while a command's JSON is captured, the story still goes to the terminal
    console = Console(file=sys.stderr if args.json else sys.stdout)
    world = World(options, console, model=model)
    started = time.monotonic()
    try:
        findings = tell(world)
    finally:
        world.close()
    _show(findings, console, options.out, time.monotonic() - started)
    if args.json:
        print(json.dumps(as_document(findings), indent=2, ensure_ascii=False))
    return 1 if findings.claims.failed else 0


def _options(args: argparse.Namespace) -> Options:
    if (args.model is None) != (args.camera is None):
        raise UsageError("--model and --camera go together: a run folder, and a video file for its cameras")
    if args.model is not None and args.data is not None:
        raise UsageError("--data is for training; with --model there is none, so give one of them")
    if not 3 <= args.gateways <= 16:
        raise UsageError(f"--gateways must be in 3..16 (there are three rings), got {args.gateways}")
    if not 2 <= args.window_s <= 60:
        raise UsageError(f"--window-s must be in 2..60, got {args.window_s:g}")
    if args.seed < 0:
        raise UsageError(f"--seed must be at least 0, got {args.seed}")
    if args.epochs is not None and args.epochs < 1:
        raise UsageError(f"--epochs must be at least 1, got {args.epochs}")
    for name in ("data", "model", "camera"):
        path = getattr(args, name)
        if path is not None and not path.exists():
            raise UsageError(f"--{name} {path} is not there")
        if path is not None and path.resolve().is_relative_to(args.out.resolve()):
            raise UsageError(f"--{name} {path} is in {args.out}, which is emptied first; choose another --out")
    return Options(
        out=args.out.resolve(),
        data=args.data,
        model=args.model,
        video=args.camera,
        epochs=args.epochs or (_EPOCHS if args.data is None else _EPOCHS_DATA),
        gateways=args.gateways,
        window_s=args.window_s,
        nucleus=args.nucleus,
        seed=args.seed,
        embedded_broker=True if args.embedded_broker else None,
    )


def _try_inputs(options: Options) -> None:
    """Open what the story will need, so that what cannot work is said now, and not after a minute."""
    if options.data is not None:
        find_split(options.data, None, seed=options.seed)
    if options.video is not None:
        prepare_opencv()
        open_camera(CameraConfig("camera", str(options.video)), Tally()).close()


def _prepare(out: Path) -> None:
    """An empty folder with our mark; a folder of somebody else's is left alone."""
    try:
        if out.exists() and any(out.iterdir()):
            if not (out / _MARK).exists():
                raise UsageError(f"--out {out} is in use and not from an earlier demo; choose another folder")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).touch()
    except OSError as exc:
        raise UsageError(f"--out {out} cannot be written: {exc.strerror}; choose another folder") from exc


def _model_name(options: Options) -> str:
    if options.model is not None:
        return read_manifest(options.model).name
    if options.data is None:
        return "conveyor"
    name = re.sub(r"[^a-z0-9]+", "-", options.data.resolve().name.lower()).strip("-")
    return name[:63] or "photos"


def _show(findings: Findings, console: Console, out: Path, seconds: float) -> None:
    table = Table("claim", "", "found", title=f"{findings.model}: what was promised, and what was found")
    for claim in findings.claims.judged:
        table.add_row(claim.text, "[green]holds[/green]" if claim.holds else "[red]FAILS[/red]", claim.found)
    console.print(table)
    failed = len(findings.claims.failed)
    verdict = "every claim held" if not failed else f"{failed} claims failed"
    console.print(f"{verdict} in {seconds:.0f} s; the report and all else is in {out}", highlight=False)
