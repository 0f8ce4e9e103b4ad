"""`tidegate import`: turn a foreign ONNX file into a run folder with a canonical model."""

import argparse
import dataclasses
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cloud.imports.adapters import ADAPTERS, ASK_FOR_FEED
from cloud.imports.bring_in import Imported, import_model
from cloud.imports.inspect import Inspection, inspect
from cloud.imports.labels import read_labels
from cloud.imports.memory import memory_limit
from cloud.imports.preprocess import PRESETS, Preprocess
from cloud.imports.source import read_source
from models.errors import ModelError, UsageError

MAX_MEMORY_BYTES = 8 << 30


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="an ONNX file from anywhere")
    parser.add_argument("--inspect", action="store_true", help="only say what is in FILE and which adapter takes it")
    parser.add_argument("--adapter", choices=sorted(ADAPTERS), help="the kind of model that FILE holds")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line, in class order")
    parser.add_argument("--name", help="the model's name from now on: lower-case letters, digits, dashes")
    parser.add_argument("--out", type=Path, metavar="RUN", help="the run folder to make")
    parser.add_argument(
        "--threshold",
        type=float,
        help="gateways report what scores above this (default: 0.25, and 0 for a classifier)",
    )
    feed = parser.add_argument_group("what the model is fed, where its adapter can't know or it was trained otherwise")
    feed.add_argument("--preprocess", choices=list(PRESETS), help="a usual way; the flags below change it in parts")
    feed.add_argument("--channels", choices=("bgr", "rgb"))
    feed.add_argument("--mean", type=_three, metavar="A,B,C", help="subtracted from pixels 0..255, in channel order")
    feed.add_argument("--std", type=_three, metavar="A,B,C", help="what they are divided by then")
    feed.add_argument("--fit", choices=("letterbox", "letterbox-centre", "stretch", "crop"))
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="DIR",
        help="pictures to prove the model on and to choose golden frames from (default: drawn ones)",
    )
    parser.add_argument("--force", action="store_true", help="replace --out even if it holds a run of another model")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    try:
        with memory_limit(MAX_MEMORY_BYTES):
            return _run(args)
    except MemoryError as exc:
        raise ModelError(f"{args.file} needs more than {MAX_MEMORY_BYTES:,} bytes of memory") from exc


def _run(args: argparse.Namespace) -> int:
    if args.inspect:
        found = inspect(read_source(args.file))
        if args.json:
            print(json.dumps(dataclasses.asdict(found), indent=2))
        else:
            _show_inspection(found)
        return 0
    missing = [flag for flag in ("adapter", "labels", "name", "out") if getattr(args, flag) is None]
    if missing:
        raise UsageError(f"--{missing[0]} is missing; `tidegate import --inspect {args.file}` shows what FILE holds")
    how = _preprocess(args)
    if how is None and args.adapter in ASK_FOR_FEED:
        raise UsageError(
            f"--preprocess is missing: {args.file} does not tell what it was trained on; choose one of "
            f"{', '.join(PRESETS)}, or say --channels, --mean, --std, --fit"
        )
    imported = import_model(
        args.file,
        adapter=args.adapter,
        labels=read_labels(args.labels),
        name=args.name,
        out=args.out,
        threshold=args.threshold,
        how=how,
        pictures=args.golden,
        force=args.force,
    )
    if imported.sure == 0:
        Console(stderr=True).print(
            "The golden frames show nothing that this model is sure of, so they would not tell a broken one: "
            "give pictures of what it is for with --golden DIR."
        )
    if args.json:
        print(json.dumps(_document(imported, args.out), indent=2))
    else:
        _show_import(imported, args.out)
    return 0


def _preprocess(args: argparse.Namespace) -> Preprocess | None:
    """What the flags say; None where there are none, since most adapters know."""
    flags = {name: getattr(args, name) for name in ("channels", "mean", "std", "fit")}
    parts = {name: value for name, value in flags.items() if value is not None}
    if args.preprocess is None and not parts:
        return None
    try:
        return dataclasses.replace(PRESETS[args.preprocess or "none"], **parts)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _three(text: str) -> tuple[float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(f"expected one number, or three with commas between; got {text!r}")
    return numbers[0], numbers[1], numbers[2]


def _document(imported: Imported, out: Path) -> dict[str, object]:
    manifest = imported.manifest
    variant = manifest.variant()
    return {
        "run": str(out),
        "name": manifest.name,
        "task": manifest.task,
        "labels": len(manifest.labels),
        "input": dataclasses.asdict(manifest.input),
        "bytes": variant.bytes,
        "latency_ms": imported.latency_ms,
        "proof": {"pictures": imported.frames, "detections_compared": imported.compared},
        "golden": {"frames": imported.golden, "sure_of": imported.sure},
    }


def _show_import(imported: Imported, out: Path) -> None:
    manifest = imported.manifest
    spec, variant = manifest.input, manifest.variant()
    table = Table(show_header=False, title=f"{manifest.name} in {out}")
    table.add_row("task", f"{manifest.task}, {len(manifest.labels)} labels")
    table.add_row("input", f"{spec.width} x {spec.height}, {spec.fit}, {spec.interpolation}")
    table.add_row("size", f"{variant.bytes:,} bytes")
    table.add_row("latency", f"{imported.latency_ms:.1f} ms on one thread here")
    table.add_row("proof", f"{imported.compared} detections in {imported.frames} pictures as documented")
    table.add_row("golden", f"{imported.golden} frames with {imported.sure} sure detections")
    Console().print(table)


def _show_inspection(found: Inspection) -> None:
    table = Table(show_header=False, title=_plain(found.file))
    table.add_row("file", f"{found.bytes:,} bytes, opset {found.opset}, IR {found.ir_version}")
    table.add_row("made by", _plain(found.producer) or "-")
    table.add_row("inputs", _plain("\n".join(found.inputs)) or "none")
    table.add_row("outputs", _plain("\n".join(found.outputs)) or "none")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.weight_types.items())
    table.add_row("weights", f"{found.parameters:,} ({kinds})" if kinds else "none")
    table.add_row("operators", _plain(", ".join(f"{count} {kind}" for kind, count in found.operators.items())))
    for oddity in found.oddities:
        table.add_row("note", _plain(oddity))
    for name, reason in found.adapters.items():
        table.add_row(f"adapter {name}", _plain(reason) or "[green]fits[/]")
    console = Console()
    console.print(table)
    if "--preprocess" in found.next:
        console.print(f"PRESET is what its trainer fed it: {', '.join(PRESETS)} (or --channels, --mean, --std, --fit).")
    if found.next:
        console.print(f"next: {_plain(found.next)}", soft_wrap=True, highlight=False)
    else:
        console.print("No adapter fits; docs/adapters.md shows how to write one.")


def _plain(text: str) -> str:
    """Text from a file can't colour the screen, or move about on it."""
    return escape("".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text))
