"""`tidegate train` leaves a whole run folder, or nothing."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

import tidegate
from cloud.run_folder import read_report
from cloud.train.checkpoint import read_checkpoint
from cloud.train.loop import Epoch, Settings
from cloud.train.nets import NetConfig
from cloud.train.request import Request
from cloud.train.run import train_run
from cloud.train.weights import read_weights
from models.golden import read_golden, replay
from models.manifest import read_manifest, sha256_file
from models.runner import open_runner

TINY = ["--size", "16x16", "--width", "4", "--stages", "1", "--epochs", "1", "--batch", "8", "--threads", "1"]


def test_a_run_folder_is_complete_and_right(trained_run: Path) -> None:
    manifest = read_manifest(trained_run)
    assert (manifest.name, manifest.task, manifest.labels) == ("colours", "classification", ("blue", "green", "red"))
    assert (manifest.input.height, manifest.input.width, manifest.chosen, manifest.release) == (24, 32, "fp32", 0)
    variant = manifest.variant("fp32")
    assert variant.accuracy >= 0.9
    assert variant.sha256 == sha256_file(trained_run / "model.onnx")
    assert all(latency > 0 for latency in variant.latency_ms.values())
    assert {"data_sha256", "val_sha256", "seed", "code", "libraries", "made_at"} <= set(manifest.lineage)


def test_golden_frames_show_every_class_and_agree(trained_run: Path) -> None:
    manifest, golden = read_manifest(trained_run), read_golden(trained_run)
    assert replay(golden, "fp32", open_runner(trained_run, manifest)) == []
    assert len(golden.frames) == 8
    assert {int(found.class_ids[0]) for found in golden.answers["fp32"].values()} == {0, 1, 2}


def test_the_report_has_the_figures_of_the_manifest(trained_run: Path) -> None:
    report = read_report(trained_run)
    variant = read_manifest(trained_run).variant("fp32")
    assert report["evaluation"]["accuracy"] == report["variants"][0]["accuracy"] == variant.accuracy
    assert len(report["training"]["history"]) == 5
    assert report["training"]["pictures"]["train"] == {"blue": 24, "green": 24, "red": 24}
    assert sum(map(sum, report["evaluation"]["confusion"])) == 24


def test_plots_are_pictures(trained_run: Path) -> None:
    for name in ("learning_curve.png", "confusion.png", "mistakes.png"):
        picture = cv2.imread(str(trained_run / name))
        assert picture is not None
        assert min(picture.shape[:2]) > 250


def test_a_machine_reads_one_json_document(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--data", str(pictures), "--name", "colours", "--out", str(tmp_path / "run"), "--json"]
    assert tidegate.main([*words, *TINY]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "colours"
    assert document["pictures"] == 24


@pytest.mark.parametrize(
    ("changes", "code", "complaint"),
    [
        ({"--data": "absent"}, 1, "absent is not a folder"),
        ({"--name": "Upper Case"}, 2, "--name must be lower-case"),
        ({"--epochs": "0"}, 2, "need epochs 1..10000"),
        ({"--learning-rate": "inf"}, 2, "learning rate above 0 up to 1"),
        ({"--seed": "-1"}, 2, "need seed 0.."),
        ({"--threads": "0"}, 2, "threads 1..1024, got 0 and 0"),
        ({"--width": "1"}, 2, "need width 4..256"),
        ({"--val": "{tmp}"}, 1, "holds no pictures in sub-folders"),
        ({"--out": "{busy}"}, 2, "is in use and is no run folder"),
        ({"--out": "/proc/nowhere/run"}, 2, "cannot write beside"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    pictures: Path,
    tmp_path: Path,
    changes: dict[str, str],
    code: int,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    work, busy = tmp_path / "work", tmp_path / "busy"
    work.mkdir()
    busy.mkdir()
    (busy / "thesis.txt").touch()
    options = {"--data": str(pictures), "--name": "colours", "--out": str(work / "run"), "--epochs": "1"}
    options |= {flag: value.format(tmp=work, busy=busy) for flag, value in changes.items()}
    assert tidegate.main(["train", *(word for pair in options.items() for word in pair)]) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert list(work.iterdir()) == []
    assert [path.name for path in busy.iterdir()] == ["thesis.txt"]


def test_an_interrupted_training_leaves_nothing(pictures: Path, tmp_path: Path) -> None:
    words = ["--data", str(pictures), "--name", "colours", "--out", str(tmp_path / "run"), "--epochs", "9999"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "train", *words, "--size", "16x16", "--threads", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        text=True,
    )
    assert process.stdout is not None
    while "parameters" not in process.stdout.readline():
        assert process.poll() is None
    assert [path.name.startswith(".run.") for path in tmp_path.iterdir()] == [True]
    rest = _interrupted(process)
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert not [path for path in tmp_path.iterdir() if path.name != "run.checkpoint"]


def _interrupted(process: "subprocess.Popen[str]") -> str:
    """What a process says once Ctrl-C has reached it: Python loses one that falls into a destructor."""
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            rest, _ = process.communicate(timeout=20)
            return rest
    process.kill()
    raise AssertionError(f"it goes on and on:\n{process.communicate()[0][-2000:]}")


def test_a_killed_training_goes_on_where_it_was(pictures: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    words = ["train", "--data", str(pictures), "--name", "colours", *TINY, "--epochs", "40"]
    command = [sys.executable, "-m", "tidegate", *words, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    while "epoch 8 of 40" not in process.stdout.readline():
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert not out.exists()
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "going on from" in resumed.stdout
    assert tidegate.main([*words, "--out", str(other)]) == 0
    ours, whole = read_weights(out).state, read_weights(other).state
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    assert not (tmp_path / "run.checkpoint").exists()


def test_a_training_goes_on_from_another_runs_weights(pictures: Path, trained_run: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(pictures), "--name", "colours", "--size", "24x32", "--epochs", "1", "--batch", "8"]
    gentle = ["--threads", "1", "--learning-rate", "1e-5", "--from", str(trained_run)]
    assert tidegate.main([*words, *gentle, "--out", str(tmp_path / "run")]) == 0
    manifest = read_manifest(tmp_path / "run")
    assert manifest.lineage["parent"] == str(trained_run)
    assert manifest.variant("fp32").accuracy >= 0.9  # an epoch at that rate teaches nothing: it knew before


def test_a_training_goes_on_from_the_checkpoint_of_another(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a loss that ran away."""

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    settings = Settings(epochs=4, batch=8, threads=1)
    request = Request("colours", pictures, size=(16, 16), net=NetConfig(width=4, stages=1), settings=settings)
    with pytest.raises(KeyboardInterrupt):
        train_run(request, tmp_path / "first", on_epoch=stop)
    checkpoint = read_checkpoint(tmp_path / "first.checkpoint")
    assert checkpoint is not None
    words = ["train", "--data", str(pictures), "--name", "colours", *TINY, "--out", str(tmp_path / "second")]
    words += ["--from", str(tmp_path / "first.checkpoint")]
    assert tidegate.main([*words, "--width", "8"]) == 2
    assert "the weights are of another network" in capsys.readouterr().err
    assert tidegate.main([*words, "--learning-rate", "1e-9"]) == 0
    old, new = checkpoint.state["average"], read_weights(tmp_path / "second").state
    learned = [name for name in new if new[name].is_floating_point() and "running" not in name]
    assert all(torch.allclose(new[name], old[name], atol=1e-4) for name in learned)
    assert "begins with the weights of" in capsys.readouterr().out


