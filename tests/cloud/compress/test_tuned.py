"""Rungs that learn: they are made from a run's own weights and training pictures, and judged like any other."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import tidegate
from cloud.compress.gate import Limits
from cloud.compress.int8 import Search, Trial
from cloud.compress.material import gather
from cloud.compress.prune import Size, prune, size_of
from cloud.compress.qat import train_quantised
from cloud.compress.rungs import INT8_QAT, PRUNED_INT8, Wish, worth_tuning
from cloud.compress.tuned import make_tuned
from cloud.compress.tuning import Distilled, Trained, read_lesson
from cloud.image_folder import find_split, load_images
from cloud.run_folder import edit_run, read_report
from cloud.train.augment import Augmentation
from cloud.train.classify import make_net
from cloud.train.detector_net import DetectorNet
from cloud.train.lesson import Batch
from cloud.train.loop import Settings
from cloud.train.nets import NetConfig
from cloud.train.tasks import config_of, load_net
from cloud.train.weights import read_weights, save_weights
from models.errors import UsageError
from models.golden import read_golden, replay
from models.manifest import InputSpec, read_manifest
from models.runner import open_runner

SURE = ("--calibrate-on", "40", "--min-pictures", "20", "--max-slowdown", "50")


def compress(run: Path, data: Path, *more: str) -> int:
    return tidegate.main(["compress", str(run), "--data", str(data), *SURE, *more])


@pytest.fixture(scope="session")
def _wide(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with channels to spare."""
    run = tmp_path_factory.mktemp("wide") / "run"
    words = ["train", "--data", str(pictures), "--name", "colours", "--out", str(run), "--epochs", "4", "--batch", "8"]
    assert tidegate.main([*words, "--size", "24x32", "--width", "16", "--stages", "2", "--threads", "1"]) == 0
    return run


@pytest.fixture
def wide_run(_wide: Path, tmp_path: Path) -> Path:
    """A test's own."""
    return Path(shutil.copytree(_wide, tmp_path / "wide-run"))


