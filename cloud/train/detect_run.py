"""What a trained detector leaves in its run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from cloud.average_precision import Ranking, Truth, precision_of, rank
from cloud.boxes.confusion import Matched, confusion, match
from cloud.boxes.load import BoxedImages
from cloud.imports.golden_frames import choose_golden
from cloud.plots import draw_confusion, draw_precision_recall, draw_sheet
from cloud.run_folder import REFERENCE, variant_file, write_report
from cloud.train.data_record import enter_data
from cloud.train.detect import BoxedPictures
from cloud.train.detector_export import export_detector
from cloud.train.leave import enter_reference, training_lineage, write_training
from cloud.train.loop import Epoch
from cloud.train.request import Outcome, Request
from models.detections import Detections, UInt8
from models.durable import write_atomic
from models.golden import record_golden, write_golden
from models.manifest import Manifest
from models.runner import Runner

_WORST = 18
_FITTED_FOR_GOLDEN = 100
_GREEN, _RED = (90, 200, 60), (40, 40, 220)  # BGR


def write_run(
    draft: Path, request: Request, net: nn.Module, prepared: BoxedPictures, history: Sequence[Epoch]
) -> Outcome:
    """Export the trained network into `draft` with its manifest, golden frames, report and plots; how right it is,
    measured on the exported graph. The manifest's threshold is the one with the best F1 on what is held out."""
    val, spec, labels = prepared.val, prepared.spec, prepared.labels
    model = draft / variant_file(REFERENCE)
    write_atomic(model, export_detector(net, spec, prepared.strides, len(labels)).SerializeToString())
    lineage = training_lineage(request, {"data_sha256": prepared.train.digest, "val_sha256": val.digest})
    manifest = Manifest(request.name, "detection", labels, spec, threshold=0.0, lineage=lineage)
    found = _look(Runner(model, manifest), val.pixels)
    rankings = rank(val.truths, found)
    precision = precision_of(rankings)
    threshold = best_threshold(rankings)
    manifest = replace(manifest, threshold=threshold)
    runner = Runner(model, manifest)
    accuracy = 0.0 if np.isnan(precision.ap50_95) else precision.ap50_95
    enter_reference(draft, manifest, runner, val.pixels[0], accuracy=accuracy, metric="AP50-95")
    golden, _ = choose_golden(val.pixels[:_FITTED_FOR_GOLDEN], runner)
    write_golden(draft, record_golden(golden, {REFERENCE: runner}))
    parts = {"train": prepared.train.files, "val": val.files}
    write_training(
        draft,
        request,
        net,
        history,
        metric="AP50-95",
        data={
            "pictures": {"train": prepared.train.counts(), "val": val.counts()},
            "class_weights": prepared.class_weights(),
            **enter_data(draft, parts, (*prepared.train.broken, *val.broken)),
        },
    )
    by_class = {labels[class_id]: asdict(score) for class_id, score in precision.by_class.items()}
    matched = [match(truth, seen.where(seen.scores > threshold)) for truth, seen in zip(val.truths, found, strict=True)]
    table = confusion(matched, len(labels))
    evaluation = {
        "metric": "AP50-95",
        "accuracy": accuracy,
        "ap50": None if np.isnan(precision.ap50) else precision.ap50,
        "pictures": len(val),
        "threshold": threshold,
        "by_class": by_class,
        "confusion": table.tolist(),
    }
    write_report(draft, {"evaluation": evaluation})
    _draw(draft, request.name, prepared, rankings, table, accuracy)
    _draw_mistakes(draft / "mistakes.png", val, matched)
    rows = [
        (label, str(row["boxes"]), f"{row['ap50']:.3f}", f"{row['ap50_95']:.3f}") for label, row in by_class.items()
    ]
    rows.append(("all", str(sum(val.counts().values())), f"{precision.ap50:.3f}", f"{precision.ap50_95:.3f}"))
    return Outcome("AP50-95", accuracy, len(val), ("class", "boxes", "AP50", "AP50-95"), tuple(rows))


