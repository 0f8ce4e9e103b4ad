"""A detector is trained from pictures with boxes, and is the same in PyTorch, in ONNX and on a gateway."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tidegate
from cloud.average_precision import Truth
from cloud.boxes.confusion import confusion, match
from cloud.compress.material import gather
from cloud.run_folder import read_report
from cloud.train.assign import Cells, assign, detection_loss
from cloud.train.augment import Augmentation
from cloud.train.augment_boxes import augment_boxed
from cloud.train.detect import BoxLesson, prepare
from cloud.train.detect_run import best_threshold
from cloud.train.loop import Epoch
from cloud.train.request import Request
from cloud.train.run import train_run
from cloud.train.tasks import TASKS, load_net
from cloud.train.weights import read_weights
from models.detections import Detections
from models.golden import read_golden, replay
from models.manifest import read_manifest
from models.runner import open_runner
from tests.cloud.boxes.shapes import LABELS, paint_shapes

SMALL = ("--width", "8", "--growth", "1.5", "--stages", "3", "--batch", "8", "--threads", "1", "--mosaic", "0")


def train(data: Path, out: Path, *more: str) -> int:
    return tidegate.main(["train", "--data", str(data), "--name", "shapes", "--out", str(out), *SMALL, *more])


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ in YOLO's layout; not to be changed."""
    folder = tmp_path_factory.mktemp("shapes")
    paint_shapes(folder / "train", count=96, seed=1)
    paint_shapes(folder / "val", count=24, seed=2)
    return folder


