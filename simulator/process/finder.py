"""A detector of the parts on the simulated belt that nobody had to train: metal is brighter than rubber.

Small, quick, and a canonical graph like any other, so that gateways of processes have something real to run. It can be
made with a flaw, for releases that have to be taken back.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper, save_model

from cloud.run_folder import REFERENCE, add_variant, new_run, variant_file
from models.detections import UInt8
from models.fitting import fit
from models.golden import record_golden, write_golden
from models.manifest import InputSpec, Manifest, write_manifest
from models.runner import open_runner
from simulator.scenes import Conveyor

MODEL = "parts"
Flaw = Literal["", "blind", "slow"]
Constants = dict[str, npt.NDArray[Any]]
_HEIGHT, _WIDTH = 120, 160
_RAIL = 14  # rows above and below the belt
_METAL = 112.0  # mean of B, G and R; the belt has 75, a steel part 140
_LEAST = 6.0  # pixels of metal in a row or column that is one of a part
_FULL = 0.62  # of a ring's box is metal
_TOIL = 40  # products of large matrices, for a graph that takes its time
_GOLDEN = (40, 90, 140, 190, 240, 290)


def make_finder(run: Path, *, flaw: Flaw = "", note: str = "") -> Path:
    """A run folder with the detector. `flaw`: "blind" sees nothing, "slow" takes a tenth of a second a picture. `note`
    makes files of one flaw differ."""
    with new_run(run, name=MODEL) as draft:
        file = variant_file(REFERENCE)
        save_model(_graph(flaw, note), str(draft / file))
        spec = InputSpec(_HEIGHT, _WIDTH)
        write_manifest(draft, Manifest(MODEL, "detection", ("part",), spec, threshold=0.4))
        manifest = add_variant(draft, REFERENCE, file)
        belt = Conveyor(seed=1)
        frames: list[UInt8] = [fit(belt.frame(number).image, spec)[0] for number in _GOLDEN]
        write_golden(draft, record_golden(frames, {REFERENCE: open_runner(draft, manifest)}))
    return run


def _graph(flaw: Flaw, note: str) -> ModelProto:
    metal = 255.0 if flaw == "blind" else _METAL
    constants: Constants = {
        "belt_from": np.array([_RAIL], np.int64),
        "belt_to": np.array([_HEIGHT - _RAIL], np.int64),
        "rows": np.array([1], np.int64),
        "columns": np.array([2], np.int64),
        "metal": np.array(metal, np.float32),
        "least": np.array(_LEAST, np.float32),
        "one": np.array(1, np.float32),
        "rail": np.array(_RAIL, np.float32),
        "full": np.array(_FULL, np.float32),
        "sure": np.array(0.99, np.float32),
        "enough": np.array(3 * _LEAST, np.float32),
        "nothing": np.array(0, np.float32),
        "part": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["grey"], axes=[3], keepdims=0),  # (1, H, W)
        helper.make_node("Slice", ["grey", "belt_from", "belt_to", "rows"], ["belt"]),
        helper.make_node("Greater", ["belt", "metal"], ["is_metal"]),
        helper.make_node("Cast", ["is_metal"], ["mask"], to=TensorProto.FLOAT),
        *_extent("columns", "x", constant="rows"),
        *_extent("rows", "y", constant="columns"),
        helper.make_node("Add", ["y_first", "rail"], ["top"]),
        helper.make_node("Add", ["y_end", "rail"], ["bottom"]),
        helper.make_node("Concat", ["x_first", "top", "x_end", "bottom"], ["box"], axis=1),  # (1, 4)
        # of the box that is spanned, a ring fills so much; a blot of light fills little
        helper.make_node("Sub", ["x_end", "x_first"], ["width"]),
        helper.make_node("Sub", ["y_end", "y_first"], ["height"]),
        helper.make_node("Mul", ["width", "height"], ["area"]),
        helper.make_node("ReduceSum", ["mask", "all"], ["amount"], keepdims=0),
        helper.make_node("Div", ["amount", "area"], ["filled"]),
        helper.make_node("Div", ["filled", "full"], ["ratio"]),
        helper.make_node("Clip", ["ratio", "nothing", "sure"], ["score_2d"]),
        helper.make_node("Reshape", ["score_2d", "flat"], ["score"]),
        helper.make_node("Min", ["width", "height"], ["span"]),
        helper.make_node("Greater", ["span", "enough"], ["seen_2d"]),
        helper.make_node("Reshape", ["seen_2d", "flat"], ["seen"]),
        helper.make_node("Compress", ["box", "seen"], ["boxes"], axis=0),
        helper.make_node("Compress", ["score", "seen"], ["scores" if flaw != "slow" else "quick_scores"], axis=0),
        helper.make_node("Compress", ["part", "seen"], ["classes"], axis=0),
    ]
    constants |= {"all": np.array([1, 2], np.int64), "flat": np.array([1], np.int64)}
    if flaw == "slow":
        nodes += _toil(constants)
    graph = helper.make_graph(
        nodes,
        MODEL,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, _HEIGHT, _WIDTH, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("classes", TensorProto.INT64, ["n"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
    model.doc_string = note
    checker.check_model(model)
    return model


def _extent(along: str, axis: str, *, constant: str) -> list[NodeProto]:
    """The first place with metal `along` rows or columns, and the first after the last one, both (1, 1)."""
    return [
        helper.make_node("ReduceSum", ["mask", constant], [f"{along}_sum"], keepdims=0),
        helper.make_node("Greater", [f"{along}_sum", "least"], [f"{along}_some"]),
        helper.make_node("Cast", [f"{along}_some"], [f"{along}_float"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", [f"{along}_float"], [f"{axis}_at"], axis=1, keepdims=1),
        helper.make_node("ArgMax", [f"{along}_float"], [f"{axis}_last"], axis=1, keepdims=1, select_last_index=1),
        helper.make_node("Cast", [f"{axis}_at"], [f"{axis}_first"], to=TensorProto.FLOAT),
        helper.make_node("Cast", [f"{axis}_last"], [f"{axis}_upto"], to=TensorProto.FLOAT),
        helper.make_node("Add", [f"{axis}_upto", "one"], [f"{axis}_end"]),
    ]


def _toil(constants: Constants) -> list[NodeProto]:
    """Work that changes nothing: products of a matrix that hangs on the picture, of which nothing is added."""
    constants["large"] = np.full((512, 512), 1 / 512, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["grey"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["large", "mean"], ["toil_0"]),
    ]
    for step in range(_TOIL):
        nodes.append(helper.make_node("MatMul", [f"toil_{step}", "large"], [f"toil_{step + 1}"]))
    nodes += [
        helper.make_node("ReduceMean", [f"toil_{_TOIL}"], ["toiled"], keepdims=0),
        helper.make_node("Mul", ["toiled", "nothing"], ["no_more"]),
        helper.make_node("Add", ["quick_scores", "no_more"], ["scores"]),
    ]
    return nodes