def test_a_training_that_gets_no_better_says_which_epoch_it_kept(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(pictures), "--name", "colours", *TINY, "--out", str(tmp_path / "run")]
    assert tidegate.main([*words, "--epochs", "9", "--patience", "1", "--learning-rate", "1e-9"]) == 0
    training = read_report(tmp_path / "run")["training"]
    epochs, best = len(training["history"]), training["kept_epoch"]
    assert best == epochs - 1
    assert f"stopped after epoch {epochs}, which was no better; kept epoch {best}" in capsys.readouterr().out


def test_a_disk_that_takes_no_more_leaves_nothing_half_written(pictures: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(pictures), "--name", "colours", *TINY, "--out", str(tmp_path / "run")]
    # four kilobytes a file: as good as a full disk
    limited = f"ulimit -f 4; exec {shlex.join([sys.executable, '-m', 'tidegate', *words])}"
    ran = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1, ran.stderr
    assert "make room there or choose another folder" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_uneven_classes_are_reported_and_weighed(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    for path in sorted((folder / "train/red").iterdir())[6:]:
        path.unlink()
    words = ["train", "--data", str(folder), "--name", "colours", *TINY, "--out", str(tmp_path / "run")]
    assert tidegate.main(words) == 0
    assert "classes are uneven (blue 24, red 6): rare ones weigh more" in capsys.readouterr().out.replace("\n", " ")
    weights = read_report(tmp_path / "run")["training"]["class_weights"]
    assert weights["red"] == pytest.approx(2 * weights["blue"])
    assert tidegate.main([*words, "--no-balance"]) == 0
    assert set(read_report(tmp_path / "run")["training"]["class_weights"].values()) == {1.0}


def test_a_small_network_learns_from_a_large_one(pictures: Path, trained_run: Path, tmp_path: Path) -> None:
    words = ["train", "--data", str(pictures), "--name", "pupil", *TINY, "--epochs", "3"]
    assert tidegate.main([*words, "--teacher", str(trained_run), "--out", str(tmp_path / "run")]) == 0
    assert read_manifest(tmp_path / "run").lineage["teacher"] == trained_run.name


def test_a_teacher_that_is_no_run_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", str(pictures), "--name", "pupil", *TINY, "--out", str(tmp_path / "run")]
    assert tidegate.main([*words, "--teacher", str(tmp_path / "large.onnx")]) == 2
    assert "tidegate import" in capsys.readouterr().err


def test_a_label_is_neither_markup_nor_mathematics(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("$5_$", "[bold]", "a closed [", "_x")
    for part in ("train", "val"):
        for label, colour in zip(names, sorted(child.name for child in (pictures / part).iterdir()), strict=False):
            shutil.copytree(pictures / part / colour, tmp_path / "odd" / part / label)
    odd = tuple(sorted(child.name for child in (tmp_path / "odd" / "train").iterdir()))
    words = ["--data", str(tmp_path / "odd")]
    assert tidegate.main(["train", *words, "--name", "odd", "--out", str(tmp_path / "run"), *TINY]) == 0
    assert tidegate.main(["evaluate", str(tmp_path / "run"), *words]) == 0
    said = capsys.readouterr().out
    assert all(said.count(label) >= 3 for label in odd)  # beforehand, and in both tables
    assert read_manifest(tmp_path / "run").labels == odd


def test_one_picture_under_two_labels_is_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(pictures, tmp_path / "pictures"))
    shutil.copy(folder / "train/red/000.png", folder / "train/blue/again.png")
    shutil.copy(folder / "train/green/000.png", folder / "val/green/again.png")
    words = ["train", "--data", str(folder), "--name", "colours", *TINY, "--out", str(tmp_path / "run")]
    assert tidegate.main(words) == 0
    report = read_report(tmp_path / "run")["training"]
    assert ["blue/again.png" in line and "red/000.png" in line for line in report["conflicts"]] == [True]
    assert ["green/again.png (val)" in line for line in report["leaks"]] == [True]
    assert "under different labels" in capsys.readouterr().out.replace("\n", " ")
    record = json.loads((tmp_path / "run" / "data.json").read_bytes())
    (entry,) = [entry for entry in record["train"] if entry["file"] == "blue/again.png"]
    assert (entry["label"], entry["sha256"]) == ("blue", sha256_file(folder / "train/blue/again.png"))
