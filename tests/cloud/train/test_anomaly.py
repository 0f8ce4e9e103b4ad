"""An anomaly detector learns from good pictures alone, and is the same in PyTorch, in ONNX and on a gateway."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

import tidegate
from cloud.compress.quantize import prepare as prepare_int8
from cloud.compress.quantize import quantize
from cloud.compress.weights_only import store_int8
from cloud.image_folder import find_images, load_images, read_picture
from cloud.model_card import model_card
from cloud.run_folder import read_report
from cloud.sign import create_keys, sign_release
from cloud.train.anomaly_net import AnomalyNet
from cloud.train.augment import Augmentation
from cloud.train.classify import to_tensor
from cloud.train.loop import Epoch, Settings
from cloud.train.nets import NetConfig
from cloud.train.request import Request
from cloud.train.run import train_run
from cloud.train.tasks import load_net
from cloud.train.weights import read_weights
from models.golden import read_golden, replay
from models.manifest import read_manifest
from models.runner import Runner, open_runner
from models.trust import accept
from tests.cloud.anomaly.textures import paint_textures, texture

SMALL = ("--width", "8", "--reduce", "2", "--threads", "1", "--learning-rate", "1e-2")

TINY = ("--width", "4", "--stages", "1", "--size", "24x24", "--batch", "4", "--epochs", "1", "--threads", "1")


def train(data: Path, out: Path, *more: str) -> int:
    words = ("train", "--task", "anomaly", "--data", str(data), "--name", "surface", "--out", str(out))
    return tidegate.main([*words, *SMALL, *more])


@pytest.fixture(scope="session")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good surfaces to learn from, and good and bad ones to judge by; not to be changed."""
    folder = tmp_path_factory.mktemp("surfaces")
    paint_textures(folder / "train" / "good", "good", count=80, seed=1)
    for kind in ("good", "scratch", "stain"):
        paint_textures(folder / "test" / kind, kind, count=40, seed=2)
    return folder


