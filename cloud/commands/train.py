"""`tidegate train`: from a folder of pictures to a run folder."""

import argparse
import json
import os
import re
import tempfile
from dataclasses import asdict, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import nn

from cloud.sagemaker.flags import sagemaker_arguments
from cloud.train.augment import Augmentation
from cloud.train.checkpoint import read_checkpoint
from cloud.train.loop import Epoch, Settings, kept
from cloud.train.nets import NetConfig, count_parameters
from cloud.train.request import Outcome, Parent, Prepared, Request
from cloud.train.run import checkpoint_of, train_run
from cloud.train.tasks import TASKS, task_of
from cloud.train.weights import Weights, read_weights
from greengrass.objects import open_store
from greengrass.registry import fetch_run, parse_release
from models.errors import DataError, UsageError
from models.manifest import NAME, Task, read_manifest

_USUAL: Task = "classification"
_FALSE_ALARMS = 0.01


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures, one sub-folder a class, or with boxes as YOLO, COCO or Pascal VOC lay them out; or a folder "
        "that holds such folders as train/ and val/; for --task anomaly good pictures, alone or in good/, and in test/ "
        "sub-folders of defects to judge by, if there are any",
    )
    parser.add_argument("--val", type=Path, metavar="DIR", help="pictures to judge by (default: a fifth of --data)")
    parser.add_argument("--name", required=True, help="the model's name: lower-case letters, digits, dashes")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder to make")
    parser.add_argument(
        "--task",
        choices=sorted(TASKS),
        help="default: detection where --data tells of boxes, anomaly where it has a sub-folder `good` alone, else "
        "classification",
    )
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
    parser.add_argument(
        "--false-alarms",
        type=float,
        metavar="PART",
        help=f"part of the good pictures that an anomaly detector may call wrong (default: {_FALSE_ALARMS:g})",
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
    sides = _by_task("short_side")
    group.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help=f"its input in pixels (default: the pictures' shape, short side {sides})",
    )
    for name, kind, text in (
        ("width", int, "channels to start with"),
        ("depth", int, "blocks in a stage"),
        ("stages", int, "each at half the sides of the one before"),
        ("reduce", int, "the input's sides by the first stage's: 4, or 2 or 1 for small pictures"),
        ("growth", float, "channels of a stage by those before"),
        ("dropout", float, "part of what the head sees"),
    ):
        default = _by_task(f"net.{name}")
        group.add_argument(f"--{name}", type=kind, help=f"{text} (default: {default})")


def _training_arguments(group: argparse._ArgumentGroup) -> None:
    choices = {
        "optimizer": ("adamw", "sgd", "muon"),
        "schedule": ("one-cycle", "cosine"),
        "mixed_precision": ("auto", "on", "off"),
    }
    for name, kind, text in (
        ("epochs", int, "passes over the pictures"),
        ("seed", int, "of all that is random"),
        ("batch", int, "pictures in a step"),
        ("optimizer", str, "what takes the steps"),
        ("learning_rate", float, "at its highest"),
        ("schedule", str, "of the learning rate"),
        ("warm_up", float, "part of the training in which the learning rate rises"),
        ("weight_decay", float, "how hard weights are pulled to 0"),
        ("label_smoothing", float, "part of a target that goes to all classes"),
        ("averaging", float, "of the weights, per step"),
        ("patience", int, "stop after so many epochs that were no better, and keep the best; 0: never, keep the last"),
        ("mixup", float, "alpha of blending two pictures; 0: off"),
        ("threads", int, "that compute"),
        ("mixed_precision", str, "bfloat16; auto: where the device computes it"),
        ("device", str, "cpu, cuda, cuda:1"),
    ):
        default = _by_task(f"settings.{name}")
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, type=kind, choices=choices.get(name), help=f"{text} (default: {default})")
    group.add_argument("--no-balance", action="store_true", help="rare classes weigh no more than others")


def _augmentation_arguments(group: argparse._ArgumentGroup) -> None:
    for name, kind, text in (
        ("rotation", float, "degrees; pictures with boxes are not turned"),
        ("zoom", float, "part of the size"),
        ("shift", float, "part of the size"),
        ("jump", int, "whole pixels"),
        ("light", float, "part of full brightness"),
        ("contrast", float, "part of itself"),
        ("colour", float, "part of itself"),
        ("cutout", float, "side of a grey square, part of the picture's"),
        ("mosaic", float, "part of the pictures with boxes that are four in one"),
    ):
        default = _by_task(f"settings.augmentation.{name}")
        group.add_argument(f"--{name}", type=kind, help=f"{text} (default: {default})")
    group.add_argument("--no-flip", action="store_true", help="left and right matter")


def _by_task(path: str) -> str:
    """What a flag is by default, as its help says it: by task where that matters."""
    values = {task: attrgetter(path)(teaching) for task, teaching in TASKS.items()}
    if len(set(values.values())) == 1:
        return str(values[_USUAL])
    others = (f"for {task} {value}" for task, value in values.items() if value != values[_USUAL])
    return ", ".join((str(values[_USUAL]), *others))


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
                what = f"; new to it: {escape(', '.join(new))}" if new and request.parent.weights.labels else ""
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
    task: Task = args.task or task_of(args.data)
    usual = TASKS[task]
    if args.false_alarms is not None and task != "anomaly":
        raise UsageError(f"--false-alarms is for --task anomaly; this is {task}")
    try:
        net = replace(usual.net, **_given(args, NetConfig))
        flip: dict[str, Any] = {"flip": False} if args.no_flip else {}
        augmentation = replace(usual.settings.augmentation, **_given(args, Augmentation), **flip)
        balance: dict[str, Any] = {"balance": False} if args.no_balance else {}
        settings = replace(usual.settings, augmentation=augmentation, **_given(args, Settings), **balance)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    return Request(
        args.name,
        args.data,
        args.val,
        task=task,
        size=args.size,
        net=net,
        settings=settings,
        teacher=args.teacher,
        parent=_parent(args.parent, args.registry, task, net) if args.parent else None,
        false_alarms=_FALSE_ALARMS if args.false_alarms is None else args.false_alarms,
    )


def _given(args: argparse.Namespace, of: type[NetConfig | Settings | Augmentation]) -> dict[str, Any]:
    """The fields of a configuration that flags were given for."""
    flags = {field.name: getattr(args, field.name, None) for field in fields(of)}
    return {name: value for name, value in flags.items() if value is not None}


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
        table.add_row(*map(escape, row))
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
