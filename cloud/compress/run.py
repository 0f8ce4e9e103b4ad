"""Compressing a run folder: make the variants, measure them, let the gate choose, and write down why."""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from cloud.compress.bias import correct_biases
from cloud.compress.gate import Limits, Measured, Verdict, choose, judge
from cloud.compress.int8 import Search, search_int8
from cloud.compress.material import Material
from cloud.compress.rungs import FINE_TUNED, Tuned
from cloud.compress.scored import Scored, loss_bound
from cloud.compress.weights_only import store_fp16, store_int8
from cloud.lineage import digest_pictures
from cloud.plots import draw_pareto, draw_sensitivity, draw_variants
from cloud.run_folder import REFERENCE, add_variant, variant_file, write_report
from models.footprint import peak_memory_bytes
from models.golden import Golden, disagreements, read_golden, record_golden, write_golden
from models.hardware import hardware_class
from models.latency import compare_latency
from models.manifest import read_manifest, write_manifest
from models.runner import Runner, open_runner

W8, FP16, INT8 = "w8", "fp16", "int8"
LADDER = (W8, FP16, INT8)

_BIAS_PICTURES = 32  # a mean is soon known
_SAME_PLACE, _SAME_SCORE = 0.5, 0.25

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A variant with its figures and the gate's verdict; exactly one of a run's is `chosen`."""

    figures: Measured
    verdict: Verdict
    chosen: bool


def make_variants(
    draft: Path, material: Material, wanted: Sequence[str], limits: Limits, *, until: float, say: Say
) -> Search | None:
    """Put the `wanted` variants into the draft of a run; how int8 was found, if it was wanted. Variants of before that
    are not made anew are removed: they may be of other weights."""
    _forget(draft)
    model = draft / variant_file(REFERENCE)
    if W8 in wanted:
        say("w8: weights as int8")
        store_int8(model, draft / variant_file(W8))
        correct_biases(model, draft / variant_file(W8), material.calibration[:_BIAS_PICTURES])
        add_variant(draft, W8, variant_file(W8), weights_only=True)
    if FP16 in wanted:
        say("fp16: weights as float16")
        store_fp16(model, draft / variant_file(FP16))
        add_variant(draft, FP16, variant_file(FP16))
    if INT8 not in wanted:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        into = draft / variant_file(INT8)
        margin = limits.accuracy_margin
        search = search_int8(model, into, Path(scratch), material, margin=margin, until=until, say=say)
    add_variant(draft, INT8, variant_file(INT8))
    return search


def measure(draft: Path, material: Material, limits: Limits, *, say: Say) -> list[Measured]:
    """Every variant of the draft, on the same pictures and in the same minutes; the reference comes first."""
    manifest = read_manifest(draft)
    variants = sorted(manifest.variants, key=lambda variant: variant.name != REFERENCE)
    golden = read_golden(draft)
    scores: dict[str, Scored] = {}
    runners: dict[str, Runner] = {}
    for variant in variants:
        say(f"{variant.name}: {material.metric} on {material.pictures} pictures")
        file = draft / variant.file
        scores[variant.name] = material.judge(material.open(file, weights_only=variant.weights_only))
        runners[variant.name] = open_runner(draft, manifest, variant.name)
    say("latency of all, taking turns")
    latency = compare_latency({name: _on_each(runner, material) for name, runner in runners.items()})
    measured = []
    for variant in variants:
        say(f"{variant.name}: memory and doubt")
        scored = scores[variant.name]
        differences, decisions = _differences(golden, runners[REFERENCE], runners[variant.name])
        measured.append(
            Measured(
                name=variant.name,
                bytes=variant.bytes,
                accuracy=scored.value,
                p50_ms=round(latency[variant.name].p50_ms, 4),
                p95_ms=round(latency[variant.name].p95_ms, 4),
                unanswered=scored.unanswered,
                pictures=scored.pictures,
                loss_bound=round(loss_bound(scored, scores[REFERENCE], limits.confidence), 6),
                differences=differences,
                decisions=decisions,
                peak_bytes=peak_memory_bytes(draft, variant.name),
            )
        )
    return measured


def decide(measured: Sequence[Measured], limits: Limits) -> list[Judged]:
    """The gate's verdict on each variant, and the one that ships."""
    reference = measured[0]
    verdicts = [judge(figures, reference, limits) for figures in measured]
    best = choose(measured, verdicts)
    return [
        Judged(figures, verdict, figures.name == best.name) for figures, verdict in zip(measured, verdicts, strict=True)
    ]


