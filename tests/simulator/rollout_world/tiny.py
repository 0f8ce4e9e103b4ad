"""A world of coloured squares, and a classifier that names their colour: small enough to run in a moment."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cloud.predicted_shift import shift_of
from cloud.run_folder import add_variant
from cloud.shift_tally import ShiftTally
from models.detections import UInt8
from models.manifest import InputSpec, Manifest, write_manifest
from models.runner import Runner
from simulator.rollout_world.album import Album, Labelled, day_and_night, views
from simulator.rollout_world.films import films
from simulator.rollout_world.tapes import answers, counted
from simulator.rollout_world.timings import Scatter
from simulator.rollout_world.variants import Variant
from simulator.rollout_world.worlds import World

LABELS = ("blue", "green", "red")
SIDE = 8


def squares(count: int, seed: int) -> tuple[tuple[UInt8, ...], tuple[int, ...]]:
    """Pictures that are mostly of one colour, and which."""
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(3, size=count)
    pictures = []
    for class_id in class_ids:
        picture = rng.integers(30, 110, (SIDE, SIDE, 3))
        picture[..., class_id] += int(rng.integers(5, 120))
        pictures.append(picture.astype(np.uint8))
    return tuple(pictures), tuple(class_ids.tolist())


def album(seen: int = 24) -> Album:
    pictures, class_ids = squares(seen, 1)
    judged = Labelled(*squares(40, 2))
    reference, _ = squares(30, 3)
    return Album("squares", "classification", LABELS, pictures, np.array(class_ids), reference, judged, Labelled(()))


def graph(sharpness: float = 0.1) -> onnx.ModelProto:
    """Canonical: the mean of each channel, a layer with weights and a bias for each class, and a softmax."""
    constants = {
        "weights": np.eye(3, dtype=np.float32) * sharpness,
        "bias": np.zeros(3, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], name="mean", axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["mean", "weights", "bias"], ["logits"], name="head", transB=1),
        helper.make_node("Softmax", ["logits"], ["scores"], name="softmax", axis=1),
    ]
    whole = helper.make_graph(
        nodes,
        "squares",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def manifest() -> Manifest:
    return Manifest("squares", "classification", LABELS, InputSpec(SIDE, SIDE), 0.0)


def write_run(folder: Path, model: onnx.ModelProto) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    write_manifest(folder, manifest())
    add_variant(folder, "fp32", "model.onnx")
    return folder


def _shift(pictures: Album) -> dict[str, Any]:
    """What a release promises that answers as the incumbent does."""
    tally = ShiftTally(LABELS, LABELS)
    runner = Runner(graph().SerializeToString(), manifest())
    for picture in day_and_night(pictures.reference, seed=0):
        found = runner.run(picture)
        tally.add(found, found)
    return shift_of(tally, LABELS, LABELS)


def world(faulty: dict[str, onnx.ModelProto] | None = None) -> World:
    """A world of the incumbent, an identical release, and candidates by the way in which they were made worse."""
    pictures = album()
    graphs = {"incumbent": graph(), "identical": graph(), **(faulty or {})}
    found = {
        name: [
            answers(Runner(model.SerializeToString(), manifest()), views(pictures, night)) for night in (False, True)
        ]
        for name, model in graphs.items()
    }
    tables = {
        name: tuple(counted(ours, theirs, LABELS) for ours, theirs in zip(sides, found["incumbent"], strict=True))
        for name, sides in found.items()
    }
    signed = {name: {"camera-a53": 27.0, "gateway-a72": 12.0, "box-x86": 3.0} for name in ("incumbent", "identical")}
    return World(
        name="squares",
        labels=LABELS,
        order=films(pictures),
        variants={
            name: Variant(
                name, "" if name in signed else name, name if name in signed else "identical", "", "", False, 1, 1
            )
            for name in graphs
        },
        tables=tables,  # type: ignore[arg-type]
        shifts=dict.fromkeys(signed, _shift(pictures)),
        signed_ms=signed,
        real_ms=dict.fromkeys(graphs, 3.0),
        scatter=Scatter(np.array([0.98, 1.0, 1.03]), np.array([1.1, 1.2, 2.5])),
        leak_bytes=float(SIDE * SIDE * 3),
    )
