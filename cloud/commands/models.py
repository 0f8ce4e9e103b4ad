"""`tidegate models`: what there is in the registry, what a model is, and what two of them differ in."""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.table import Table

from cloud.compress.elsewhere import enter_latency, read_bench
from cloud.model_card import model_card
from cloud.model_diff import FileChanges, ModelDiff, diff_models
from cloud.model_record import find_record
from cloud.run_folder import edit_run, without_nan
from greengrass.objects import open_store
from greengrass.registry import ReleaseId, model_names, read_release, releases
from models.errors import UsageError
from models.manifest import Manifest, manifest_bytes

_LISTED = 10
_WIDE = 120  # characters


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    which = "NAME@RELEASE in the registry, or a run folder"
    found = actions.add_parser("list", help="all models and releases in the registry")
    show = actions.add_parser("show", help="the model card of one")
    show.add_argument("model", metavar="MODEL", help=which)
    diff = actions.add_parser("diff", help="what two differ in")
    diff.add_argument("before", metavar="A", help=which)
    diff.add_argument("after", metavar="B", help=which)
    latency = actions.add_parser("latency", help="enter what a device measured, and let the gate judge for its kind")
    latency.add_argument("run_folder", type=Path, metavar="RUN", help="the run folder that the device measured")
    latency.add_argument(
        "file", type=Path, metavar="FILE", help="what `tidegate gateway bench RUN --json` printed there"
    )
    for action in (found, show, diff):
        action.add_argument(
            "--registry",
            metavar="URI",
            default=os.environ.get("TIDEGATE_REGISTRY"),
            help="s3://BUCKET/PREFIX or a folder (default: $TIDEGATE_REGISTRY)",
        )
    for action in (found, show, diff, latency):
        action.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    actions = {"list": _list, "show": _show, "diff": _diff, "latency": _latency}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    if args.registry is None:
        raise UsageError("which registry? give --registry URI or set TIDEGATE_REGISTRY")
    store = open_store(args.registry)
    found = [
        read_release(store, ReleaseId(name, number)) for name in model_names(store) for number in releases(store, name)
    ]
    if args.json:
        print(json.dumps(without_nan([_entry(manifest) for manifest in found]), indent=2))
        return 0
    if not found:
        Console().print(f"no releases in {args.registry}")
        return 0
    table = Table("release", "task", "labels", "chosen", "fallback", "bytes", "accuracy", "floor", "made")
    for manifest in found:
        row = _entry(manifest)
        accuracy = row["accuracy"]
        table.add_row(
            row["release"],
            row["task"],
            str(row["labels"]),
            row["chosen"],
            row["fallback"] or "-",
            f"{row['bytes']:,}",
            f"{accuracy:.3f}" if accuracy == accuracy else "-",
            str(row["floor"]),
            (row["made_at"] or "-")[:10],
        )
    console = Console()
    if not console.is_terminal:  # a log has no width of its own, and names are what it is read for
        console = Console(width=_WIDE)
    console.print(table)
    return 0


def _show(args: argparse.Namespace) -> int:
    record = find_record(args.model, args.registry)
    if args.json:
        print(manifest_bytes(record.manifest).decode(), end="")
        return 0
    card = model_card(record.manifest, record.report)
    console = Console()
    # a card in a pipe stays Markdown
    if console.is_terminal:
        console.print(Markdown(card))
    else:
        print(card, end="")
    return 0


def _diff(args: argparse.Namespace) -> int:
    found = diff_models(find_record(args.before, args.registry), find_record(args.after, args.registry))
    if args.json:
        print(json.dumps(without_nan(dataclasses.asdict(found)), indent=2))
    else:
        _show_diff(Console(), found)
    return 0


def _latency(args: argparse.Namespace) -> int:
    benched = read_bench(args.file)
    with edit_run(args.run_folder) as draft:
        judged = enter_latency(draft, benched)
    if args.json:
        verdicts = [
            {"name": item.figures.name, "p50_ms": item.figures.p50_ms, "chosen": item.chosen}
            | dataclasses.asdict(item.verdict)
            for item in judged
        ]
        print(json.dumps({"hardware": benched.hardware, "variants": verdicts}, indent=2))
        return 0
    if not judged:
        print(
            f"entered for {benched.hardware}; no gate to ask again (`tidegate compress` makes variants and judges them)"
        )
        return 0
    table = Table("variant", "p50 ms", "gate", "why", title=f"for {benched.hardware}")
    for item in judged:
        verdict = "[green]ships[/]" if item.chosen else "accepted" if item.verdict.accepted else "[red]refused[/]"
        table.add_row(item.figures.name, f"{item.figures.p50_ms:.2f}", verdict, "; ".join(item.verdict.reasons))
    Console().print(table)
    return 0


def _show_diff(console: Console, found: ModelDiff) -> None:
    if not found.changes and not (found.files and any(dataclasses.astuple(found.files))):
        console.print(f"{found.before} and {found.after} differ in nothing that is written down")
        return
    table = Table("", "what", escape(found.before), escape(found.after))
    part = ""
    for change in found.changes:
        if change.part != part:
            table.add_section()
        table.add_row(
            change.part if change.part != part else "", change.what, _said(change.before), _said(change.after)
        )
        part = change.part
    console.print(table)
    if found.files is None:
        console.print("data: one of the two has no list of its files (data.json)")
    else:
        _show_files(console, found.files)


def _show_files(console: Console, files: FileChanges) -> None:
    for field in dataclasses.fields(files):
        names: tuple[str, ...] = getattr(files, field.name)
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            console.print(
                f"data files {field.name}: {len(names)} ({', '.join(names[:_LISTED])}{more})",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def _entry(manifest: Manifest) -> dict[str, Any]:
    variant = manifest.variant()
    return {
        "release": f"{manifest.name}@{manifest.release}",
        "name": manifest.name,
        "number": manifest.release,
        "task": manifest.task,
        "labels": len(manifest.labels),
        "chosen": variant.name,
        "fallback": manifest.fallback,
        "bytes": sum(shipped.bytes for shipped in manifest.shipped),
        "accuracy": variant.accuracy,
        "floor": manifest.floor,
        "made_at": manifest.lineage.get("made_at"),
    }


def _said(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
