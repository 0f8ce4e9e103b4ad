"""A detector that needs no training, and what it looks at."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, save_model

from cloud.run_folder import add_variant
from models.detections import UInt8
from models.golden import record_golden, write_golden
from models.manifest import InputSpec, Manifest, write_manifest
from models.runner import open_runner

WIDTH, HEIGHT = 160, 120


def lamp_run(folder: Path) -> Path:
    """The run folder, within `folder`, of a detector that finds all that is bright, in one box, and calls it "lamp"."""
    run = folder / "lamp"
    run.mkdir()
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Greater", ["pixels", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["lit"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["lit"], ["columns"], axes=[0, 1, 3], keepdims=0),
        helper.make_node("ReduceMax", ["lit"], ["rows"], axes=[0, 2, 3], keepdims=0),
        helper.make_node("ArgMax", ["columns"], ["left"], axis=0),
        helper.make_node("ArgMax", ["rows"], ["top"], axis=0),
        helper.make_node("ArgMax", ["columns"], ["right"], axis=0, select_last_index=1),
        helper.make_node("ArgMax", ["rows"], ["bottom"], axis=0, select_last_index=1),
        helper.make_node("Concat", ["left", "top", "right", "bottom"], ["corners"], axis=0),
        helper.make_node("Cast", ["corners"], ["flat"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["flat", "one_row"], ["boxes"]),
        helper.make_node("ReduceMax", ["lit"], ["any"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["any", "one"], ["scores"]),
        helper.make_node("Identity", ["zero"], ["classes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lamp",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("classes", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [], [128.0]),
            helper.make_tensor("one_row", TensorProto.INT64, [2], [1, 4]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        ],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10), run / "model.onnx")
    write_manifest(run, Manifest("lamp", "detection", ("lamp",), InputSpec(HEIGHT, WIDTH), threshold=0.5))
    manifest = add_variant(run, "fp32", "model.onnx")
    write_golden(run, record_golden([shown(20)], {"fp32": open_runner(run, manifest)}))
    return run


def shown(number: int) -> UInt8:
    """A lamp that moves from left to right, two pixels a frame, over grey cloth."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[40:80, 10 + 2 * number : 30 + 2 * number] = 250
    return image
