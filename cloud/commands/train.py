"""`tidegate train`: a classifier from a folder of pictures, as a run folder."""

import argparse
import json
import re
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud.commands.evaluate import classifier_table
from cloud.evaluate import Classified
from cloud.run_folder import new_run
from cloud.train.loop import Settings, train
from cloud.train.nets import NetConfig, count_parameters
from cloud.train.run import SHORT_SIDE, Prepared, make_net, prepare, write_run
from models.errors import UsageError
from models.manifest import NAME, read_manifest

_NET, _SETTINGS = NetConfig(), Settings()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures, one sub-folder a class; or a folder that holds such folders as train/ and val/",
    )
    parser.add_argument("--val", type=Path, metavar="DIR", help="pictures to judge by (default: a fifth of --data)")
    parser.add_argument("--name", required=True, help="the model's name: lower-case letters, digits, dashes")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder to make")
    parser.add_argument("--epochs", type=int, default=_SETTINGS.epochs, help="default: %(default)s")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help=f"the network's input in pixels (default: the pictures' shape, short side {SHORT_SIDE})",
    )
    parser.add_argument("--width", type=int, default=_NET.width, help="channels to start with (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=_NET.depth, help="blocks in a stage (default: %(default)s)")
    parser.add_argument(
        "--stages", type=int, default=_NET.stages, help="halvings after the first (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=_SETTINGS.seed, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=_SETTINGS.batch, help="pictures in a step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=_SETTINGS.learning_rate, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=_SETTINGS.threads, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds a run of another model")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    if not NAME.fullmatch(args.name):
        raise UsageError(f"--name must be lower-case letters, digits and dashes (at most 63), got {args.name!r}")
    try:
        config = NetConfig(width=args.width, depth=args.depth, stages=args.stages)
        settings = Settings(
            epochs=args.epochs,
            seed=args.seed,
            batch=args.batch,
            learning_rate=args.learning_rate,
            threads=args.threads,
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    with new_run(args.out, name=args.name, force=args.force) as draft:
        prepared = prepare(args.data, args.val, size=args.size, seed=settings.seed)
        net = make_net(prepared, config, seed=settings.seed)
        _introduce(console, prepared, count_parameters(net), settings)
        history = []
        with _progress(console) as progress:
            task = progress.add_task("training", total=settings.epochs, figures="")
            for epoch in train(net, prepared.train, prepared.val, settings):
                history.append(epoch)
                figures = f"loss {epoch.loss:.3f}  validation {epoch.val_accuracy:.3f}"
                progress.update(task, advance=1, figures=figures)
                # where there is no terminal to draw a bar on, a log gets a line now and then
                if not console.is_terminal and epoch.number % max(1, settings.epochs // 10) == 0:
                    console.print(f"epoch {epoch.number} of {settings.epochs}: {figures}")
        classified = write_run(draft, args.name, net, prepared, config=config, settings=settings, history=history)
    if args.json:
        print(json.dumps(_document(args.out, classified), indent=2))
    else:
        _show(console, args.out, classified)
    return 0


def _introduce(console: Console, prepared: Prepared, parameters: int, settings: Settings) -> None:
    spec = prepared.spec
    console.print(
        f"{len(prepared.train)} pictures to train on, {len(prepared.val)} to judge by, "
        f"{len(prepared.train.labels)} classes: {', '.join(prepared.train.labels)}"
    )
    for broken in (*prepared.train.broken, *prepared.val.broken):
        console.print(f"[yellow]skipped, no whole picture:[/] {broken}")
    console.print(
        f"{parameters:,} parameters, input {spec.height}x{spec.width}, {settings.epochs} epochs, seed {settings.seed}"
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )


def _document(out: Path, classified: Classified) -> dict[str, object]:
    manifest = read_manifest(out)
    variant = manifest.variant()
    return {
        "run": str(out),
        "name": manifest.name,
        "labels": list(manifest.labels),
        "accuracy": classified.accuracy,
        "pictures": classified.pictures,
        "bytes": variant.bytes,
        "latency_ms": variant.latency_ms,
    }


def _show(console: Console, out: Path, classified: Classified) -> None:
    manifest = read_manifest(out)
    table = classifier_table(classified)
    table.title = f"{manifest.name} on validation pictures"
    console.print(table)
    console.print(f"{out}: {manifest.variant().bytes:,} bytes in fp32; next: tidegate compress {out} --data ...")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if match is None or min(sides := (int(match[1]), int(match[2]))) < 16 or max(sides) > 1024:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, 16..1024 pixels each, e.g. 96x128; got {text!r}")
    return sides
