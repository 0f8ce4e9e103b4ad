"""From labelled pictures to a run folder: what comes before and after the training loop."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cloud.evaluate import Classified, evaluate_classifier
from cloud.image_folder import Images, find_split, load_images, natural_size
from cloud.latency import compare_latency
from cloud.lineage import lineage_of_tools
from cloud.plots import draw_confusion, draw_learning_curve
from cloud.run_folder import REFERENCE, add_variant, hardware_class, variant_file, write_report
from cloud.train.export import export_classifier
from cloud.train.golden_choice import choose_golden
from cloud.train.loop import Epoch, Settings
from cloud.train.nets import NetConfig, ResidualNet, count_parameters
from models.durable import write_atomic
from models.errors import DataError
from models.golden import record_golden, write_golden
from models.manifest import InputSpec, Manifest, write_manifest
from models.runner import Runner

SHORT_SIDE = 96


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Pictures to train on and to judge by, fitted to `spec`."""

    spec: InputSpec
    train: Images
    val: Images


def prepare(data: Path, val: Path | None, *, size: tuple[int, int] | None, seed: int) -> Prepared:
    """Read the pictures; `size` is (height, width), by default the pictures' own shape at 96 pixels' short side."""
    to_train, to_judge = find_split(data, val, seed=seed)
    height, width = size or natural_size(to_train, short_side=SHORT_SIDE)
    spec = InputSpec(height, width, fit="stretch", interpolation="area")
    prepared = Prepared(spec, load_images(to_train, spec), load_images(to_judge, spec))
    if len(prepared.train) < 2 * len(prepared.train.labels):
        raise DataError(
            f"{to_train.root}: {len(prepared.train)} pictures of {len(prepared.train.labels)} classes are too few "
            f"to train on; expected at least two of each"
        )
    return prepared


def make_net(prepared: Prepared, config: NetConfig, *, seed: int) -> ResidualNet:
    """An untrained network for these classes; the same for the same seed."""
    torch.manual_seed(seed)
    return ResidualNet(len(prepared.train.labels), config)


def write_run(
    draft: Path,
    name: str,
    net: ResidualNet,
    prepared: Prepared,
    *,
    config: NetConfig,
    settings: Settings,
    history: Sequence[Epoch],
) -> Classified:
    """Export the trained network into `draft` with its manifest, golden frames, report and plots; how right it is,
    measured on the exported graph."""
    spec, val = prepared.spec, prepared.val
    model = draft / variant_file(REFERENCE)
    write_atomic(model, export_classifier(net, spec).SerializeToString())
    lineage = {
        "kind": "trained",
        "data_sha256": prepared.train.digest,
        "val_sha256": val.digest,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "net": dataclasses.asdict(config),
        **lineage_of_tools(),
    }
    # every frame gets an answer: the best class of a classifier is its answer however unsure it is
    manifest = Manifest(name, "classification", val.labels, spec, threshold=0.0, lineage=lineage)
    runner = Runner(model, manifest)
    classified = evaluate_classifier(runner, val)
    latency = compare_latency({REFERENCE: lambda: runner.probabilities(val.pixels[0])}, budget_s=1.0)[REFERENCE]
    write_manifest(draft, manifest)
    add_variant(
        draft,
        REFERENCE,
        model.name,
        accuracy=classified.accuracy,
        latency_ms={hardware_class(): round(latency.p50_ms, 4)},
    )
    golden = record_golden([val.pixels[index] for index in choose_golden(val, classified)], {REFERENCE: runner})
    write_golden(draft, golden)
    write_report(
        draft,
        {
            "training": training_report(prepared, net, config, settings, history),
            "evaluation": classified.document(),
            "variants": [
                {
                    "name": REFERENCE,
                    "bytes": model.stat().st_size,
                    "accuracy": classified.accuracy,
                    "p50_ms": round(latency.p50_ms, 4),
                    "p95_ms": round(latency.p95_ms, 4),
                    "accepted": True,
                    "chosen": True,
                    "reasons": ["the reference"],
                }
            ],
        },
    )
    draw_learning_curve(
        draft / "learning_curve.png",
        loss=[epoch.loss for epoch in history],
        val_loss=[epoch.val_loss for epoch in history],
        accuracy=[epoch.accuracy for epoch in history],
        val_accuracy=[epoch.val_accuracy for epoch in history],
    )
    draw_confusion(
        draft / "confusion.png",
        classified.confusion,
        val.labels,
        title=f"{name}\n{classified.accuracy:.3f} of {classified.pictures} pictures",
    )
    return classified


def training_report(
    prepared: Prepared, net: ResidualNet, config: NetConfig, settings: Settings, history: Sequence[Epoch]
) -> dict[str, Any]:
    """What was trained, on what and how it went."""
    return {
        "pictures": {"train": _by_label(prepared.train), "val": _by_label(prepared.val)},
        "broken": [*prepared.train.broken, *prepared.val.broken],
        "parameters": count_parameters(net),
        "net": dataclasses.asdict(config),
        "settings": dataclasses.asdict(settings),
        "seconds": round(math.fsum(epoch.seconds for epoch in history), 1),
        "seconds_per_epoch": round(statistics.median(epoch.seconds for epoch in history), 2),
        "history": [dataclasses.asdict(epoch) for epoch in history],
    }


def _by_label(images: Images) -> dict[str, int]:
    return {label: int((images.class_ids == class_id).sum()) for class_id, label in enumerate(images.labels)}
