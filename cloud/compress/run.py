"""Compressing a run folder: make the variants, measure them, let the gate choose, and write down why."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from cloud.compress.gate import Limits, Measured, Verdict, choose, judge
from cloud.compress.material import Material
from cloud.compress.quantize import quantize
from cloud.latency import compare_latency
from cloud.plots import draw_variants
from cloud.run_folder import REFERENCE, add_variant, hardware_class, variant_file, write_report
from models.golden import Golden, read_golden, record_golden, write_golden
from models.manifest import read_manifest, write_manifest
from models.runner import Runner, open_runner

INT8 = "int8"


@dataclass(frozen=True, slots=True)
class Judged:
    """A variant with its figures and the gate's verdict; exactly one of a run's is `chosen`."""

    figures: Measured
    verdict: Verdict
    chosen: bool


def make_int8(draft: Path, material: Material) -> None:
    """Put the int8 variant into the draft of a run."""
    file = variant_file(INT8)
    quantize(draft / variant_file(REFERENCE), draft / file, material.calibration)
    add_variant(draft, INT8, file)


def measure(draft: Path, material: Material) -> list[Measured]:
    """The reference and int8, on the same pictures and in the same minutes; the reference comes first."""
    manifest = read_manifest(draft)
    variants = [manifest.variant(REFERENCE), manifest.variant(INT8)]
    scores = {variant.name: material.score(draft / variant.file) for variant in variants}
    runners = {variant.name: open_runner(draft, manifest, variant.name) for variant in variants}
    latency = compare_latency({name: _on_each(runner, material) for name, runner in runners.items()})
    return [
        Measured(
            name=variant.name,
            bytes=variant.bytes,
            accuracy=scores[variant.name][0],
            p50_ms=round(latency[variant.name].p50_ms, 4),
            p95_ms=round(latency[variant.name].p95_ms, 4),
            unanswered=scores[variant.name][1],
        )
        for variant in variants
    ]


def decide(measured: Sequence[Measured], limits: Limits) -> list[Judged]:
    """The gate's verdict on each variant, and the one that ships."""
    reference = measured[0]
    verdicts = [judge(figures, reference, limits) for figures in measured]
    best = choose(measured, verdicts)
    return [
        Judged(figures, verdict, figures.name == best.name) for figures, verdict in zip(measured, verdicts, strict=True)
    ]


def record(draft: Path, judged: Sequence[Judged], material: Material, limits: Limits) -> None:
    """Write figures, verdicts and the choice into the draft's manifest, golden answers, report and plot."""
    for item in judged:
        figures = item.figures
        add_variant(
            draft,
            figures.name,
            variant_file(figures.name),
            accuracy=figures.accuracy,
            latency_ms={hardware_class(): figures.p50_ms},
        )
    chosen = next(item.figures.name for item in judged if item.chosen)
    manifest = replace(read_manifest(draft), chosen=chosen)
    write_manifest(draft, manifest)
    golden = read_golden(draft)
    names = [item.figures.name for item in judged]
    runners = {name: open_runner(draft, manifest, name) for name in names}
    again = record_golden(list(golden.frames.values()), runners)
    write_golden(draft, Golden(again.frames, {**golden.answers, **again.answers}))
    write_report(
        draft,
        {
            "gate": {
                "metric": material.metric,
                "pictures": material.pictures,
                "calibrated_on": len(material.calibration),
                "hardware": hardware_class(),
                "limits": dataclasses.asdict(limits),
                "chosen": chosen,
            },
            "variants": [
                {
                    **dataclasses.asdict(item.figures),
                    "accepted": item.verdict.accepted,
                    "chosen": item.chosen,
                    "reasons": list(item.verdict.reasons),
                }
                for item in judged
            ],
        },
    )
    draw_variants(
        draft / "variants.png",
        names=names,
        kilobytes=[item.figures.bytes / 1000 for item in judged],
        accuracy=[item.figures.accuracy for item in judged],
        p50_ms=[item.figures.p50_ms for item in judged],
        chosen=chosen,
        metric=f"{material.metric}, {material.pictures} pictures",
    )


def _on_each(runner: Runner, material: Material) -> Callable[[], object]:
    """A run of the model on the next sample picture, and the next, round and round."""
    pictures = cycle(material.sample)
    return lambda: runner.run_fitted(next(pictures))
