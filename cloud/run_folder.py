"""A run folder: what training or importing leaves behind, and what compress, evaluate and release go on from.

manifest.json, model.onnx (variant fp32), model.<variant>.onnx, golden/, report.json, plots. A run folder is never
seen half-written: whoever makes or changes one works on a draft beside it, which takes its place at the end.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.durable import sync_folder, write_atomic
from models.errors import PackageError, UsageError
from models.manifest import MANIFEST, Manifest, Variant, read_manifest, sha256_file, write_manifest

REPORT = "report.json"
WEIGHTS = "weights.pt"  # of runs that we trained; see cloud/train/weights.py
REFERENCE = "fp32"


def variant_file(variant: str) -> str:
    """The name of a variant's ONNX file: fp32 is `model.onnx`, others `model.<variant>.onnx`."""
    return "model.onnx" if variant == REFERENCE else f"model.{variant}.onnx"


@contextmanager
def new_run(out: Path, *, name: str, force: bool = False) -> Iterator[Path]:
    """An empty draft that becomes `out` when the block ends well, and vanishes when it does not.

    `out` may be absent, empty, or an earlier run of the model `name` (replaced at the end); with `force` a run of
    any model. UsageError for anything else, before the block starts.
    """
    _check_out(out, name, force)
    with _draft(out) as draft:
        yield draft


@contextmanager
def edit_run(run: Path) -> Iterator[Path]:
    """A draft copy of a run folder that takes its place when the block ends well; else `run` stays as it was."""
    read_manifest(run)
    with _draft(run) as draft:
        shutil.copytree(run, draft, dirs_exist_ok=True)
        yield draft


def add_variant(
    run: Path,
    name: str,
    file: str,
    *,
    accuracy: float = math.nan,
    latency_ms: Mapping[str, float] | None = None,
    weights_only: bool = False,
) -> Manifest:
    """Enter `file`, an ONNX file in the folder, into its manifest as the variant `name`; the new manifest."""
    path = run / file
    if not path.is_file():
        raise PackageError(f"{path} is missing: a variant's file must be in the run folder before it is entered")
    variant = Variant(
        name, file, sha256_file(path), path.stat().st_size, accuracy, dict(latency_ms or {}), weights_only
    )
    manifest = read_manifest(run).with_variants(variant)
    write_manifest(run, manifest)
    return manifest


def intact(run: Path, variant: Variant) -> Path:
    """A variant's file in a run folder; PackageError when it is not the one that the manifest describes."""
    path = run / variant.file
    if not path.is_file() or sha256_file(path) != variant.sha256:
        raise PackageError(
            f"{path} is not the file that the manifest describes (sha256 {variant.sha256[:12]}): "
            f"train, import or compress again"
        )
    return path


def read_report(run: Path) -> dict[str, Any]:
    """report.json of a run folder; empty where there is none."""
    path = run / REPORT
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise PackageError(f"{path} cannot be read: {exc}; expected a JSON object") from exc
    if not isinstance(document, dict):
        raise PackageError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document


def write_report(run: Path, entries: Mapping[str, Any]) -> None:
    """Put top-level `entries` into report.json, in place of their namesakes; what else is there stays."""
    document = read_report(run) | without_nan(dict(entries))
    write_atomic(run / REPORT, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())


def without_nan(value: Any) -> Any:
    """JSON knows no NaN: what was not measured is null."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_out(out: Path, name: str, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder that does not exist yet")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise UsageError(f"--out {out} is in use and is no run folder; choose another, or empty it first")
    if not force and (there := read_manifest(out).name) != name:
        raise UsageError(f"--out {out} holds a run of model {there!r}, not {name!r}; choose another, or pass --force")


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    target = target.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as exc:
        raise UsageError(f"cannot write beside {target}: {exc.strerror}; choose another folder") from exc
    try:
        draft.chmod(0o755)  # mkdtemp keeps others out, a run folder does not
        yield draft
        _put_in_place(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put_in_place(draft: Path, target: Path) -> None:
    if not target.exists():
        draft.rename(target)
    else:
        # a folder cannot be renamed over a full one: the old one steps aside for a moment
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
        target.rename(aside / "run")
        try:
            draft.rename(target)
        except OSError:
            (aside / "run").rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(target.parent)