@pytest.fixture(scope="session")
def tuned_run(_wide: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with all rungs that learn; not to be changed."""
    run = Path(shutil.copytree(_wide, tmp_path_factory.mktemp("tuned") / "run"))
    assert compress(run, pictures, "--variants", "int8,int8-qat,pruned,pruned-int8") == 0
    return run


def test_what_learned_is_measured_and_explained_as_the_others_are(tuned_run: Path) -> None:
    manifest, report, golden = read_manifest(tuned_run), read_report(tuned_run), read_golden(tuned_run)
    names = ["fp32", "int8", "int8-qat", "pruned", "pruned-int8"]
    assert [row["name"] for row in report["variants"]] == list(golden.answers) == names
    assert all(row["accepted"] and row["reasons"] for row in report["variants"])
    for name in names:
        assert replay(golden, name, open_runner(tuned_run, manifest, name)) == []
    made = report["fine_tuned"]["made"]
    assert list(made) == names[2:]
    assert all(how["epochs"] == 2 and how["teacher"] == "fp32" and how["fidelity"] > 0.5 for how in made.values())
    assert manifest.lineage["fine_tuned"]["pruned"] == {"epochs": 2, "seed": 0, "teacher": "fp32"}
    assert manifest.variant("pruned-int8").bytes < manifest.variant("int8").bytes


def test_weights_that_learned_to_be_rounded_lie_in_the_same_graph(tuned_run: Path) -> None:
    plain, learned = (onnx.load(str(tuned_run / f"model.{name}.onnx")).graph for name in ("int8", "int8-qat"))
    assert Counter(node.op_type for node in plain.node) == Counter(node.op_type for node in learned.node)
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in part.initializer} for part in (plain, learned)
    )
    weights = [name for name, values in after.items() if values.dtype == np.int8 and values.ndim == 4]
    assert len(weights) == 6  # all convolutions but that of the bare picture
    for name in weights:
        scales = after[name.removesuffix("_quantized") + "_scale"]
        assert scales.shape == (len(after[name]),)  # by channel
        # no integer is given away: the largest weight of each channel is 127, as it was while learning
        assert (np.abs(after[name].astype(int)).max(axis=(1, 2, 3)) == 127).all()
        assert (before[name] != after[name]).any()


def test_pruning_takes_whole_channels_and_leaves_multiples_of_eight(tuned_run: Path) -> None:
    how = read_report(tuned_run)["fine_tuned"]["made"]["pruned"]
    assert how["after"]["macs"] <= how["limit"]["macs"] <= how["before"]["macs"] / 2
    assert how["after"]["parameters"] < how["before"]["parameters"]
    graph = onnx.load(str(tuned_run / "model.pruned.onnx")).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if len(tensor.dims) == 4}
    assert len(shapes) == 7
    assert all(out % 8 == 0 for out, *_ in shapes.values())
    for stage, block in ((1, 2), (3, 4)):  # a sum needs the same channels on both sides
        into, out = shapes[f"model.features.{stage}.0.weight"], shapes[f"model.features.{block}.second.weight"]
        assert into[0] == out[0] == shapes[f"model.features.{block}.first.0.weight"][1]


def test_what_variants_are_judged_by_is_never_learned_from(wide_run: Path, pictures: Path) -> None:
    still = Augmentation(rotation=0, zoom=0, shift=0, light=0, contrast=0, colour=0, flip=False)
    config = config_of(read_weights(wide_run).net)
    settings = Settings(augmentation=still)
    trained = Trained(load_net(wide_run), config, read_manifest(wide_run), settings, seconds_per_epoch=0.0)
    lesson = read_lesson(trained, pictures, None)
    seen = {
        picture.round().byte().numpy().tobytes()
        for batch, *_ in lesson.batches(8, torch.Generator())
        for picture in batch.permute(0, 2, 3, 1).contiguous()
    }
    to_train, to_judge = (load_images(part, trained.manifest.input) for part in find_split(pictures, None, seed=0))
    assert seen == {picture.tobytes() for picture in to_train.pixels}
    assert not seen & {picture.tobytes() for picture in to_judge.pixels}


def test_a_kill_amid_fine_tuning_leaves_the_run_as_it_was(wide_run: Path, pictures: Path) -> None:
    manifest = read_manifest(wide_run)
    before = {path.name: path.read_bytes() for path in wide_run.iterdir() if path.is_file()}
    material = gather(wide_run, manifest, pictures, None, seed=0, calibrate_on=8)

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), edit_run(wide_run) as draft:
        make_tuned(
            draft,
            material,
            pictures,
            None,
            Wish(("pruned",)),
            Limits(),
            until=0.0,
            say=lambda _: None,
            on_step=stop,
        )
    assert {path.name: path.read_bytes() for path in wide_run.iterdir() if path.is_file()} == before
    assert [path.name for path in wide_run.parent.iterdir()] == [wide_run.name]


def test_what_nobody_asked_for_is_left_out_and_the_reason_said(
    wide_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (wide_run / "weights.pt").unlink()
    # nothing is as small as that, so pruning is thought of
    assert compress(wide_run, pictures, "--max-bytes", "20000") == 0
    assert [variant.name for variant in read_manifest(wide_run).variants] == ["fp32", "w8", "fp16", "int8"]
    assert "holds no weights.pt" in read_report(wide_run)["fine_tuned"]["left_out"]["pruned-int8"]
    assert "pruned-int8 left out: " in capsys.readouterr().out


def test_what_nobody_asked_for_takes_no_longer_than_there_is_time(wide_run: Path, pictures: Path) -> None:
    material = gather(wide_run, read_manifest(wide_run), pictures, None, seed=0, calibrate_on=8)
    how = {"until": 0.0, "say": lambda _: None, "on_step": lambda *_: pytest.fail("it was trained")}
    wish = Wish(("pruned-int8",), by_name=False)
    tuned = make_tuned(wide_run, material, pictures, None, wish, Limits(), **how)  # type: ignore[arg-type]
    assert not tuned.made
    assert "--minutes leaves 0 s; name pruned-int8 in --variants to wait for it" in tuned.left_out["pruned-int8"]


@pytest.mark.parametrize(
    ("more", "code", "complaint"),
    [
        (("--variants", "int8-qat"), 2, "holds no weights.pt"),
        (("--variants", "pruned", "--keep", "1"), 2, "a part to keep between 0 and 1, got 0, 1.0"),
        (("--variants", "smaller"), 2, "'smaller' is not known; there are w8, fp16, int8, int8-qat, pruned"),
    ],
)
def test_what_was_asked_for_by_name_and_cannot_be_is_one_line(
    wide_run: Path,
    pictures: Path,
    more: tuple[str, ...],
    code: int,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (wide_run / "weights.pt").unlink()
    before = read_manifest(wide_run)
    assert compress(wide_run, pictures, *more) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert read_manifest(wide_run) == before


def test_weights_of_another_network_are_refused(
    wide_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = read_weights(wide_run)
    save_weights(
        wide_run,
        replace(weights, state={**weights.state, "head.bias": weights.state["head.bias"] + torch.eye(3)[0] * 9}),
    )
    assert compress(wide_run, pictures, "--variants", "pruned") == 1
    error = capsys.readouterr().err
    assert "weights.pt is not the network in model.onnx (on golden frame" in error
    assert error.count("\n") == 1


class _Noise:
    """A lesson in which nothing is to be seen."""

    metric = "none"

    def steps(self, size: int) -> int:
        return 2

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        for _ in range(self.steps(size)):
            yield (255 * torch.rand(size, 3, 24, 32, generator=rng),)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        answers = model(batch[0])
        return sum(answer.square().mean() for answer in (answers if isinstance(answers, tuple) else [answers])), 0.0

    def judge(self, model: nn.Module) -> tuple[float, float]:
        return 0.0, 0.0


def test_pruning_goes_as_far_as_it_can_and_says_where_that_is() -> None:
    net, spec = make_net(("a", "b"), NetConfig(width=16, stages=2)).eval(), InputSpec(24, 32)
    whole = size_of(net, spec)
    for keep in (0.7, 0.45):
        limit = Size(whole.parameters, int(keep * whole.macs))
        assert size_of(prune(net, _Noise(), Settings(batch=4), spec, limit), spec).macs <= limit.macs
    assert size_of(net, spec) == whole
    with pytest.raises(
        UsageError, match="pruning can't leave 10 multiplications and 10 parameters or fewer: the least"
    ):
        prune(net, _Noise(), Settings(batch=4), spec, Size(10, 10))


def test_a_detector_learns_to_be_rounded_and_to_do_with_less() -> None:
    net, spec = DetectorNet(2, NetConfig(width=16, stages=2, growth=1.5)).eval(), InputSpec(24, 32)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3), np.uint8)
    lesson, settings = Distilled(_Noise(), net, list(pictures)), Settings(epochs=2, batch=4, threads=1)
    steps: list[tuple[int, int]] = []
    rounded, fidelity = train_quantised(net, lesson, settings, spec, on_step=lambda *at: steps.append(at))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert fidelity > 0.5
    whole = size_of(net, spec)
    less = prune(net, lesson, settings, spec, Size(whole.parameters, int(0.8 * whole.macs)))
    with torch.no_grad():
        answers = [[answer.shape for answer in model(torch.zeros(1, 3, 24, 32))] for model in (net, rounded, less)]
    assert answers[0] == answers[1] == answers[2]


def _searched(metric: float) -> Search:
    best = Trial("min-max", (), metric, 100)
    return Search(0.9, [best], best=best)


@pytest.mark.parametrize(
    ("search", "max_bytes", "names"),
    [
        (_searched(0.9), 0, ()),
        (_searched(0.8951), 0, ()),  # half the margin
        (_searched(0.8949), 0, (INT8_QAT,)),
        (None, 0, ()),  # nobody looked
        (_searched(0.9), 100, ()),
        (_searched(0.9), 99, (PRUNED_INT8,)),
        (_searched(0.5), 99, (INT8_QAT, PRUNED_INT8)),
    ],
)
def test_learning_is_tried_where_calibration_is_not_enough(
    search: Search | None, max_bytes: int, names: tuple[str, ...]
) -> None:
    assert worth_tuning(search, 100, Limits(max_bytes=max_bytes)) == names
