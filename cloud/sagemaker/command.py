"""`tidegate train --sagemaker`: the same training on a machine of SageMaker's."""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cloud.image_folder import find_split
from cloud.run_folder import new_run
from cloud.sagemaker.entry import PARENT, TEACHER, TRAINING, VALIDATION
from cloud.sagemaker.hyperparameters import to_hyperparameters
from cloud.sagemaker.job import Job, default_name
from cloud.sagemaker.submit import connect, fetch_model, look, submit, upload, watch
from cloud.train.request import Request
from models.errors import PackageError, UsageError
from models.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


def run_there(args: argparse.Namespace, request: Request) -> int:
    """Begin the training job that `args` ask for, or find it again by its --job; with --wait, leave its run folder."""
    console = Console(stderr=args.json)
    name = args.job or default_name(args.name, datetime.now(UTC))
    client = connect()
    if args.job and look(client, name) is not None:
        console.print(f"training job {name} is there already", soft_wrap=True)
    else:
        _begin(client, name, args, request, console)
        console.print(f"training job {name} has begun on {args.instance_type}", soft_wrap=True)
    document: dict[str, object] = {"job": name}
    if args.wait:
        manifest = _bring_back(client, name, args, console)
        variant = manifest.variant()
        document |= {"run": str(args.out), "name": manifest.name, "task": manifest.task}
        document |= {"labels": list(manifest.labels), "accuracy": variant.accuracy, "bytes": variant.bytes}
        console.print(f"{args.out}: {variant.accuracy:.3f} on what was held out, {variant.bytes:,} bytes in fp32")
    else:
        console.print(f"the same command with --job {name} --wait leaves its run folder in {args.out}", soft_wrap=True)
    if args.json:
        print(json.dumps(document, indent=2))
    return 0


def _begin(client: "SageMakerClient", name: str, args: argparse.Namespace, request: Request, console: Console) -> None:
    for flag in ("role", "image", "s3"):
        if getattr(args, flag) is None:
            raise UsageError(f"--sagemaker needs --{flag}, or TIDEGATE_SAGEMAKER_{flag.upper()} to be set")
    # what is wrong with the job is said before gigabytes are sent
    job = Job(name, args.role, args.image, args.instance_type, args.s3, {}, {}, args.hours, args.spot)
    sent = {TRAINING: request.data}
    if request.val is not None:
        sent[VALIDATION] = request.val
    if request.teacher is not None:
        sent[TEACHER] = request.teacher
    hyperparameters = to_hyperparameters(args)
    if args.parent is not None and Path(args.parent).exists():
        sent[PARENT] = Path(args.parent)
    elif args.parent is not None:
        if not str(args.registry).startswith("s3://"):
            raise UsageError(
                f"--from {args.parent}: a job elsewhere can't read the registry {args.registry}; use s3://"
            )
        hyperparameters |= {"from": args.parent, "registry": args.registry}
    local = [path for path in (request.data, request.val) if path is not None and _in_s3(path) is None]
    if local == [path for path in (request.data, request.val) if path is not None]:
        find_split(request.data, request.val, seed=request.settings.seed)
    channels = {channel: _in_s3(path) or _send(path, job.s3, console) for channel, path in sent.items()}
    submit(client, replace(job, hyperparameters=hyperparameters, channels=channels))


def _in_s3(path: Path) -> str | None:
    """The URI that a Path has made s3:/BUCKET/PREFIX of."""
    text = path.as_posix()
    return f"s3://{text.removeprefix('s3:/')}/" if text.startswith("s3:/") else None


def _send(what: Path, s3: str, console: Console) -> str:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(f"sending {what.name}", total=None)
        return upload(what, s3, on_file=lambda done, total: progress.update(bar, completed=done, total=total))


def _bring_back(client: "SageMakerClient", name: str, args: argparse.Namespace, console: Console) -> Manifest:
    with new_run(args.out, name=args.name, force=args.force) as draft:
        model = None
        try:
            for state in watch(client, name):
                console.print(f"{name}: {state.status}, {state.detail}", soft_wrap=True)
                model = state.model
        except KeyboardInterrupt:
            console.print(f"no longer waiting; {name} goes on, and --job {name} --wait finds it again", soft_wrap=True)
            raise
        assert model is not None  # or `watch` would have raised
        fetch_model(model, draft)
        manifest = read_manifest(draft)
        if manifest.name != args.name:
            raise PackageError(f"training job {name} made model {manifest.name!r}, not {args.name!r}; pass its --name")
    return manifest