@pytest.fixture(scope="session")
def detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a detector of shapes; not to be changed."""
    out = tmp_path_factory.mktemp("detector") / "run"
    assert train(shapes, out, "--epochs", "12") == 0
    return out


def test_a_detector_is_learned_from_boxes(detector: Path) -> None:
    manifest, report = read_manifest(detector), read_report(detector)
    assert (manifest.task, manifest.labels) == ("detection", LABELS)
    assert report["evaluation"]["ap50"] > 0.5  # a network that has seen nothing has 0.00
    assert report["evaluation"]["accuracy"] == manifest.variant().accuracy
    assert 0.05 <= manifest.threshold <= 0.9
    assert replay(read_golden(detector), "fp32", open_runner(detector, manifest)) == []
    for picture in ("learning_curve", "precision_recall", "confusion", "mistakes"):
        assert (detector / f"{picture}.png").stat().st_size > 10_000


def test_the_graph_answers_as_the_network_does(detector: Path, shapes: Path) -> None:
    weights = read_weights(detector)
    net_config = TASKS["detection"].net.__class__(**weights.net)
    request = Request("shapes", shapes, task="detection", net=net_config, settings=TASKS["detection"].settings)
    prepared = prepare(request)
    lesson, net = BoxLesson(prepared, request.settings), load_net(detector)
    runner = open_runner(detector, read_manifest(detector))
    with torch.no_grad():
        pixels = torch.from_numpy(prepared.val.pixels[:8]).permute(0, 3, 1, 2).float()
        expected = lesson._detections(*net(pixels))
    for picture, seen in zip(prepared.val.pixels[:8], expected, strict=True):
        sure = seen.where(seen.scores > runner.threshold)
        found = runner.run_fitted(picture)
        assert found.class_ids.tolist() == sure.class_ids.tolist()
        np.testing.assert_allclose(found.scores, sure.scores, atol=1e-4)
        np.testing.assert_allclose(found.xyxy, sure.xyxy, atol=1e-2)


def test_a_detector_goes_through_the_gate(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(detector, tmp_path / "run"))
    words = ["--data", str(shapes), "--min-pictures", "20", "--max-slowdown", "50", "--calibrate-on", "16", "--json"]
    assert tidegate.main(["compress", str(run), *words, "--minutes", "0.1"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["variants"]}
    assert rows["w8"]["accepted"]
    assert rows["w8"]["accuracy"] == pytest.approx(rows["fp32"]["accuracy"], abs=0.02)
    assert read_report(run)["gate"]["pictures"] == 24  # the part that it was not trained on
    assert tidegate.main(["evaluate", str(run), "--data", str(shapes), "--variant", "fp32", "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["pictures"] == 24
    assert judged["accuracy"] == pytest.approx(read_report(run)["evaluation"]["accuracy"], abs=0.01)


def test_what_training_skips_is_skipped_by_the_gate_and_by_evaluate(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(shapes, tmp_path / "data"))
    for part in ("train", "val"):
        (data / part / "images" / "0003.png").write_bytes(b"no PNG")
    assert gather(detector, read_manifest(detector), data, None, seed=0, calibrate_on=16).pictures == 23
    assert tidegate.main(["evaluate", str(detector), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 23


def test_a_killed_training_goes_on_to_the_same_weights(shapes: Path, tmp_path: Path) -> None:
    more = ("--epochs", "3", "--mosaic", "0.3")
    assert train(shapes, tmp_path / "whole", *more) == 0
    whole = read_weights(tmp_path / "whole")
    settings = TASKS["detection"].settings.__class__(**_settings(tmp_path / "whole"))
    net = TASKS["detection"].net.__class__(**whole.net)
    request = Request("shapes", shapes, task="detection", net=net, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        train_run(request, tmp_path / "halved", on_epoch=_interrupt_after_two)
    assert not (tmp_path / "halved").exists()
    train_run(request, tmp_path / "halved")
    again = read_weights(tmp_path / "halved")
    assert all(torch.equal(tensor, again.state[name]) for name, tensor in whole.state.items())


def _interrupt_after_two(epoch: Epoch) -> None:
    if epoch.number == 2:
        raise KeyboardInterrupt


def _settings(run: Path) -> dict[str, Any]:
    settings = read_report(run)["training"]["settings"]
    return {**settings, "augmentation": Augmentation(**settings["augmentation"])}


def test_a_fine_tuning_keeps_what_it_knows_and_learns_a_class(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "val"):
        paint_shapes(tmp_path / "more" / part, count=12, seed=5)
        (tmp_path / "more" / part / "classes.txt").write_text("disc\nstar\ntriangle\n")
    assert train(tmp_path / "more", tmp_path / "tuned", "--epochs", "1", "--from", str(detector)) == 0
    assert "new to it: star" in capsys.readouterr().out
    assert read_manifest(tmp_path / "tuned").labels == ("disc", "star", "triangle")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--teacher", "x"], 2, "only classifiers learn from a teacher"),
        (["--mixup", "0.2"], 2, "--mixup 0.2: pictures with boxes are learned without"),
        (["--stages", "1"], 2, "--stages must be at least 2 for a detector"),
        (["--size", "50x64"], 2, "--size must be in multiples of 16 for a detector of 3 stages, got 50x64"),
    ],
)
def test_what_a_detector_cannot_do_is_refused(
    shapes: Path, tmp_path: Path, words: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(shapes, tmp_path / "run", *words) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_is_odd_about_the_pictures_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint_shapes(tmp_path / "train", count=8, seed=1)
    paint_shapes(tmp_path / "val", count=4, seed=1)  # the same pictures as the first four
    (tmp_path / "train" / "images" / "0007.png").write_bytes(b"no PNG")
    for part in ("train", "val"):
        (tmp_path / part / "classes.txt").write_text("disc\nsquare\ntriangle\n[/star]\n")
    (tmp_path / "val" / "labels" / "0000.txt").write_text("")
    assert train(tmp_path, tmp_path / "run", "--epochs", "1") == 0
    said = capsys.readouterr().out
    assert "skipped, no whole picture" in said
    assert "conflict: train/images/0000.png (train) and val/images/0000.png (val)" in said
    assert "leak:" in said
    assert "left out, no box of it anywhere: [/star]" in said
    assert "no box to judge it by, only to learn from: square" in said
    assert read_manifest(tmp_path / "run").labels == LABELS


def test_one_class_is_enough(tmp_path: Path) -> None:
    paint_shapes(tmp_path, count=12, seed=1)
    (tmp_path / "classes.txt").write_text("thing\n")
    for path in (tmp_path / "labels").iterdir():
        path.write_text("".join(f"0{line[1:]}\n" for line in path.read_text().splitlines()))
    assert train(tmp_path, tmp_path / "run", "--epochs", "1") == 0
    assert read_manifest(tmp_path / "run").labels == ("thing",)


def test_pictures_without_a_box_teach_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint_shapes(tmp_path, count=6, seed=1)
    for path in (tmp_path / "labels").iterdir():
        path.write_text("")
    assert train(tmp_path, tmp_path / "run") == 1
    assert "show nothing; expected labelled boxes" in capsys.readouterr().err


def test_without_a_box_to_judge_by_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint_shapes(tmp_path / "train", count=6, seed=1)
    paint_shapes(tmp_path / "val", count=2, seed=2)
    for path in (tmp_path / "val" / "labels").iterdir():
        path.write_text("")
    assert train(tmp_path, tmp_path / "run") == 1
    assert "2 pictures to judge by show nothing; expected labelled boxes" in capsys.readouterr().err


CELLS = Cells(torch.tensor([(4.0, 4.0), (12.0, 4.0), (4.0, 12.0), (12.0, 12.0)]), torch.full((4, 1), 8.0))


def test_a_box_is_answered_for_by_the_cell_that_is_best_at_it() -> None:
    boxes, classes = torch.tensor([[(0.0, 0.0, 8.0, 8.0), (8.0, 8.0, 16.0, 16.0)]]), torch.tensor([[1, -1]])
    found = torch.tensor([[(0.0, 0.0, 8.0, 8.0)] * 4])
    wanted, of, worth = assign(torch.full((1, 4, 2), 0.5), found, CELLS, boxes, classes)
    assert of.tolist() == [[0, -1, -1, -1]]  # the second row is empty
    assert wanted[0, 0].tolist() == [0, 1]
    assert worth.tolist() == [[1, 0, 0, 0]]


def test_a_right_answer_costs_less_than_a_wrong_one() -> None:
    boxes, classes = torch.tensor([[(0.0, 0.0, 8.0, 8.0)]]), torch.tensor([[1]])
    at_half = torch.full((1, 4, 4), float(np.log(0.5)))
    right, blind = torch.full((1, 4, 2), -6.0), torch.full((1, 4, 2), -6.0)
    right[0, 0, 1] = 6.0
    weights = torch.ones(2)
    losses = [
        float(detection_loss(logits, sides, CELLS, boxes, classes, weights))
        for logits, sides in ((right, at_half), (blind, at_half), (right, at_half + 1))
    ]
    assert losses[0] < 0.1
    assert losses[0] < min(losses[1:])
    nothing = detection_loss(right, at_half, CELLS, torch.zeros(1, 0, 4), torch.zeros(1, 0).long(), weights)
    assert torch.isfinite(nothing)


@pytest.mark.parametrize("how", [Augmentation(zoom=0.5, shift=0.2), Augmentation(zoom=0.3, shift=0.1, mosaic=1.0)])
def test_boxes_go_with_what_is_in_them(how: Augmentation) -> None:
    rng = torch.Generator().manual_seed(3)
    pictures = torch.zeros(16, 3, 64, 96)
    pictures[:, :, 20:40, 30:60] = 255.0
    boxes, classes = torch.tensor((30.0, 20.0, 60.0, 40.0)).expand(16, 1, 4), torch.zeros(16, 1).long()
    still = Augmentation(0, how.zoom, how.shift, 0, 0, 0, mosaic=how.mosaic)
    moved, boxes, classes = augment_boxed(pictures, boxes, classes, still, rng)
    assert (classes >= 0).sum() > 8
    for picture, own, own_classes in zip(moved, boxes, classes, strict=True):
        for box in own[own_classes >= 0]:
            x1, y1, x2, y2 = (round(float(side)) for side in box)
            inner = picture[:, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            assert inner.numel() == 0 or inner.mean() > 200
        shown = (picture[0] > 200).sum()
        inside = torch.zeros_like(picture[0])
        for box in own[own_classes >= 0]:
            x1, y1, x2, y2 = (round(float(side)) for side in box)
            inside[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = 1
        # what has no box any more is a sliver at the edge
        assert ((picture[0] > 200) * (1 - inside)).sum() <= 0.3 * max(1, shown) + 160


def test_things_taken_for_others_are_counted_once() -> None:
    truth = Truth(np.array([(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)], np.float32), np.array([0, 1, 1]))
    found = Detections.of([(0, 0, 10, 10), (20, 0, 30, 11), (60, 0, 70, 10)], [0.9, 0.8, 0.7], [0, 0, 1])
    matched = match(truth, found)
    assert (matched.missed, matched.made_up, matched.mistakes) == ([1, 2], [1, 2], 3)
    assert confusion([matched], 2).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_nothing_right_leaves_the_usual_threshold() -> None:
    assert best_threshold([]) == 0.25


@pytest.mark.real
def test_a_few_real_pictures_of_many_classes_train_without_a_fault(shared_data: Path, tmp_path: Path) -> None:
    assert train(shared_data / "coco128", tmp_path / "run", "--epochs", "1", "--size", "96x96") == 0
    assert read_manifest(tmp_path / "run").task == "detection"
