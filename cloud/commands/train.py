"""`tidegate train`: from a folder of pictures to a run folder."""

import argparse
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import nn

from cloud.sagemaker.flags import sagemaker_arguments
from cloud.train.augment import Augmentation
from cloud.train.checkpoint import read_checkpoint
from cloud.train.classify import SHORT_SIDE
from cloud.train.loop import Epoch, Settings, kept
from cloud.train.nets import NetConfig, count_parameters
from cloud.train.request import Outcome, Parent, Prepared, Request
from cloud.train.run import checkpoint_of, train_run
from cloud.train.tasks import TASKS
from cloud.train.weights import Weights, read_weights
from greengrass.objects import open_store
from greengrass.registry import fetch_run, parse_release
from models.errors import DataError, UsageError
from models.manifest import NAME, Task, read_manifest

_NET, _SETTINGS, _AUGMENTATION = NetConfig(), Settings(), Augmentation()


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
    parser.add_argument("--task", choices=sorted(TASKS), default="classification", help="default: %(default)s")
    parser.add_argument(
        "--from",
        dest="parent",
        metavar="RELEASE",
        help="go on from trained weights: NAME@RELEASE in the registry, a run folder or a training's checkpoint",
    )
    parser.add_argument(
        "--registry",
        metavar="URI",
        default=os.environ.get("TIDEGATE_REGISTRY"),
        help="where --from finds a release: s3://BUCKET/PREFIX or a folder (default: $TIDEGATE_REGISTRY)",
    )
    parser.add_argument(
        "--teacher", type=Path, metavar="RUN", help="a larger model to learn from too: a run folder or its ONNX file"
    )
    _network_arguments(parser.add_argument_group("the network"))
    _training_arguments(parser.add_argument_group("the training"))
    _augmentation_arguments(parser.add_argument_group("how far training pictures are changed"))
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds a run of another model")
    parser.add_argument("--fresh", action="store_true", help="begin anew even where a killed training could go on")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the training's state (default: beside --out)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    sagemaker_arguments(parser.add_argument_group("training on Amazon SageMaker"))


def _network_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help=f"its input in pixels (default: the pictures' shape, short side {SHORT_SIDE})",
    )
    group.add_argument("--width", type=int, default=_NET.width, help="channels to start with (default: %(default)s)")
    group.add_argument("--depth", type=int, default=_NET.depth, help="blocks in a stage (default: %(default)s)")
    group.add_argument("--stages", type=int, default=_NET.stages, help="default: %(default)s")
    group.add_argument(
        "--reduce",
        type=int,
        default=_NET.reduce,
        help="the input's sides by the first stage's: 4, or 2 or 1 for small pictures (default: %(default)s)",
    )
    group.add_argument(
        "--growth", type=float, default=_NET.growth, help="channels of a stage by those before (default: %(default)s)"
    )
    group.add_argument("--dropout", type=float, default=_NET.dropout, help="default: %(default)s")


def _training_arguments(group: argparse._ArgumentGroup) -> None:
    default = _SETTINGS
    group.add_argument("--epochs", type=int, default=default.epochs, help="default: %(default)s")
    group.add_argument("--seed", type=int, default=default.seed, help="default: %(default)s")
    group.add_argument("--batch", type=int, default=default.batch, help="pictures in a step (default: %(default)s)")
    group.add_argument("--optimizer", choices=("adamw", "sgd"), default=default.optimizer, help="default: %(default)s")
    group.add_argument("--learning-rate", type=float, default=default.learning_rate, help="default: %(default)s")
    group.add_argument(
        "--schedule", choices=("one-cycle", "cosine"), default=default.schedule, help="default: %(default)s"
    )
    group.add_argument(
        "--warm-up",
        type=float,
        default=default.warm_up,
        help="part of the training in which the learning rate rises (default: %(default)s)",
    )
    group.add_argument("--weight-decay", type=float, default=default.weight_decay, help="default: %(default)s")
    group.add_argument("--label-smoothing", type=float, default=default.label_smoothing, help="default: %(default)s")
    group.add_argument(
        "--averaging", type=float, default=default.averaging, help="of the weights, per step (default: %(default)s)"
    )
    group.add_argument(
        "--patience",
        type=int,
        default=default.patience,
        metavar="N",
        help="stop after N epochs that were no better, and keep the best (default: never, keep the last)",
    )
    group.add_argument("--mixup", type=float, default=default.mixup, help="alpha; 0 is off (default: %(default)s)")
    group.add_argument("--no-balance", action="store_true", help="rare classes weigh no more than others")
    group.add_argument("--threads", type=int, default=default.threads, help="default: %(default)s")
    group.add_argument(
        "--mixed-precision",
        choices=("auto", "on", "off"),
        default=default.mixed_precision,
        help="bfloat16: auto is where the device computes it (default: %(default)s)",
    )
    group.add_argument("--device", default=default.device, help="cpu, cuda, cuda:1 (default: %(default)s)")


