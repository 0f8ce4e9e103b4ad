"""`tidegate search`: many small trainings, side by side, for the model that is right, small and fast."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cloud.run_folder import read_report
from cloud.search.pareto import Point
from cloud.search.run import Found, search, study_folder
from cloud.train.request import Request
from cloud.train.tasks import TASKS, task_of
from models.errors import UsageError
from models.manifest import NAME, Task


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="pictures, as for train")
    parser.add_argument("--val", type=Path, metavar="DIR", help="pictures to judge by (default: a fifth of --data)")
    parser.add_argument("--name", required=True, help="the model's name: lower-case letters, digits, dashes")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run folder to leave the best in")
    parser.add_argument("--task", choices=sorted(TASKS), help="as for train (default: by how --data is laid out)")
    parser.add_argument("--trials", type=int, default=30, metavar="N", help="how many to try (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=60.0, metavar="M", help="when to stop at the latest (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=15, help="of each trial (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=int,
        metavar="K",
        help="trials side by side, each with one thread (default: as many as there are cores)",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run the trials on a Ray cluster, HOST:PORT, whose nodes have tidegate[cloud,train,scale]; pictures and "
        "models travel through it, so nodes need no folder in common",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--max-bytes", type=int, metavar="N", help="of the model that is chosen")
    parser.add_argument("--max-ms", type=float, metavar="MS", help="of the model that is chosen, on this machine")
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds a run of another model")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    if not NAME.fullmatch(args.name):
        raise UsageError(f"--name must be lower-case letters, digits and dashes (at most 63), got {args.name!r}")
    workers = 1 if args.workers is None else args.workers
    if args.trials < 1 or workers < 1 or not args.minutes > 0:
        raise UsageError(
            f"need --trials and --workers of at least 1 and --minutes above 0, got {args.trials}, {workers} and "
            f"{args.minutes:g}"
        )
    task: Task = args.task or task_of(args.data)
    usual = TASKS[task]
    try:
        settings = replace(usual.settings, epochs=args.epochs, seed=args.seed, threads=1)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    request = Request(args.name, args.data, args.val, task, net=usual.net, settings=settings)
    if study_folder(args.out).exists():
        console.print(f"going on with the search in {study_folder(args.out)}", soft_wrap=True)
    with _progress(console) as progress:
        bar = progress.add_task("searching", total=args.trials, figures="")
        said = 0

        def look(counts: dict[str, int], points: list[Point]) -> None:
            nonlocal said
            done = counts["complete"] + counts["pruned"]
            best = max((point.accuracy for point in points), default=float("nan"))
            figures = f"best {best:.3f}  {counts['pruned']} given up  {counts['failed']} failed"
            progress.update(bar, completed=done, figures=figures)
            if not console.is_terminal and done > said:
                said = done
                console.print(f"{done} of {args.trials}: {figures}")

        found = search(
            request,
            args.out,
            trials=args.trials,
            minutes=args.minutes,
            workers=args.workers,
            ray=args.ray,
            force=args.force,
            max_bytes=args.max_bytes,
            max_ms=args.max_ms,
            on_look=look,
        )
    if args.json:
        document = {"run": str(args.out), "tried": found.tried, "chosen": asdict(found.chosen)}
        print(json.dumps({**document, "front": [asdict(point) for point in found.front]}, indent=2))
    else:
        _show(console, args.out, found)
    return 0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )


def _show(console: Console, out: Path, found: Found) -> None:
    chose = {row["trial"]: row["parameters"] for row in read_report(out)["search"]["front"]}
    columns = ("trial", "accuracy", "bytes", "p50 ms", "network", "variant", "gate")
    table = Table(*columns, title="what no other trial beats")
    for column in table.columns[:4]:
        column.justify = "right"
    for point in found.front:
        made = chose[point.trial]
        network = f"{made['short_side']} px, width {made['width']}, {made['stages']} stages of {made['depth']}"
        style = "bold green" if point.trial == found.chosen.trial else ""
        figures = (f"{point.accuracy:.3f}", f"{point.bytes:,}", f"{point.p50_ms:.2f}")
        verdict = "passes" if point.passed else "refuses"
        table.add_row(str(point.trial), *figures, network, made["variant"], verdict, style=style)
    console.print(table)
    tried = ", ".join(f"{count} {state}" for state, count in found.tried.items() if count)
    console.print(f"{tried}; trial {found.chosen.trial} is in {out} (search.png shows all)", soft_wrap=True)
