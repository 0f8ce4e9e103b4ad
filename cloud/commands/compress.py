"""`tidegate compress`: smaller variants of a run's model, and the gate's verdict on each."""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from cloud.compress.gate import Limits
from cloud.compress.int8 import Search
from cloud.compress.material import gather
from cloud.compress.run import LADDER, Judged, decide, make_variants, measure, record
from cloud.compress.rungs import INT8_QAT, PRUNED_INT8, TUNED, Tuned, Wish, hindrance, worth_tuning
from cloud.run_folder import REFERENCE, edit_run, intact, without_nan
from models.errors import PackageError, UsageError
from models.golden import read_golden
from models.manifest import Manifest, read_manifest

_LIMITS = Limits()
_KEEP = 0.5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that train or import made")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures as for train (or, for a detector, images/ and labels/ as YOLO has them): train/ to calibrate, "
        "val/ to judge; without them the split that train made. Pictures alone will do: then variants are judged by "
        "how often they decide as fp32 does",
    )
    parser.add_argument("--val", type=Path, metavar="DIR", help="pictures to judge by, when they are elsewhere")
    parser.add_argument("--calibrate-on", type=int, default=200, metavar="N", help="pictures (default: %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="stop looking for a better int8 variant after that (default: %(default)s)",
    )
    parser.add_argument(
        "--variants",
        metavar="LIST",
        help=f"which to make, with commas between, of {', '.join((*LADDER, *TUNED))} (default: "
        f"{','.join(LADDER)}; and if the run was trained here and --minutes allow, {INT8_QAT} where int8 loses more "
        f"than half the margin and {PRUNED_INT8} where none is within --max-bytes)",
    )
    tuning = parser.add_argument_group(
        "fine-tuning", f"{', '.join(TUNED)}: the trained network learns on, from its training pictures and itself"
    )
    tuning.add_argument(
        "--epochs",
        type=int,
        default=0,
        metavar="N",
        help="default: a tenth of what it was trained for, for pruned ones three tenths",
    )
    tuning.add_argument(
        "--keep",
        type=float,
        default=_KEEP,
        metavar="PART",
        help="of its multiplications that pruning leaves at most (default: %(default)s)",
    )
    gate = parser.add_argument_group("the gate")
    gate.add_argument(
        "--margin",
        type=float,
        default=_LIMITS.accuracy_margin,
        help="accuracy that a variant may lose against fp32 (default: %(default)s)",
    )
    gate.add_argument(
        "--confidence",
        type=float,
        default=_LIMITS.confidence,
        help="with which it must be shown to lose no more than that (default: %(default)s)",
    )
    gate.add_argument(
        "--min-pictures",
        type=int,
        default=_LIMITS.min_pictures,
        metavar="N",
        help="fewer pictures prove nothing (default: %(default)s)",
    )
    gate.add_argument(
        "--max-slowdown",
        type=float,
        default=_LIMITS.latency_ratio,
        metavar="RATIO",
        help="times fp32's median latency that is still not slower (default: %(default)s)",
    )
    gate.add_argument("--max-bytes", type=int, default=_LIMITS.max_bytes, metavar="N", help="default: no limit")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    if args.calibrate_on < 1 or not args.minutes >= 0:
        raise UsageError(
            f"--calibrate-on must be at least 1 and --minutes 0, got {args.calibrate_on} and {args.minutes:g}"
        )
    wanted = LADDER if args.variants is None else tuple(filter(None, args.variants.split(",")))
    if unknown := [name for name in wanted if name not in (*LADDER, *TUNED)]:
        raise UsageError(f"--variants: {unknown[0]!r} is not known; there are {', '.join((*LADDER, *TUNED))}")
    try:
        wish = Wish(tuple(name for name in wanted if name in TUNED), epochs=args.epochs, keep=args.keep)
        limits = Limits(
            accuracy_margin=args.margin,
            confidence=args.confidence,
            min_pictures=args.min_pictures,
            latency_ratio=args.max_slowdown,
            max_bytes=args.max_bytes,
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    manifest = read_manifest(args.run_folder)
    intact(args.run_folder, manifest.variant(REFERENCE))
    read_golden(args.run_folder)  # a run without would only fail after minutes of measuring
    material = gather(
        args.run_folder, manifest, args.data, args.val, seed=_seed(manifest), calibrate_on=args.calibrate_on
    )
    why_not = hindrance(args.run_folder, manifest, material)
    if wish.names and why_not:
        raise UsageError(f"--variants {','.join(wish.names)}: {why_not}")
    until = time.monotonic() + 60 * args.minutes
    with edit_run(args.run_folder) as draft, _progress(console) as progress:
        task = progress.add_task("", total=None)

        def say(what: str) -> None:
            progress.update(task, description=f"{what} ...", total=None, completed=0)

        def on_step(done: int, steps: int) -> None:
            progress.update(task, total=steps, completed=done)

        search = make_variants(draft, material, wanted, limits, until=until, say=say)
        if args.variants is None:
            smallest = min(variant.bytes for variant in read_manifest(draft).variants)
            wish = replace(wish, names=worth_tuning(search, smallest, limits), by_name=False)
        tuned = Tuned(left_out=dict.fromkeys(wish.names, why_not))
        if wish.names and not why_not:
            from cloud.compress.tuned import make_tuned  # and with it PyTorch, which nothing else here needs

            tuned = make_tuned(
                draft, material, args.data, args.val, wish, limits, until=until, say=say, on_step=on_step
            )
        judged = decide(measure(draft, material, limits, say=say), limits)
        record(draft, judged, material, limits, search, tuned)
    if args.json:
        document = {"run": str(args.run_folder), **_document(judged), "left_out": tuned.left_out}
        print(json.dumps(without_nan(document), indent=2))
    else:
        _show(console, manifest.name, judged, material.metric)
        _show_search(console, search)
        for name, why in tuned.left_out.items():
            console.print(f"[bold]{name}[/] left out: {why}", soft_wrap=True)
    return 0


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _show_search(console: Console, search: Search | None) -> None:
    """How int8 was found, where that took more than one try."""
    if search is None or len(search.trials) < 2:
        return
    table = Table(
        "int8 tried", "left in float", "metric", "bytes", title=f"on calibration pictures, fp32 {search.reference:.3f}"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for trial in search.trials:
        mark = " (taken)" if trial is search.best else ""
        table.add_row(trial.method + mark, str(len(trial.floating)), f"{trial.metric:.3f}", f"{trial.bytes:,}")
    console.print(table)


def _seed(manifest: Manifest) -> int:
    """What `tidegate train` split the pictures by; an imported model never saw any."""
    seed = manifest.lineage.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise PackageError(f"model {manifest.name}: its lineage's seed must be a whole number from 0 on, got {seed!r}")
    return seed


def _document(judged: Sequence[Judged]) -> dict[str, object]:
    return {
        "chosen": next(item.figures.name for item in judged if item.chosen),
        "variants": [
            {
                **dataclasses.asdict(item.figures),
                "accepted": item.verdict.accepted,
                "reasons": list(item.verdict.reasons),
            }
            for item in judged
        ],
    }


def _show(console: Console, name: str, judged: Sequence[Judged], metric: str) -> None:
    table = Table("variant", "bytes", metric, "p50 ms", "p95 ms", "peak MB", "gate", title=f"{name}, variants")
    for column in table.columns[1:6]:
        column.justify = "right"
    for item in judged:
        figures = item.figures
        verdict = "[green]ships[/]" if item.chosen else "accepted" if item.verdict.accepted else "[red]refused[/]"
        table.add_row(
            figures.name,
            f"{figures.bytes:,}",
            f"{figures.accuracy:.3f}",
            f"{figures.p50_ms:.2f}",
            f"{figures.p95_ms:.2f}",
            f"{figures.peak_bytes / 1e6:.1f}",
            verdict,
        )
    console.print(table)
    for item in judged:
        console.print(f"[bold]{item.figures.name}[/]: {'; '.join(item.verdict.reasons)}", soft_wrap=True)