def record(
    draft: Path,
    judged: Sequence[Judged],
    material: Material,
    limits: Limits,
    search: Search | None,
    tuned: Tuned | None = None,
) -> None:
    """Write figures, verdicts and the choice into the draft's manifest, golden answers, report and plots."""
    manifest = read_manifest(draft)
    by_name = {item.figures.name: item for item in judged}
    for variant in manifest.variants:
        figures = by_name[variant.name].figures
        latency = {**variant.latency_ms, hardware_class(): figures.p50_ms}
        manifest = manifest.with_variants(replace(variant, accuracy=figures.accuracy, latency_ms=latency))
    chosen = next(item.figures.name for item in judged if item.chosen)
    gate = {
        "metric": material.metric,
        "pictures": material.pictures,
        "calibrated_on": len(material.calibration),
        "calibration_sha256": digest_pictures(material.calibration),
        "hardware": hardware_class(),
        "limits": dataclasses.asdict(limits),
        "chosen": chosen,
    }
    verdicts = {
        name: {"accepted": item.verdict.accepted, "reasons": list(item.verdict.reasons)}
        for name, item in by_name.items()
    }
    fallback = W8 if W8 in by_name and by_name[W8].verdict.accepted else None
    manifest = replace(manifest, chosen=chosen, fallback=fallback, gate={**gate, "variants": verdicts})
    write_manifest(draft, manifest)
    golden = read_golden(draft)
    again = record_golden(list(golden.frames.values()), {name: open_runner(draft, manifest, name) for name in by_name})
    write_golden(draft, Golden(again.frames, again.answers))
    variants = [
        {
            **dataclasses.asdict(item.figures),
            "accepted": item.verdict.accepted,
            "chosen": item.chosen,
            "reasons": list(item.verdict.reasons),
        }
        for item in judged
    ]
    fine_tuned = None if tuned is None else dataclasses.asdict(tuned)
    write_report(draft, {"gate": gate, "variants": variants, "int8": _search_report(search), FINE_TUNED: fine_tuned})
    _draw(draft, judged, material, chosen, search)


def _draw(draft: Path, judged: Sequence[Judged], material: Material, chosen: str, search: Search | None) -> None:
    figures = [item.figures for item in judged]
    metric = f"{material.metric}, {material.pictures} pictures"
    draw_variants(
        draft / "variants.png",
        names=[item.name for item in figures],
        kilobytes=[item.bytes / 1000 for item in figures],
        accuracy=[item.accuracy for item in figures],
        p50_ms=[item.p50_ms for item in figures],
        chosen=chosen,
        metric=metric,
    )
    draw_pareto(
        draft / "pareto.png",
        names=[item.name for item in figures],
        kilobytes=[item.bytes / 1000 for item in figures],
        accuracy=[item.accuracy for item in figures],
        p50_ms=[item.p50_ms for item in figures],
        accepted=[item.verdict.accepted for item in judged],
        chosen=chosen,
        metric=metric,
    )
    if search is not None and search.sensitivity:
        left = set(search.best.floating if search.best else ())
        draw_sensitivity(
            draft / "sensitivity.png",
            nodes=[item.node for item in search.sensitivity],
            errors=[item.error for item in search.sensitivity],
            floating=[item.node in left for item in search.sensitivity],
        )


def _search_report(search: Search | None) -> dict[str, Any] | None:
    return None if search is None else dataclasses.asdict(search)


def _differences(golden: Golden, reference: Runner, candidate: Runner) -> tuple[tuple[str, ...], int]:
    """Where the candidate decides otherwise than the reference on golden frames, and among how many decisions."""
    differences: list[str] = []
    decisions = 0
    for name, frame in golden.frames.items():
        expected, got = reference.run_fitted(frame), candidate.run_fitted(frame)
        # far looser than between two machines: here rounding is the point, and the metric judges how much
        found = disagreements(
            expected, got, threshold=reference.threshold, min_iou=_SAME_PLACE, max_score_difference=_SAME_SCORE
        )
        differences += [f"{name}: {difference}" for difference in found]
        decisions += int((expected.scores > reference.threshold + _SAME_SCORE).sum())
    return tuple(differences), decisions


def _forget(draft: Path) -> None:
    manifest = read_manifest(draft)
    for variant in manifest.variants:
        if variant.name != REFERENCE:
            (draft / variant.file).unlink(missing_ok=True)
    kept = manifest.variant(REFERENCE)
    lineage = {key: value for key, value in manifest.lineage.items() if key != FINE_TUNED}
    write_manifest(draft, replace(manifest, variants=(kept,), chosen=REFERENCE, fallback=None, lineage=lineage))


def _on_each(runner: Runner, material: Material) -> Callable[[], object]:
    """A run of the model on the next sample picture, and the next, round and round."""
    pictures = cycle(material.sample)
    return lambda: runner.run_fitted(next(pictures))
