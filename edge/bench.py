"""How fast a model's variants are on this very device, and what memory they take."""

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.loading import here, load, side_by_side
from models import golden
from models.errors import ModelError, PackageError
from models.footprint import peak_memory_bytes
from models.hardware import hardware_class
from models.manifest import Manifest, Variant, read_manifest, sha256_file
from models.runner import Runner, open_runner

_ROUNDS = 300


@dataclass(frozen=True, slots=True)
class VariantBench:
    """A variant's figures; milliseconds of processor time for a fitted picture, on one thread. `differences` from
    its golden answers; `error` where it could not be run at all, and then there are no figures."""

    name: str
    sha256: str
    bytes: int
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    peak_memory_bytes: int = 0
    differences: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """Measured on `pictures` golden frames, with all variants taking turns. `chosen` is what the manifest chose, `runs`
    what a gateway on this device would run; empty if nothing."""

    name: str
    release: int
    hardware: str
    runtime: str
    system: str
    pictures: int
    chosen: str
    runs: str
    variants: tuple[VariantBench, ...]


def bench(folder: Path, *, budget_s: float) -> Bench:
    """Measure every variant of a run folder or package, for about `budget_s` of processor time.

    PackageError where a file is not the one that the manifest describes. Signatures are not asked for: who calls this
    says what is to be run.
    """
    manifest = read_manifest(folder)
    if not manifest.variants:
        raise PackageError(f"{folder} holds no variants to measure")
    for variant in manifest.variants:
        _check(folder, variant)
    answers = golden.read_golden(folder)
    frames = list(answers.frames.values())
    if not frames:
        raise PackageError(f"{folder} holds no golden frames to measure with")
    runners, errors = _open_all(folder, manifest)
    took = side_by_side(runners, frames, rounds=_ROUNDS, budget_s=budget_s)
    return Bench(
        name=manifest.name,
        release=manifest.release,
        hardware=hardware_class(),
        runtime=here().partition(", ")[2],
        system=f"{platform.system()} {platform.machine()}",
        pictures=len(frames),
        chosen=manifest.chosen,
        runs=_would_run(folder, manifest),
        variants=tuple(
            VariantBench(
                variant.name,
                variant.sha256,
                variant.bytes,
                p50_ms=round(took[variant.name].p50_ms, 4),
                p95_ms=round(took[variant.name].p95_ms, 4),
                peak_memory_bytes=peak_memory_bytes(folder, variant.name),
                differences=tuple(golden.replay(answers, variant.name, runners[variant.name])),
            )
            if variant.name in runners
            else VariantBench(variant.name, variant.sha256, variant.bytes, error=errors[variant.name])
            for variant in manifest.variants
        ),
    )


def _open_all(folder: Path, manifest: Manifest) -> tuple[dict[str, Runner], dict[str, str]]:
    runners: dict[str, Runner] = {}
    errors: dict[str, str] = {}
    for variant in manifest.variants:
        try:
            runner = open_runner(folder, manifest, variant.name)
            runner.run_fitted(np.zeros((manifest.input.height, manifest.input.width, 3), np.uint8))
        except ModelError as exc:
            errors[variant.name] = str(exc)
        else:
            runners[variant.name] = runner
    return runners, errors


def _would_run(folder: Path, manifest: Manifest) -> str:
    try:
        return load(folder, manifest).variant
    except ModelError:
        return ""


def _check(folder: Path, variant: Variant) -> None:
    path = folder / variant.file
    if not path.is_file() or sha256_file(path) != variant.sha256:
        raise PackageError(f"{path} is not the file that the manifest describes (sha256 {variant.sha256[:12]})")
