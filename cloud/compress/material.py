"""What variants are calibrated on, chosen by and judged by: pictures from a user's folder, for any task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.anomaly.goods import GOOD, find_goods, with_goods
from cloud.anomaly.judged import judge_anomalies, metric_of, pairs_won, to_judge_by
from cloud.average_precision import rank
from cloud.boxes.boxed import BoxFolder
from cloud.boxes.boxed import with_labels as with_box_labels
from cloud.boxes.find import find_boxed, is_boxed, split_boxed
from cloud.boxes.load import without_broken
from cloud.compress.scored import HitOrMiss, Ranked, Scored, Separated
from cloud.evaluate import evaluate_classifier, look_for_boxes, without_threshold
from cloud.image_folder import PICTURES, Images, find_split, load_images, read_picture, with_labels
from cloud.run_folder import REFERENCE
from models.detections import UInt8
from models.errors import DataError
from models.fitting import fit
from models.golden import disagreements
from models.manifest import Manifest
from models.runner import Runner, open_runner

SAMPLES = 16  # pictures that latency is measured on
AGREEMENT = "agreement with fp32"

Score = Callable[[Runner], Scored]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """`calibration` and `sample`: fitted pictures, uint8 (H, W, 3). `trial` scores a variant on the pictures that it
    was calibrated on, to choose among candidates; `judge` on others, to decide. `manifest` is the model's, without its
    threshold where the metric wants all scores."""

    metric: str
    pictures: int
    calibration: Sequence[UInt8]
    sample: Sequence[UInt8]
    trial: Score
    judge: Score
    manifest: Manifest

    def open(self, file: Path, *, weights_only: bool = False) -> Runner:
        """A runner on a variant's file, as `trial` and `judge` want it."""
        return Runner(file, self.manifest, weights_only=weights_only)


def gather(run: Path, manifest: Manifest, data: Path, val: Path | None, *, seed: int, calibrate_on: int) -> Material:
    """Pictures of `data` (and `val`) for this model; the same split as `tidegate train` makes with the same seed.

    A folder without labels will do too: variants are then judged by how often they decide as fp32 does.
    """
    if manifest.task == "anomaly":
        return _good_and_wrong(run, manifest, data, val, seed, calibrate_on)
    if manifest.task == "detection" and is_boxed(data):
        return _boxed(manifest, data, val, seed, calibrate_on)
    if _holds_bare_pictures(data):
        return _unlabelled(run, manifest, data, val, calibrate_on)
    if manifest.task == "detection":
        raise DataError(
            f"{data} tells of no boxes; a detector is compressed on pictures with boxes, as YOLO, COCO or Pascal VOC "
            f"lay them out, or on pictures alone"
        )
    return _labelled(manifest, data, val, seed, calibrate_on)