@pytest.fixture(scope="session")
def _detector(surfaces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("anomaly") / "run"
    assert train(surfaces, out, "--epochs", "8", "--false-alarms", "0.02") == 0
    return out


@pytest.fixture
def detector(_detector: Path, tmp_path: Path) -> Path:
    """A run folder of this test's own: an anomaly detector for surfaces."""
    return Path(shutil.copytree(_detector, tmp_path / "detector"))


def test_defects_are_found_by_who_has_seen_none(detector: Path) -> None:
    manifest, evaluation = read_manifest(detector), read_report(detector)["evaluation"]
    assert (manifest.task, manifest.labels, manifest.threshold) == ("anomaly", ("good", "anomaly"), 0.0)
    assert evaluation["metric"] == "AUROC"
    assert evaluation["accuracy"] == manifest.variant().accuracy > 0.9
    assert {kind: row["pictures"] for kind, row in evaluation["by_class"].items()} == {
        "good": 40,
        "scratch": 40,
        "stain": 40,
    }
    assert all(evaluation["by_class"][kind]["auroc"] > 0.9 for kind in ("scratch", "stain"))
    assert evaluation["by_class"]["scratch"]["recall"] > 0.5
    assert manifest.lineage["false_alarms"] == evaluation["boundary"]["asked"] == 0.02


def test_false_alarms_on_pictures_never_seen_are_near_those_asked_for(detector: Path) -> None:
    rng = np.random.default_rng(99)
    runner = open_runner(detector, read_manifest(detector))
    alarms = [runner.probabilities(texture(rng))[1] > 0.5 for _ in range(400)]
    assert np.mean(alarms) < 0.1  # 2 % were asked for, of 24 held-out pictures


def test_the_graph_and_the_weights_give_the_same_answers(detector: Path, surfaces: Path) -> None:
    manifest = read_manifest(detector)
    images = load_images(find_images(surfaces / "test"), manifest.input)
    runner, net = open_runner(detector, manifest), load_net(detector)
    with torch.no_grad():
        expected = torch.softmax(net(to_tensor(images.pixels)), dim=1).numpy()
    got = np.stack([runner.probabilities(picture) for picture in images.pixels])
    assert np.abs(got - expected).max() < 1e-3
    assert np.allclose(got.sum(axis=1), 1, atol=1e-5)


def test_golden_frames_show_both_answers_and_agree(detector: Path) -> None:
    manifest, golden = read_manifest(detector), read_golden(detector)
    assert replay(golden, "fp32", open_runner(detector, manifest)) == []
    assert {int(found.class_ids[0]) for found in golden.answers["fp32"].values()} == {0, 1}


def test_what_was_fitted_stays_in_float(detector: Path, tmp_path: Path) -> None:
    pictures = list(read_golden(detector).frames.values())
    before = onnx.load(str(detector / "model.onnx")).graph
    fitted = {node.name for node in before.node if node.name.startswith("canonical/out/")}
    assert len(fitted) > 10
    prepared = prepare_int8(detector / "model.onnx", tmp_path)
    assert fitted <= prepared.floating
    quantize(prepared, tmp_path / "int8.onnx", pictures)
    store_int8(detector / "model.onnx", tmp_path / "w8.onnx")
    for file in ("int8.onnx", "w8.onnx"):
        graph = onnx.load(str(tmp_path / file)).graph
        rounded = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
        matmul = next(node for node in graph.node if node.op_type == "MatMul")
        assert rounded
        assert not rounded & set(matmul.input)
        Runner(tmp_path / file, read_manifest(detector))


def test_plots_are_pictures(detector: Path) -> None:
    for name in ("learning_curve.png", "scores.png", "roc.png", "mistakes.png"):
        picture = cv2.imread(str(detector / name))
        assert picture is not None
        assert min(picture.shape[:2]) > 250


def test_a_run_is_evaluated_compressed_and_released(
    detector: Path, surfaces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidegate.main(["evaluate", str(detector), "--data", str(surfaces), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accuracy"] == pytest.approx(read_manifest(detector).variant().accuracy, abs=1e-6)
    assert document["by_class"]["scratch"]["pictures"] == 40
    assert tidegate.main(["evaluate", str(detector), "--data", str(surfaces)]) == 0
    assert "called anomalies" in capsys.readouterr().out
    words = ["compress", str(detector), "--data", str(surfaces), "--variants", "w8,int8", "--json"]
    assert tidegate.main(words) == 0
    manifest = read_manifest(detector)
    assert (manifest.gate["metric"], manifest.gate["pictures"]) == ("AUROC", 120)
    assert {variant.name for variant in manifest.variants} == {"fp32", "w8", "int8"}
    assert all(variant.accuracy > 0.9 for variant in manifest.variants)
    keys = create_keys(tmp_path / "keys", "surface")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    package = sign_release(detector, keys, release=1, floor=0, expires=tomorrow, out=tmp_path / "package")
    accepted = accept(package, root=keys.root, into=tmp_path / "store" / "1")
    assert accepted.task == "anomaly"
    runner = open_runner(tmp_path / "store" / "1", accepted)
    assert replay(read_golden(tmp_path / "store" / "1"), accepted.chosen, runner) == []


def test_without_defects_it_is_said_that_they_are_drawn_and_broken_pictures_are_named(
    surfaces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(surfaces / "train" / "good", data / "good")
    for index in range(2):
        (data / "good" / f"{index:03d}.png").write_bytes(b"no PNG")
    words = ["train", "--data", str(data), "--name", "surface", "--out", str(run)]
    assert tidegate.main([*words, *TINY, "--json"]) == 0  # a folder `good` alone says which task
    said = capsys.readouterr()
    assert json.loads(said.out)["metric"] == "AUROC on drawn defects"
    assert "No defect pictures were there to judge by" in said.err
    assert "held-out pictures hold no 1.0% of false alarms" in said.err
    assert said.err.count("skipped, no whole picture") == 2
    report = read_report(run)
    assert len(report["training"]["broken"]) == 2
    assert set(report["evaluation"]["by_class"]) == {"good", "drawn defect"}
    assert "drawn into good pictures" in model_card(read_manifest(run), report)
    assert tidegate.main(["evaluate", str(run), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == report["evaluation"]["accuracy"]  # held-out ones again
    assert tidegate.main(["evaluate", str(run), "--data", str(data)]) == 0
    assert "drawn into good pictures" in " ".join(capsys.readouterr().out.split())


def test_a_killed_training_goes_on_to_the_same_weights(surfaces: Path, tmp_path: Path) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    settings = Settings(epochs=3, batch=4, threads=1, augmentation=Augmentation(flip=False))
    net = NetConfig(width=4, stages=1, dropout=0.1)
    request = Request("surface", surfaces, task="anomaly", size=(24, 24), net=net, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        train_run(request, tmp_path / "halved", on_epoch=stop)
    assert not (tmp_path / "halved").exists()
    train_run(request, tmp_path / "halved")
    train_run(request, tmp_path / "whole")
    whole, again = (read_weights(tmp_path / name).state for name in ("whole", "halved"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
    assert {"mean", "scale", "directions", "looseness", "gain", "offset"} <= set(whole)


def test_a_training_goes_on_from_another_detectors_weights(detector: Path, surfaces: Path, tmp_path: Path) -> None:
    gentle = ("--epochs", "1", "--learning-rate", "1e-6", "--from", str(detector))
    assert train(surfaces, tmp_path / "run", *gentle) == 0
    assert read_manifest(tmp_path / "run").lineage["parent"] == str(detector)
    assert read_manifest(tmp_path / "run").variant().accuracy > 0.9  # a step at that rate teaches nothing: it knew


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--teacher", "x"], 2, "only classifiers learn from a teacher"),
        (["--false-alarms", "0"], 2, "--false-alarms must be above 0 and at most 0.5, got 0"),
        (["--false-alarms", "0.6"], 2, "got 0.6"),
        (["--false-alarms", "nan"], 2, "got nan"),
        (["--task", "classification", "--false-alarms", "0.1"], 2, "--false-alarms is for --task anomaly"),
        (["--val", "absent"], 1, "absent is not a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(
    surfaces: Path, tmp_path: Path, words: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(surfaces, tmp_path / "run", *words) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_too_many_broken_pictures_are_refused(
    surfaces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(surfaces / "train" / "good", data)
    for index in range(30):
        (data / f"{index:03d}.png").write_bytes(b"no PNG")
    assert train(data, tmp_path / "run") == 1
    assert "pictures cannot be decoded" in capsys.readouterr().err
    for path in sorted(data.iterdir())[2:30] + sorted(data.iterdir())[49:]:
        path.unlink()
    assert train(data, tmp_path / "run") == 1
    assert "19 good pictures can be decoded; expected at least 20" in capsys.readouterr().err


@pytest.mark.parametrize("pictures", [5, 60])
def test_a_gaussian_is_the_further_away_the_rarer_a_thing_is(pictures: int) -> None:
    """Also of fewer pictures than it has directions."""
    rng = np.random.default_rng(0)
    spreads = np.geomspace(5, 0.1, 16)
    net = AnomalyNet(NetConfig(width=8, stages=1))
    seen = torch.from_numpy(rng.normal(0, 1, (pictures, 16)) * spreads).float()
    net.fit_gaussian(seen)

    def distance(x: torch.Tensor) -> float:
        standard = (x - net.mean) * net.scale
        squared = standard.square().sum() / net.looseness - (standard @ net.directions).square().sum()
        return float(squared)

    assert distance(net.mean) == pytest.approx(0, abs=1e-3)
    usual = np.mean([distance(row) for row in seen])
    assert usual > 0
    assert distance(net.mean + 10 * torch.from_numpy(spreads).float()) > 5 * usual


@pytest.mark.real
@pytest.mark.soak
def test_what_does_not_belong_in_a_real_scene_is_found(shared_data: Path, tmp_path: Path) -> None:
    video = cv2.VideoCapture(str(shared_data / "videos" / "bottle-detection.mp4"))
    sticker = cv2.resize(read_picture(shared_data / "images" / "kitten_224.png"), (24, 24))
    for index in range(480):
        whole, frame = video.read()
        assert whole
        small = cv2.resize(frame, (128, 72), interpolation=cv2.INTER_AREA)
        if index < 320 and index % 4 == 0:  # the last third of the time is kept to judge by
            place = tmp_path / "train" / "good"
        elif index >= 320 and index % 4 == 0:
            place = tmp_path / "test" / "good"
        elif index >= 320 and index % 4 == 2:
            place = tmp_path / "test" / "sticker"
            row, column = (index * 7) % 48, (index * 13) % 104
            small[row : row + 24, column : column + 24] = sticker
        else:
            continue
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index:04d}.png"), small)
    words = ["train", "--data", str(tmp_path), "--name", "scene", "--out", str(tmp_path / "run"), "--threads", "1"]
    assert tidegate.main([*words, "--epochs", "12"]) == 0
    evaluation = read_report(tmp_path / "run")["evaluation"]
    assert evaluation["by_class"]["sticker"]["auroc"] > 0.98
    assert evaluation["by_class"]["sticker"]["recall"] > 0.9