def _augmentation_arguments(group: argparse._ArgumentGroup) -> None:
    default = _AUGMENTATION
    group.add_argument("--rotation", type=float, default=default.rotation, help="degrees (default: %(default)s)")
    group.add_argument("--zoom", type=float, default=default.zoom, help="part of the size (default: %(default)s)")
    group.add_argument("--shift", type=float, default=default.shift, help="part of the size (default: %(default)s)")
    group.add_argument("--jump", type=int, default=default.jump, help="whole pixels (default: %(default)s)")
    group.add_argument("--light", type=float, default=default.light, help="default: %(default)s")
    group.add_argument("--contrast", type=float, default=default.contrast, help="default: %(default)s")
    group.add_argument("--colour", type=float, default=default.colour, help="default: %(default)s")
    group.add_argument("--cutout", type=float, default=default.cutout, help="side of a grey square (default: none)")
    group.add_argument("--no-flip", action="store_true", help="left and right matter")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    request = _request(args)
    if args.sagemaker:
        from cloud.sagemaker.command import run_there  # boto3 is half a second, and not needed to train here

        return run_there(args, request)
    checkpoint = args.checkpoint or checkpoint_of(args.out)
    resumed = checkpoint.exists() and not args.fresh
    with _progress(console) as progress:
        bar = progress.add_task("training", total=request.settings.epochs, figures="", visible=False)

        def introduce(request: Request, prepared: Prepared, net: nn.Module) -> None:
            for line in prepared.introduction():
                console.print(line, soft_wrap=True)
            spec, settings = prepared.spec, request.settings
            console.print(
                f"{count_parameters(net):,} parameters, input {spec.height}x{spec.width}, {settings.epochs} epochs, "
                f"seed {settings.seed}"
            )
            if request.parent is not None:
                new = [label for label in prepared.labels if label not in request.parent.weights.labels]
                what = f"; new to it: {', '.join(new)}" if new and request.parent.weights.labels else ""
                console.print(f"begins with the weights of {request.parent.name}{what}", soft_wrap=True)
            if resumed:
                console.print(f"going on from {checkpoint}")
            progress.update(bar, visible=True)

        history: list[Epoch] = []

        def report(epoch: Epoch) -> None:
            history.append(epoch)
            figures = f"loss {epoch.loss:.3f}  validation {epoch.val_metric:.3f}"
            progress.update(bar, advance=1, figures=figures)
            # where there is no terminal to draw a bar on, a log gets a line now and then
            if not console.is_terminal and epoch.number % max(1, request.settings.epochs // 10) == 0:
                console.print(f"epoch {epoch.number} of {request.settings.epochs}: {figures}")

        outcome = train_run(
            request,
            args.out,
            checkpoint=checkpoint,
            force=args.force,
            fresh=args.fresh,
            on_start=introduce,
            on_epoch=report,
        )
    if args.json:
        print(json.dumps(_document(args.out, outcome), indent=2))
    else:
        _show(console, args.out, outcome)
    if len(history) < request.settings.epochs:
        best = kept(history, request.settings.patience)
        console.print(f"stopped after epoch {len(history)}, which was no better; kept epoch {best.number}")
    return 0


def _request(args: argparse.Namespace) -> Request:
    if not NAME.fullmatch(args.name):
        raise UsageError(f"--name must be lower-case letters, digits and dashes (at most 63), got {args.name!r}")
    try:
        net = NetConfig(args.width, args.depth, args.stages, args.reduce, args.growth, args.dropout)
        settings = Settings(
            epochs=args.epochs,
            seed=args.seed,
            batch=args.batch,
            optimizer=args.optimizer,
            learning_rate=args.learning_rate,
            schedule=args.schedule,
            weight_decay=args.weight_decay,
            label_smoothing=args.label_smoothing,
            warm_up=args.warm_up,
            averaging=args.averaging,
            patience=args.patience,
            mixup=args.mixup,
            balance=not args.no_balance,
            threads=args.threads,
            device=args.device,
            mixed_precision=args.mixed_precision,
            augmentation=Augmentation(
                args.rotation,
                args.zoom,
                args.shift,
                args.light,
                args.contrast,
                args.colour,
                not args.no_flip,
                args.jump,
                args.cutout,
            ),
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    return Request(
        args.name,
        args.data,
        args.val,
        task=args.task,
        size=args.size,
        net=net,
        settings=settings,
        teacher=args.teacher,
        parent=_parent(args.parent, args.registry, args.task, net) if args.parent else None,
    )


def _parent(text: str, registry: str | None, task: Task, net: NetConfig) -> Parent:
    path = Path(text)
    if path.is_dir():
        parent = Parent(text, read_weights(path))
    elif path.is_file():
        checkpoint = read_checkpoint(path)
        assert checkpoint is not None  # it is a file
        parent = Parent(text, Weights(task, asdict(net), (), checkpoint.state["average"]))
    else:
        release = parse_release(text)
        if registry is None:
            raise UsageError(f"--from {text}: which registry? give --registry URI or set TIDEGATE_REGISTRY")
        with tempfile.TemporaryDirectory() as temporary:
            parent = Parent(text, read_weights(fetch_run(open_store(registry), release, Path(temporary) / "run")))
    if parent.weights.task != task:
        raise DataError(f"--from {text} is a model for {parent.weights.task}, not for {task}")
    return parent


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )


def _document(out: Path, outcome: Outcome) -> dict[str, object]:
    manifest = read_manifest(out)
    variant = manifest.variant()
    return {
        "run": str(out),
        "name": manifest.name,
        "task": manifest.task,
        "labels": list(manifest.labels),
        "metric": outcome.metric,
        "accuracy": outcome.value,
        "pictures": outcome.pictures,
        "bytes": variant.bytes,
        "latency_ms": variant.latency_ms,
    }


def _show(console: Console, out: Path, outcome: Outcome) -> None:
    manifest = read_manifest(out)
    table = Table(*outcome.columns, title=f"{manifest.name} on {outcome.pictures} validation pictures")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in outcome.rows:
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{out}: {outcome.metric} {outcome.value:.3f}, {manifest.variant().bytes:,} bytes in fp32; "
        f"next: tidegate compress {out} --data ..."
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if match is None or min(sides := (int(match[1]), int(match[2]))) < 16 or max(sides) > 1024:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, 16..1024 pixels each, e.g. 96x128; got {text!r}")
    return sides
