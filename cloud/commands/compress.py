"""`tidegate compress`: an int8 variant of a run's model, and the gate's verdict on it."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cloud.compress.gate import Limits
from cloud.compress.material import gather
from cloud.compress.run import Judged, decide, make_int8, measure, record
from cloud.run_folder import REFERENCE, edit_run, intact, without_nan
from models.errors import PackageError, UsageError
from models.golden import read_golden
from models.manifest import Manifest, read_manifest

_LIMITS = Limits()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a folder that train or import made")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures as for train (or, for a detector, images/ and labels/ as YOLO has them): train/ to calibrate, "
        "val/ to judge; without them the split that train made",
    )
    parser.add_argument("--val", type=Path, metavar="DIR", help="pictures to judge by, when they are elsewhere")
    parser.add_argument("--calibrate-on", type=int, default=200, metavar="N", help="pictures (default: %(default)s)")
    parser.add_argument(
        "--margin",
        type=float,
        default=_LIMITS.accuracy_margin,
        help="accuracy that a variant may lose against fp32 (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    if args.calibrate_on < 1:
        raise UsageError(f"--calibrate-on must be at least 1, got {args.calibrate_on}")
    try:
        limits = Limits(accuracy_margin=args.margin)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
    manifest = read_manifest(args.run_folder)
    intact(args.run_folder, manifest.variant(REFERENCE))
    read_golden(args.run_folder)  # a run without would only fail after minutes of measuring
    material = gather(manifest, args.data, args.val, seed=_seed(manifest), calibrate_on=args.calibrate_on)
    with edit_run(args.run_folder) as draft:
        with console.status(f"quantising, calibrated on {len(material.calibration)} pictures"):
            make_int8(draft, material)
        with console.status(f"measuring on {material.pictures} pictures, and the time of each"):
            judged = decide(measure(draft, material), limits)
        record(draft, judged, material, limits)
    if args.json:
        print(json.dumps(without_nan({"run": str(args.run_folder), **_document(judged)}), indent=2))
    else:
        _show(console, manifest.name, judged, material.metric)
    return 0


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
    table = Table("variant", "bytes", metric, "p50 ms", "p95 ms", "gate", "why", title=f"{name}, variants")
    for column in table.columns[1:5]:
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
            verdict,
            "; ".join(item.verdict.reasons),
        )
    console.print(table)
