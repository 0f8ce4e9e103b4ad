"""What a trained anomaly detector leaves in its run folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cloud.anomaly.boundary import boundary, expected_false_alarms, spread, steepness
from cloud.anomaly.defects import spoil_all
from cloud.anomaly.goods import ANOMALY, GOOD, LABELS
from cloud.anomaly.judged import BOUNDARY, Judged, judge_anomalies
from cloud.anomaly.plots import draw_roc, draw_scores
from cloud.evaluate import evaluate_classifier
from cloud.image_folder import Images
from cloud.plots import draw_sheet
from cloud.run_folder import REFERENCE, variant_file, write_report
from cloud.train.anomaly import GoodPictures
from cloud.train.anomaly_export import export_anomaly
from cloud.train.anomaly_net import AnomalyNet, pooled
from cloud.train.augment import augment
from cloud.train.classify import to_tensor
from cloud.train.data_record import enter_data
from cloud.train.golden_choice import choose_golden
from cloud.train.leave import enter_reference, training_lineage, write_training
from cloud.train.loop import Epoch
from cloud.train.request import Outcome, Request
from models.detections import UInt8
from models.durable import write_atomic
from models.golden import record_golden, write_golden
from models.manifest import Manifest
from models.runner import Runner

_WORST = 24
_GOLDEN = 12
_DRAWN_SEED = 3  # others than those that it is judged by
_ROUNDS = 3  # of the training pictures, augmented: what is taken for good while learning is good


def write_run(
    draft: Path, request: Request, net: nn.Module, prepared: GoodPictures, history: Sequence[Epoch]
) -> Outcome:
    """Fit what good is to the trained network, and export it into `draft` with its manifest, golden frames, report and
    plots; how well it tells defects, measured on the exported graph."""
    assert isinstance(net, AnomalyNet)
    expected = fit(net, request, prepared)
    judged_images = prepared.judged
    model = draft / variant_file(REFERENCE)
    write_atomic(model, export_anomaly(net, prepared.spec).SerializeToString())
    digests = {
        "data_sha256": prepared.train.digest,
        "boundary_sha256": prepared.held_out.digest,
        "val_sha256": judged_images.digest,
    }
    lineage = {**training_lineage(request, digests), "false_alarms": request.false_alarms}
    # every frame gets an answer, good or anomaly
    manifest = Manifest(request.name, "anomaly", LABELS, prepared.spec, threshold=0.0, lineage=lineage)
    runner = Runner(model, manifest)
    judged = judge_anomalies(runner, judged_images)
    enter_reference(draft, manifest, runner, judged_images.pixels[0], accuracy=judged.auroc, metric=judged.metric)
    by_answer = _by_answer(judged_images)
    golden = choose_golden(by_answer, evaluate_classifier(runner, by_answer), _GOLDEN)
    write_golden(draft, record_golden([judged_images.pixels[index] for index in golden], {REFERENCE: runner}))
    write_training(
        draft,
        request,
        net,
        history,
        metric="AUROC on drawn defects",
        data={
            "pictures": {
                "train": prepared.train.counts(),
                "drawing the line": prepared.held_out.counts(),
                "judging": judged_images.counts(),
            },
            **enter_data(draft, prepared.parts, prepared.broken),
        },
    )
    asked = {"asked": request.false_alarms, "expected": expected, "pictures": len(prepared.held_out)}
    write_report(draft, {"evaluation": {**judged.document(), "boundary": asked}})
    draw_scores(draft / "scores.png", judged, title=f"{request.name}: AUROC {judged.auroc:.3f}")
    draw_roc(draft / "roc.png", judged)
    _draw_mistakes(draft / "mistakes.png", judged_images, judged)
    columns, *rows = judged.table()
    return Outcome(judged.metric, judged.auroc, judged.pictures, columns, tuple(rows))


def fit(net: AnomalyNet, request: Request, prepared: GoodPictures) -> float:
    """Fit the Gaussian to the training pictures, and the boundary to those held out, with drawn defects for its
    steepness; the part of good pictures above it that is to be expected."""
    rng = torch.Generator().manual_seed(request.settings.seed)
    with torch.no_grad():
        seen = [pooled(net.look(part)[1]) for part in torch.split(to_tensor(prepared.train.pixels), 32)]
        for _ in range(_ROUNDS):
            for part in torch.split(to_tensor(prepared.train.pixels), 32):
                seen.append(pooled(net.look(augment(part, request.settings.augmentation, rng))[1]))
        net.fit_gaussian(torch.cat(seen))
    goods = _measures(net, prepared.held_out.pixels)
    defects = _measures(net, spoil_all(prepared.held_out.pixels, seed=_DRAWN_SEED))
    middles, widths = np.array([spread(column) for column in goods.T]).T
    good_scores, defect_scores = (((each - middles) / widths).max(axis=1) for each in (goods, defects))
    line = boundary(good_scores, request.false_alarms)
    slope = steepness(good_scores, defect_scores, line)
    gain = slope / widths
    net.fit_boundary(gain.tolist(), (-gain * middles - slope * line).tolist())
    return expected_false_alarms(good_scores, request.false_alarms)


@torch.no_grad()
def _measures(net: AnomalyNet, pixels: UInt8) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    parts = [net.measures(part) for part in torch.split(to_tensor(pixels), 32)]
    return np.asarray(torch.cat(parts).double().numpy(), np.float64)


def _by_answer(images: Images) -> Images:
    """The same pictures, labelled as the model should answer."""
    class_ids = (images.class_ids > 0).astype(np.int64)
    return Images(LABELS, images.pixels, class_ids, images.broken, images.digest, images.files)


def _draw_mistakes(path: Path, images: Images, judged: Judged) -> None:
    """The wrong answers that the model was surest of."""
    wrong = np.flatnonzero((judged.wrong > BOUNDARY) != (images.class_ids > 0))
    worst = wrong[np.argsort(-np.abs(judged.wrong[wrong] - BOUNDARY), kind="stable")][:_WORST]
    captions = [
        f"{images.labels[images.class_ids[index]]}, taken for\n"
        f"{ANOMALY if judged.wrong[index] > BOUNDARY else GOOD} ({judged.wrong[index]:.2f})"
        for index in worst
    ]
    title = f"The {len(worst)} surest of {len(wrong)} mistakes" if len(wrong) else "No mistakes"
    draw_sheet(path, [images.pixels[index] for index in worst], captions, title=title)
