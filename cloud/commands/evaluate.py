"""`tidegate evaluate`: how right a model is on labelled pictures, by the same arithmetic as on a gateway."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cloud.anomaly.goods import find_judged
from cloud.anomaly.judged import Judged, judge_anomalies, note, to_judge_by
from cloud.average_precision import AveragePrecision, average_precision
from cloud.boxes.boxed import BoxFolder
from cloud.boxes.boxed import with_labels as with_box_labels
from cloud.boxes.find import find_boxed
from cloud.boxes.load import without_broken
from cloud.evaluate import Classified, evaluate_classifier, look_for_boxes, without_threshold
from cloud.image_folder import Images, find_validation, load_images, with_labels
from cloud.run_folder import intact, without_nan
from cloud.train.data_record import read_data_record
from models.manifest import Manifest, read_manifest
from models.runner import Runner


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="pictures, one sub-folder a class, or with boxes for a detector; of a split its val part (for an anomaly "
        "detector val/ and test/)",
    )
    parser.add_argument("--variant", help="which of the model's files (default: the one that ships)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    manifest = read_manifest(args.run_folder)
    variant = manifest.variant(args.variant)
    model = intact(args.run_folder, variant)
    head = {"run": str(args.run_folder), "name": manifest.name, "variant": variant.name}
    if manifest.task == "classification":
        folder = with_labels(find_validation(args.data), manifest.labels)
        runner = Runner(model, manifest, weights_only=variant.weights_only)
        classified = evaluate_classifier(runner, load_images(folder, manifest.input))
        document, table = classified.document(), classifier_table(classified)
    elif manifest.task == "anomaly":
        runner = Runner(model, manifest, weights_only=variant.weights_only)
        images = _not_learned_from(load_images(find_judged(args.data), manifest.input), args.run_folder)
        judged = judge_anomalies(runner, to_judge_by(images))
        document, table = judged.document(), _anomaly_table(judged)
    else:
        boxed = without_broken(with_box_labels(_to_judge_by(args.data, manifest), manifest.labels))
        runner = Runner(model, without_threshold(manifest), weights_only=variant.weights_only)
        precision = average_precision(*look_for_boxes(runner, boxed))
        document = _detector_document(precision, manifest, len(boxed))
        table = _detector_table(precision, manifest)
    if args.json:
        print(json.dumps(without_nan(head | document), indent=2))
    else:
        table.title = f"{manifest.name}, variant {variant.name}, on {document['pictures']} pictures"
        Console().print(table)
    return 0


def _to_judge_by(data: Path, manifest: Manifest) -> BoxFolder:
    """All pictures with boxes; of a folder with a split of its own, those that a model of ours has not seen."""
    found = find_boxed(data)
    held_out = [index for index, picture in enumerate(found.pictures) if picture.part == "val"]
    return found.subset(held_out) if held_out and manifest.lineage.get("kind") == "trained" else found


def classifier_table(classified: Classified) -> Table:
    """A row a class, and one for all."""
    table = Table("class", "pictures", "recognised", "precision")
    for column in table.columns[1:]:
        column.justify = "right"
    for label, score in classified.by_class().items():
        table.add_row(escape(label), str(score.pictures), f"{score.recall:.3f}", f"{score.precision:.3f}")
    table.add_section()
    table.add_row("all", str(classified.pictures), f"{classified.accuracy:.3f}", "")
    return table


def _not_learned_from(images: Images, run: Path) -> Images:
    """Without the good pictures that the run was trained on, in a folder that is not split."""
    learned = {file["sha256"] for file in read_data_record(run).get("train", [])}
    whole = [file for file in images.files if file.pixels_sha256]
    kept = [index for index, file in enumerate(whole) if file.sha256 not in learned]
    return dataclasses.replace(images, pixels=images.pixels[kept], class_ids=images.class_ids[kept])


def _anomaly_table(judged: Judged) -> Table:
    columns, *rows = judged.table()
    table = Table(*columns, caption=note(judged.labels))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row, end_section=row is rows[-2])
    return table


def _detector_document(precision: AveragePrecision, manifest: Manifest, pictures: int) -> dict[str, Any]:
    return {
        "metric": "AP50-95",
        "accuracy": precision.ap50_95,
        "ap50": precision.ap50,
        "pictures": pictures,
        "by_class": {
            manifest.labels[class_id]: dataclasses.asdict(score) for class_id, score in precision.by_class.items()
        },
    }


def _detector_table(precision: AveragePrecision, manifest: Manifest) -> Table:
    table = Table("class", "boxes", "AP50", "AP50-95")
    for column in table.columns[1:]:
        column.justify = "right"
    for class_id, score in precision.by_class.items():
        table.add_row(escape(manifest.labels[class_id]), str(score.boxes), f"{score.ap50:.3f}", f"{score.ap50_95:.3f}")
    table.add_section()
    boxes = sum(score.boxes for score in precision.by_class.values())
    table.add_row("all", str(boxes), f"{precision.ap50:.3f}", f"{precision.ap50_95:.3f}")
    return table
