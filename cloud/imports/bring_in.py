"""From a foreign ONNX file to a run folder."""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.image_folder import PICTURES, read_picture
from cloud.imports.adapted import Adapted, MisfitError, prove
from cloud.imports.adapters import ADAPTERS
from cloud.imports.golden_frames import choose_golden, drawn_pictures
from cloud.imports.preprocess import Preprocess
from cloud.imports.source import Source, read_source
from cloud.lineage import lineage_of_tools
from cloud.run_folder import REFERENCE, add_variant, new_run, variant_file, write_report
from models.detections import UInt8
from models.durable import write_atomic
from models.errors import DataError, ModelError, UsageError
from models.fitting import fit
from models.golden import record_golden, write_golden
from models.hardware import hardware_class
from models.manifest import InputSpec, Manifest, sha256_file, write_manifest
from models.runner import Runner

DRAWN = 100
MAX_LOOKED_AT = 100
_TIMED_RUNS = 15


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made, and the evidence: `compared` detections in `frames` pictures agree with the documented decoding;
    the `golden` frames among them hold `sure` things that the model is sure of."""

    manifest: Manifest
    frames: int
    compared: int
    golden: int
    sure: int
    latency_ms: float


def import_model(
    file: Path,
    *,
    adapter: str,
    labels: Sequence[str],
    name: str,
    out: Path,
    threshold: float | None = None,
    how: Preprocess | None = None,
    pictures: Path | None = None,
    force: bool = False,
) -> Imported:
    """Make the run folder `out` of the model in `file`, with golden frames from the folder `pictures`, or drawn ones.
    `how` pictures are fed to it is known to most adapters; `threshold` is 0.25, and 0 for a classifier.

    Whatever is wrong raises a TidegateError, and `out` is then as it was before.
    """
    if adapter not in ADAPTERS:
        raise UsageError(f"adapter {adapter!r} is not known; there are: {', '.join(ADAPTERS)}")
    source = read_source(file)
    try:
        adapted = ADAPTERS[adapter](source, how)
    except MisfitError as exc:
        raise ModelError(
            f"{file} does not fit adapter {adapter!r}: {exc} (`tidegate import --inspect {file}` tries them all)"
        ) from exc
    if adapted.class_count is not None and len(labels) != adapted.class_count:
        raise ModelError(f"{file} knows {adapted.class_count} classes, but there are {len(labels)} labels")
    if threshold is None:
        # a classifier's best class is its answer, however unsure it is
        threshold = 0.0 if adapted.task == "classification" else 0.25
    manifest = _manifest(name, adapted, labels, threshold, source, adapter)
    frames = list(_frames(pictures, adapted.input))
    with new_run(out, name=name, force=force) as draft:
        model = draft / variant_file(REFERENCE)
        write_atomic(model, adapted.model.SerializeToString())
        write_manifest(draft, manifest)
        runner = Runner(model, manifest)
        compared = prove(adapted, source, runner, frames)
        golden, sure = choose_golden(frames, runner)
        write_golden(draft, record_golden(golden, {REFERENCE: runner}))
        latency_ms = _median_ms(runner, golden)
        manifest = add_variant(draft, REFERENCE, model.name, latency_ms={hardware_class(): latency_ms})
        proof = {"pictures": len(frames), "detections_compared": compared, "drawn": pictures is None}
        write_report(draft, {"import": {"proof": proof, "golden": {"frames": len(golden), "sure_of": sure}}})
    return Imported(manifest, len(frames), compared, len(golden), sure, latency_ms)


def _manifest(
    name: str, adapted: Adapted, labels: Sequence[str], threshold: float, source: Source, adapter: str
) -> Manifest:
    lineage = {
        "file": source.path.name,
        "sha256": sha256_file(source.path),
        "opset": source.opset,
        "adapter": adapter,
    }
    try:
        return Manifest(
            name,
            adapted.task,
            tuple(labels),
            adapted.input,
            threshold,
            REFERENCE,
            lineage={"import": lineage, **lineage_of_tools()},
        )
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _frames(pictures: Path | None, spec: InputSpec) -> Iterable[UInt8]:
    if pictures is None:
        return drawn_pictures(spec, count=DRAWN)
    paths = sorted(path for path in pictures.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not paths:
        raise DataError(f"{pictures} holds no pictures to make golden frames of; expected .jpg or .png files")
    return (fit(read_picture(path), spec)[0] for path in paths[:: -(-len(paths) // MAX_LOOKED_AT)])


def _median_ms(runner: Runner, frames: Sequence[UInt8]) -> float:
    took = []
    for index in range(_TIMED_RUNS):
        start = time.perf_counter()
        runner.run_fitted(frames[index % len(frames)])
        took.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(took), 3)
