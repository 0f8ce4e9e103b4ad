"""The parts that make a foreign graph canonical: the picture in front, suppression at the end.

Every node added here has a name that starts with `canonical/`: quantising these is never right.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from cloud.lean import lean
from models.runner import INPUT, OUTPUTS

PREFIX = "canonical/"
MIN_SCORE = 0.001
MAX_IOU = 0.45
MAX_DETECTIONS = 300

_Output = tuple[str, int, Sequence[int | str]]


@dataclass(slots=True)
class Nodes:
    """Nodes and constants in the making, of one `part` of a graph ("in", "out"): names in two parts never meet. `op`
    and `constant` return the name of the value that they make."""

    part: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        name = out or self._name(kind)
        self.nodes.append(
            helper.make_node(kind, inputs, [name], name=f"{PREFIX}{self.part}/{kind}.{len(self.nodes)}", **attributes)
        )
        return name

    def best(self, values: str, count: str) -> str:
        """Indices of the `count` largest of `values` (n,), largest first."""
        names = [self._name("TopK"), self._name("TopK") + ".order"]
        self.nodes.append(
            helper.make_node("TopK", [values, count], names, name=f"{PREFIX}{self.part}/TopK.{len(self.nodes)}")
        )
        return names[1]

    def constant(self, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        name = f"{PREFIX}{self.part}/constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def _name(self, kind: str) -> str:
        return f"{PREFIX}{self.part}/{kind}.{len(self.nodes)}.out"


def suppress(nodes: Nodes, *, boxes: str, scores: str, classes: str, class_count: int, side: int) -> None:
    """Candidates -> the canonical outputs of a detector, best score first.

    `boxes` float32 (m, 4) xyxy, `scores` float32 (m,), `classes` int64 (m,). One suppression serves all classes: each
    class's boxes are moved to a place of their own. They are moved as clipped copies, because one box that overflows
    to infinity would otherwise land on all the others; `side` is the input's longer side. The boxes answered are not
    clipped.
    """
    limits = nodes.constant(-side, np.float32), nodes.constant(2 * side, np.float32)
    clipped = nodes.op("Clip", boxes, *limits)
    places = nodes.constant(_places(class_count, side), np.float32)
    apart = nodes.op("Add", clipped, nodes.op("Gather", places, classes))
    selected = nodes.op(
        "NonMaxSuppression",
        nodes.op("Unsqueeze", apart, nodes.constant([0], np.int64)),
        nodes.op("Unsqueeze", scores, nodes.constant([0, 1], np.int64)),
        nodes.constant(MAX_DETECTIONS, np.int64),
        nodes.constant(MAX_IOU, np.float32),
        nodes.constant(MIN_SCORE, np.float32),
    )
    kept = nodes.op("Gather", selected, nodes.constant(2, np.int64), axis=1)  # (k, [batch, class, row]) -> (k,)
    # the standard promises no order
    order = nodes.best(nodes.op("Gather", scores, kept), nodes.op("Shape", kept))
    rows = nodes.op("Gather", kept, order)
    for values, out in zip((boxes, scores, classes), OUTPUTS["detection"], strict=True):
        nodes.op("Gather", values, rows, out=out)


def likely_rows(nodes: Nodes, scores: str, *, least: float = MIN_SCORE) -> str:
    """Indices (m,) of `scores` (n,) above `least`: a few dozen of thousands of candidates go on from here."""
    likely = nodes.op("Greater", scores, nodes.constant(least, np.float32))
    return nodes.op("Squeeze", nodes.op("NonZero", likely), nodes.constant([0], np.int64))


def columns(nodes: Nodes, rows: str, first: int, last: int) -> str:
    """Columns `first` to `last` (not included) of `rows` (n, k)."""
    bounds = (nodes.constant([first], np.int64), nodes.constant([last], np.int64), nodes.constant([1], np.int64))
    return nodes.op("Slice", rows, *bounds)


def boxes_around(nodes: Nodes, centre: str, size: str) -> str:
    """`centre` and `size`, both (m, 2) -> corners (m, 4) xyxy."""
    half = nodes.op("Mul", size, nodes.constant(0.5, np.float32))
    return nodes.op("Concat", nodes.op("Sub", centre, half), nodes.op("Add", centre, half), axis=1)


def best_class(nodes: Nodes, by_class: str) -> tuple[str, str]:
    """Scores by class (m, C) -> the best class (m,) and its score (m,)."""
    classes = nodes.op("ArgMax", by_class, axis=1, keepdims=0)
    return classes, nodes.op("ReduceMax", by_class, nodes.constant([1], np.int64), keepdims=0)


def canonical_detector(
    model: onnx.ModelProto, *, before: Nodes, after: Nodes, height: int, width: int
) -> onnx.ModelProto:
    """`model` between the nodes of `before` and `after`, with a detector's canonical input and outputs."""
    outputs: tuple[_Output, ...] = (
        ("boxes", TensorProto.FLOAT, ["n", 4]),
        ("scores", TensorProto.FLOAT, ["n"]),
        ("classes", TensorProto.INT64, ["n"]),
    )
    return _canonical(model, before, after, height, width, outputs)


def canonical_classifier(
    model: onnx.ModelProto, *, before: Nodes, after: Nodes, height: int, width: int, class_count: int
) -> onnx.ModelProto:
    """`model` between the nodes of `before` and `after`, with a classifier's canonical input and output."""
    return _canonical(model, before, after, height, width, (("scores", TensorProto.FLOAT, [1, class_count]),))


def _canonical(
    model: onnx.ModelProto,
    before: Nodes,
    after: Nodes,
    height: int,
    width: int,
    outputs: Sequence[_Output],
) -> onnx.ModelProto:
    graph = model.graph
    made = {name for node in before.nodes for name in node.output}
    foreign = [node for node in graph.node if not made.intersection(node.output)]
    nodes = _needed([*before.nodes, *foreign, *after.nodes], [name for name, *_ in outputs])
    read = names_read(nodes)
    whole = helper.make_graph(
        nodes,
        graph.name or "model",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, height, width, 3])],
        [helper.make_tensor_value_info(*output) for output in outputs],
        [tensor for tensor in (*graph.initializer, *before.constants, *after.constants) if tensor.name in read],
    )
    result = helper.make_model(whole, producer_name="tidegate", ir_version=model.ir_version)
    del result.opset_import[:]
    result.opset_import.extend(model.opset_import)
    return lean(result)


def names_read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The values that nodes, and those in graphs inside of them, read."""
    read: set[str] = set()
    for node in nodes:
        read.update(node.input)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                read |= names_read(inner.node) | {value.name for value in inner.output}
    return read


def _needed(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """Those of `nodes`, in order, that `outputs` depend on: heads that nobody asks have weights too."""
    wanted, needed = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            needed.append(node)
            wanted |= names_read([node])
    return needed[::-1]


def _places(class_count: int, side: int) -> npt.NDArray[np.float32]:
    """(C, 4): where each class's boxes go, on a square board around 0, so that float32 stays fine-grained."""
    columns = int(np.ceil(np.sqrt(class_count)))
    cells = np.stack(np.divmod(np.arange(class_count), columns)[::-1], axis=1) - (columns - 1) / 2
    return np.tile(cells * 4 * side, 2).astype(np.float32)  # clipped boxes are at most 3 sides wide
