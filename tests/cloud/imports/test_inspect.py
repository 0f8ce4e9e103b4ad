"""`tidegate import --inspect` says what is in a file, and how to go on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cloud.imports.inspect import inspect
from cloud.imports.source import read_source
from tidegate import main


def network(path: Path, *, output: str = "y", batch: int | str = 1, side: int | str = 8, offset: float = 0) -> Path:
    """Answers each channel's mean."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Add", ["mean", "offset"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, side, side])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, 3, 1, 1])],
        [
            numpy_helper.from_array(np.full(1, offset, np.float32), "offset"),
            numpy_helper.from_array(np.ones(7, np.float32), "unread"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6, producer_name="tests")
    onnx.save(model, str(path))
    return path


def test_what_is_odd_is_named(tmp_path: Path, yolox_file: Callable[..., Path]) -> None:
    found = inspect(read_source(network(tmp_path / "m.onnx", batch="N")))
    assert (found.producer, found.ir_version, found.opset, found.parameters) == ("tests", 6, 11, 8)
    assert found.oddities == (
        "opset 11 is raised to 18",
        "1 weights that nothing reads are left out",
        "'x' takes any number of pictures at a time; one is taken",
    )
    assert "2 weights are listed among the inputs" in inspect(read_source(yolox_file(np.zeros((84, 6))))).oddities[1]
    assert "takes pictures of any size" in inspect(read_source(network(tmp_path / "a.onnx", side="S"))).oddities[-1]


@pytest.mark.parametrize("batch", ["N", 1])
def test_the_command_to_go_on_with_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int | str, yolox_file: Callable[..., Path]
) -> None:
    file = network(tmp_path / "my net.onnx", batch=batch)
    assert main(["import", "--inspect", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["next"]
    assert told.startswith(f"tidegate import '{file}' --adapter classifier --preprocess PRESET --labels LABELS")
    (tmp_path / "labels").write_text("blue\ngreen\nred\n")
    words = [str(file), *["--adapter", "classifier", "--name", "means", "--out"], str(tmp_path / "run")]
    words += ["--labels", str(tmp_path / "labels")]
    assert main(["import", *words]) == 2
    assert "--preprocess is missing" in capsys.readouterr().err
    assert main(["import", *words, "--preprocess", "unit"]) == 0
    assert main(["import", "--inspect", str(yolox_file(np.zeros((84, 6))))]) == 0
    assert "--adapter yolox --labels" in capsys.readouterr().out


def test_names_from_a_file_neither_colour_nor_break_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = network(tmp_path / "[bold]m.onnx", output="\x1b[31m[/red]y")
    assert main(["import", "--inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "[/red]y" in shown
    assert "[bold]m.onnx" in shown
    assert "\x1b[31m" not in shown


def test_many_labels_at_once_are_no_classification(tmp_path: Path) -> None:
    """Sigmoids: each answer within 0..1, their sum anything."""
    path = network(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    model.graph.node[1].output[0] = "logit"
    model.graph.node.append(helper.make_node("Sigmoid", ["logit"], ["y"]))
    onnx.save(model, str(path))
    assert "several labels at once" in inspect(read_source(path)).adapters["classifier"]