def best_threshold(rankings: Sequence[Ranking]) -> float:
    """The score above which finds are right, and things found, most often: the best F1 at IoU 0.5, all classes
    together. Between 0.05 and 0.9; 0.25 where nothing is right at any score."""
    scores = np.concatenate([ranking.scores for ranking in rankings] or [np.zeros(0, np.float32)])
    right = np.concatenate([ranking.right[0] for ranking in rankings] or [np.zeros(0, np.bool_)])
    boxes = sum(int(ranking.boxes.sum()) for ranking in rankings)
    if not right.any():
        return 0.25
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(right[order])
    f1 = 2 * true / (np.arange(1, len(order) + 1) + boxes)
    best = int(f1.argmax())
    lowest_kept = float(scores[order[best]])
    highest_left = float(scores[order[best + 1]]) if best + 1 < len(order) else 0.0
    return round(min(0.9, max(0.05, (lowest_kept + highest_left) / 2)), 3)


def _look(runner: Runner, pixels: UInt8) -> list[Detections]:
    return [runner.run_fitted(picture) for picture in pixels]


def _draw(
    draft: Path,
    name: str,
    prepared: BoxedPictures,
    rankings: Sequence[Ranking],
    table: np.ndarray,
    accuracy: float,
) -> None:
    labels = prepared.labels
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        labels[ranking.class_id]: _curve(ranking) for ranking in rankings if ranking.boxes.sum()
    }
    draw_precision_recall(draft / "precision_recall.png", curves, title=f"{name}: AP50-95 {accuracy:.3f}")
    draw_confusion(draft / "confusion.png", table, (*labels, "nothing"), title=f"{name}\nat IoU 0.5 and its threshold")


def _curve(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at IoU 0.5 as the threshold falls."""
    true = np.cumsum(ranking.right[0])
    return true / ranking.boxes.sum(), true / np.arange(1, len(true) + 1)


def _draw_mistakes(path: Path, val: BoxedImages, matched: Sequence[Matched]) -> None:
    """The pictures with the most things missed, made up or taken for another: found boxes red, missed ones green."""
    wrong = np.array([each.mistakes for each in matched])
    worst = [int(index) for index in np.argsort(-wrong, kind="stable")[:_WORST] if wrong[index]]
    captions = [_said(matched[index], val.labels) for index in worst]
    pictures = [_annotated(val.pixels[index], val.truths[index], matched[index]) for index in worst]
    title = (
        f"The {len(worst)} worst of {int((wrong > 0).sum())} pictures with mistakes: truth green, finds red"
        if worst
        else "No mistakes"
    )
    draw_sheet(path, pictures, captions, title=title)


def _said(matched: Matched, labels: Sequence[str]) -> str:
    """The mistakes in a picture, the first few in words."""
    truths, finds = matched.truth.class_ids, matched.found.class_ids
    swapped = [(row, other) for row, other in matched.pairs if truths[row] != finds[other]]
    lines = [f"{labels[truths[row]]} taken for {labels[finds[other]]}" for row, other in swapped]
    lines += [f"{labels[truths[row]]} missed" for row in matched.missed if row not in dict(swapped)]
    taken = {other for _, other in swapped}
    lines += [f"{labels[finds[other]]} made up" for other in matched.made_up if other not in taken]
    return "\n".join([*lines[:2], f"and {len(lines) - 2} more"] if len(lines) > 3 else lines)


def _annotated(picture: UInt8, truth: Truth, matched: Matched) -> UInt8:
    scale = max(1, round(320 / max(picture.shape)))
    drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    boxes = [(truth.xyxy[row], _GREEN) for row in matched.missed]
    boxes += [(matched.found.xyxy[row], _RED) for row in matched.made_up]
    for xyxy, colour in boxes:
        x1, y1, x2, y2 = (round(float(side) * scale) for side in xyxy)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, 2)
    return np.asarray(drawn, np.uint8)
