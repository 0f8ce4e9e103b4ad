"""What every training leaves in its run folder, whatever the task: lineage, weights, the reference variant, curves."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from cloud.lineage import lineage_of_tools
from cloud.plots import draw_learning_curve
from cloud.run_folder import REFERENCE, add_variant, variant_file, write_report
from cloud.train.loop import Epoch, kept
from cloud.train.nets import count_parameters
from cloud.train.request import Request
from cloud.train.weights import Weights, save_weights
from models.detections import UInt8
from models.hardware import hardware_class
from models.latency import compare_latency
from models.manifest import Manifest, read_manifest, write_manifest
from models.runner import Runner


def training_lineage(request: Request, digests: Mapping[str, str]) -> dict[str, Any]:
    """Where a trained model comes from: data `digests`, seed, settings, network, parent and teacher, tools."""
    return {
        "kind": "trained",
        **digests,
        "seed": request.settings.seed,
        "epochs": request.settings.epochs,
        "net": dataclasses.asdict(request.net),
        **({"parent": request.parent.name} if request.parent else {}),
        **({"teacher": request.teacher.name} if request.teacher else {}),
        **lineage_of_tools(),
    }


def enter_reference(
    draft: Path, manifest: Manifest, runner: Runner, picture: UInt8, *, accuracy: float, metric: str
) -> None:
    """Write the manifest into `draft` with the exported graph as its variant fp32, timed on a fitted picture."""
    model = draft / variant_file(REFERENCE)
    latency = compare_latency({REFERENCE: lambda: runner.run_fitted(picture)}, budget_s=1.0)[REFERENCE]
    p50_ms, p95_ms = round(latency.p50_ms, 4), round(latency.p95_ms, 4)
    write_manifest(draft, manifest)
    add_variant(draft, REFERENCE, model.name, accuracy=accuracy, latency_ms={hardware_class(): p50_ms})
    entry = {
        "name": REFERENCE,
        "bytes": model.stat().st_size,
        "accuracy": accuracy,
        "metric": metric,
        "p50_ms": p50_ms,
        "p95_ms": p95_ms,
        "accepted": True,
        "chosen": True,
        "reasons": ["the reference"],
    }
    write_report(draft, {"variants": [entry]})


def write_training(
    draft: Path, request: Request, net: nn.Module, history: Sequence[Epoch], *, metric: str, data: Mapping[str, Any]
) -> None:
    """Write weights.pt, the learning curve and the report's part about the training (with what `data` says of what
    was learned from)."""
    weights = Weights(request.task, dataclasses.asdict(request.net), read_manifest(draft).labels, net.state_dict())
    save_weights(draft, weights)
    report = {
        **data,
        "parameters": count_parameters(net),
        "net": dataclasses.asdict(request.net),
        "settings": dataclasses.asdict(request.settings),
        "metric": metric,
        "kept_epoch": kept(history, request.settings.patience).number,
        "seconds": round(math.fsum(epoch.seconds for epoch in history), 1),
        "seconds_per_epoch": round(statistics.median(epoch.seconds for epoch in history), 2),
        "history": [dataclasses.asdict(epoch) for epoch in history],
    }
    write_report(draft, {"training": report})
    draw_learning_curve(
        draft / "learning_curve.png",
        loss=[epoch.loss for epoch in history],
        val_loss=[epoch.val_loss for epoch in history],
        figure=[epoch.figure for epoch in history],
        val_metric=[epoch.val_metric for epoch in history],
        metric=metric,
    )
