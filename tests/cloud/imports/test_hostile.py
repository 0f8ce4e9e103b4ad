"""Whatever is in a file, reading it ends in a source or in one clear line, soon and in little memory."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cloud.imports import source as source_module
from cloud.imports.inspect import inspect
from cloud.imports.memory import memory_limit
from cloud.imports.source import read_source
from models.errors import ModelError

MEAN = helper.make_node("ReduceMean", ["x"], ["z"], axes=[2, 3], keepdims=0)


def number(name: str, *values: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, np.int64)))


def outside(name: str = "w") -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1, 3], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def model(
    *nodes: onnx.NodeProto,
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        list(weights),
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=functions)


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function(
        "my", name, ["a"], ["b"], list(nodes), [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    )


def call(name: str, what: str, out: str) -> onnx.NodeProto:
    return helper.make_node(name, [what], [out], domain="my")


def laughs() -> onnx.ModelProto:
    """Eleven functions, each of which calls the one before ten times."""
    functions = [function("F0", helper.make_node("Relu", ["a"], ["b"]))]
    for depth in range(1, 12):
        steps = ["a", *(f"step{index}" for index in range(9)), "b"]
        functions.append(function(f"F{depth}", *(call(f"F{depth - 1}", *pair) for pair in pairwise(steps))))
    return model(MEAN, call("F11", "z", "y"), functions=functions)


def sparse() -> onnx.ModelProto:
    tensor = onnx.SparseTensorProto(dims=[1 << 20, 1 << 20])
    tensor.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    tensor.indices.CopyFrom(numpy_helper.from_array(np.arange(2)))
    hostile = model(MEAN, helper.make_node("Add", ["z", "w"], ["y"]))
    hostile.graph.sparse_initializer.append(tensor)
    return hostile


def tiled(times: int) -> onnx.ModelProto:
    names = ["z", *(f"t{index}" for index in range(times))]
    tiles = [helper.make_node("Tile", [one, "s"], [other]) for one, other in pairwise(names)]
    return model(MEAN, number("s", 64, 1), *tiles, helper.make_node("ReduceMean", [names[-1]], ["y"], axes=[0]))


ADD = helper.make_node("Add", ["z", "w"], ["y"])
HOSTILE: Sequence[tuple[onnx.ModelProto, str]] = (
    (model(MEAN, ADD, weights=[outside()]), "keeps weights in other files"),
    (
        model(
            MEAN,
            call("F", "z", "y"),
            functions=[
                function(
                    "F",
                    helper.make_node("Constant", [], ["w"], value=outside()),
                    helper.make_node("Add", ["a", "w"], ["b"]),
                )
            ],
        ),
        "keeps weights in other files",
    ),
    (sparse(), "sparse weights"),
    (
        model(MEAN, ADD, weights=[TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 14, 1 << 14])]),
        "claims 16384x16384 numbers, which don't fit",
    ),
    (model(MEAN, number("s", 1 << 20, 1 << 20), helper.make_node("ConstantOfShape", ["s"], ["y"])), "1048576x1048576"),
    (model(MEAN, number("s", 1 << 30, 1, 3), helper.make_node("Expand", ["z", "s"], ["y"])), "1073741824x1x3"),
    (tiled(7), "'t4' would have 1073741824x3 numbers"),
    (laughs(), "100,000,000,001 nodes when its functions are expanded"),
    (model(MEAN, call("F", "z", "y"), functions=[function("F", call("F", "a", "b"))]), "'F' calls itself"),
    (model(MEAN, helper.make_node("Nobody\nKnows", ["z"], ["y"])), r"'Nobody\\nKnows'"),
    (model(MEAN, opset=99), "is of opset 99; 1 to"),
    (
        model(helper.make_node("Add", ["y", "x"], ["b"]), helper.make_node("Relu", ["b"], ["y"])),
        "the graph is not acyclic",
    ),
)


@pytest.mark.parametrize(("hostile", "reason"), HOSTILE, ids=[reason[:30] for _, reason in HOSTILE])
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, hostile: onnx.ModelProto, reason: str) -> None:
    path = tmp_path / "hostile.onnx"
    path.write_bytes(hostile.SerializeToString())
    with memory_limit(1 << 30), pytest.raises(ModelError, match=reason) as refused:
        read_source(path)
    assert str(refused.value).isprintable()


def test_only_regular_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(20 << 30)  # a hole: no disk is used
    for name, reason in (("pipe", "no.* regular file"), ("zero", "no.* regular"), ("huge", "21,474,836,480 bytes")):
        with pytest.raises(ModelError, match=reason):
            read_source(tmp_path / name)


def test_a_network_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3]),
        ],
    )
    yes = numpy_helper.from_array(np.array(True), "yes")
    loop = helper.make_node("Loop", ["", "yes", "z"], ["y"], body=body)
    path = tmp_path / "forever.onnx"
    path.write_bytes(model(MEAN, loop, weights=[yes]).SerializeToString())
    monkeypatch.setattr(source_module, "MAX_RUN_S", 0.2)
    before = threading.active_count()
    with pytest.raises(ModelError, match=r"took over 0\.2 s"):
        read_source(path).run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert threading.active_count() == before


def test_functions_of_the_file_are_inlined(tmp_path: Path) -> None:
    path = tmp_path / "functions.onnx"
    relu = function("F", helper.make_node("Relu", ["a"], ["b"]))
    path.write_bytes(model(MEAN, call("F", "z", "y"), functions=[relu]).SerializeToString())
    source = read_source(path)
    assert [node.op_type for node in source.model.graph.node][-2:] == ["ReduceMean", "Relu"]
    assert inspect(source).adapters["classifier"] == ""


FLIP = """
import random, sys
from pathlib import Path
from cloud.imports.inspect import inspect
from cloud.imports.memory import memory_limit
from cloud.imports.source import read_source
from models.errors import TidegateError

whole, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
for seed in range(int(sys.argv[3]), int(sys.argv[4])):
    rng, data = random.Random(seed), bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 5))):
        data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), 0, 127, 255))
    path.write_bytes(data[: rng.randrange(len(data)) if rng.random() < 0.05 else None])
    print(seed, end=" ", file=sys.stderr, flush=True)  # the last word, should it die
    try:
        with memory_limit(2 << 30):
            inspect(read_source(path))
    except TidegateError as exc:
        assert str(exc).isprintable(), (seed, exc)
"""


def flip(file: Path, tmp_path: Path, seeds: range) -> None:
    """In a process of its own: onnxruntime might take it down."""
    ran = subprocess.run(
        [sys.executable, "-c", FLIP, str(file), str(tmp_path / "flipped.onnx"), str(seeds.start), str(seeds.stop)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr[-2000:]}"
    assert ran.stdout == ""


def test_flipped_bytes_are_an_error_or_nothing(yolox_file: Callable[..., Path], tmp_path: Path) -> None:
    flip(yolox_file(np.zeros((84, 6))), tmp_path, range(150))


@pytest.mark.soak
@pytest.mark.real
@pytest.mark.parametrize("file", ["version-RFB-320", "FastestDet", "squeezenet1.1_fp32"])
def test_flipped_bytes_of_a_real_model_are_an_error_or_nothing(shared_data: Path, tmp_path: Path, file: str) -> None:
    flip(shared_data / "models" / f"{file}.onnx", tmp_path, range(100))