def _labelled(manifest: Manifest, data: Path, val: Path | None, seed: int, calibrate_on: int) -> Material:
    to_train, to_judge = find_split(data, val, seed=seed)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(to_train))[:calibrate_on].tolist()
    calibration = load_images(with_labels(to_train, manifest.labels).subset(chosen), manifest.input)
    judged = load_images(with_labels(to_judge, manifest.labels), manifest.input)

    def score(images: Images) -> Score:
        def on(runner: Runner) -> Scored:
            classified = evaluate_classifier(runner, images)
            return HitOrMiss(classified.answers == images.class_ids, classified.unanswered)

        return on

    spread = judged.pixels[:: max(1, len(judged) // SAMPLES)][:SAMPLES]
    return Material(
        "top-1",
        len(judged),
        list(calibration.pixels),
        list(spread),
        trial=score(calibration),
        judge=score(judged),
        manifest=manifest,
    )


def _boxed(manifest: Manifest, data: Path, val: Path | None, seed: int, calibrate_on: int) -> Material:
    if val is not None or manifest.lineage.get("kind") == "trained":
        to_calibrate, to_judge = split_boxed(data, val, seed=seed)
    else:  # it has seen none of them: every second picture is calibrated on and the others judge
        found = find_boxed(data)
        to_calibrate, to_judge = found.subset(range(0, len(found), 2)), found.subset(range(1, len(found), 2))
    to_calibrate, to_judge = (with_box_labels(part, manifest.labels) for part in (to_calibrate, to_judge))
    # as many as asked for, from all of them: neighbours in a folder are often alike
    step = max(1, len(to_calibrate) // calibrate_on)
    to_calibrate = to_calibrate.subset(range(0, len(to_calibrate), step)[:calibrate_on])
    if not len(to_calibrate) or not len(to_judge):
        raise DataError(f"{data} holds too few pictures; expected at least two, or more in --val")
    to_calibrate, to_judge = without_broken(to_calibrate), without_broken(to_judge)

    def score(folder: BoxFolder) -> Score:
        def on(runner: Runner) -> Scored:
            return Ranked(rank(*look_for_boxes(runner, folder)), len(folder))

        return on

    fitted = [fit(read_picture(picture.path), manifest.input)[0] for picture in to_calibrate.pictures]
    return Material(
        "AP50-95",
        len(to_judge),
        fitted,
        fitted[:SAMPLES],
        trial=score(to_calibrate),
        judge=score(to_judge),
        manifest=without_threshold(manifest),
    )


def _good_and_wrong(
    run: Path, manifest: Manifest, data: Path, val: Path | None, seed: int, calibrate_on: int
) -> Material:
    """Candidates are chosen by how often they decide as fp32 does on pictures to train on, with and without drawn
    defects: AUROC alone would not see scores that moved across the boundary together."""
    found = find_goods(data, val, seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(found.train))[: max(2, calibrate_on // 2)].tolist()
    calibration = list(to_judge_by(load_images(found.train.subset(chosen), manifest.input)).pixels)
    held_out = found.held_out if found.judged is None else with_goods(found.judged, found.held_out)
    judged = to_judge_by(load_images(held_out, manifest.input))

    def score(runner: Runner) -> Scored:
        answers = judge_anomalies(runner, judged)
        return Separated(pairs_won(answers.of(GOOD), answers.wrong[answers.class_ids > 0]))

    spread = judged.pixels[:: max(1, len(judged) // SAMPLES)][:SAMPLES]
    return Material(
        metric_of(judged.labels),
        len(judged),
        calibration,
        list(spread),
        trial=_same_answers(run, manifest, calibration),
        judge=score,
        manifest=manifest,
    )


def _unlabelled(run: Path, manifest: Manifest, data: Path, val: Path | None, calibrate_on: int) -> Material:
    paths = _bare_pictures(data)
    to_calibrate, to_judge = (paths, _bare_pictures(val)) if val is not None else (paths[::2], paths[1::2])
    if not to_calibrate or not to_judge:
        raise DataError(f"{data} holds {len(paths)} pictures; expected at least two, or more in --val")
    calibration, judged = (
        [fit(read_picture(path), manifest.input)[0] for path in part]
        for part in (to_calibrate[:calibrate_on], to_judge)
    )
    return Material(
        AGREEMENT,
        len(judged),
        calibration,
        judged[:SAMPLES],
        trial=_agreement(run, manifest, calibration),
        judge=_agreement(run, manifest, judged),
        manifest=manifest,
    )


def _agreement(run: Path, manifest: Manifest, pictures: Sequence[UInt8]) -> Score:
    """How often a variant decides as fp32 does on fitted pictures."""
    reference = open_runner(run, manifest, REFERENCE)
    expected = [reference.run_fitted(picture) for picture in pictures]

    def on(runner: Runner) -> Scored:
        same = [
            not disagreements(was, runner.run_fitted(picture), threshold=manifest.threshold)
            for was, picture in zip(expected, pictures, strict=True)
        ]
        return HitOrMiss(np.array(same))

    return on


def _same_answers(run: Path, manifest: Manifest, pictures: Sequence[UInt8]) -> Score:
    """How often a variant gives fitted pictures the class that fp32 gives them, however sure."""
    reference = open_runner(run, manifest, REFERENCE)
    expected = [reference.probabilities(picture).argmax() for picture in pictures]

    def on(runner: Runner) -> Scored:
        got = [runner.probabilities(picture).argmax() for picture in pictures]
        return HitOrMiss(np.array(got) == np.array(expected))

    return on


def _holds_bare_pictures(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in PICTURES for path in folder.iterdir() if path.is_file())


def _bare_pictures(folder: Path) -> list[Path]:
    if not _holds_bare_pictures(folder):
        raise DataError(f"{folder} holds no pictures; expected .jpg or .png files, as in --data")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
