"""The Focus layer of YOLOX and early YOLOv5: four copies of the picture, each of every second pixel, go into the first
convolution. In the file these are seven passes over the picture in float; on bytes it is two.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from cloud.imports.graph import Nodes


def focused(graph: onnx.GraphProto, picture: str, height: int, width: int) -> str | None:
    """The value (1, 12, height / 2, width / 2) that holds what `focus` makes of `picture` (1, 3, height, width): of
    each 2 x 2 pixels the top left, bottom left, top right, bottom right. None if anything else reads `picture`."""
    if height % 2 or width % 2:
        return None
    constants = _constants(graph)
    pixels = np.arange(3 * height * width, dtype=np.int32).reshape(1, 3, height, width)
    moved: dict[str, npt.NDArray[np.int32]] = {picture: pixels}
    joined: list[onnx.NodeProto] = []
    for node in graph.node:
        if not moved.keys() & set(node.input):
            continue
        if node.op_type == "Slice" and (cut := _cut(node, constants)) is not None:
            moved[node.output[0]] = moved[node.input[0]][cut]
        elif node.op_type == "Concat" and len(node.input) == 4 and not joined and node.attribute[0].i == 1:
            joined.append(node)
        else:
            return None
    if not joined or moved.keys() & {value.name for value in graph.output}:
        return None
    parts = [moved.get(name, pixels) for name in joined[0].input]
    corners = pixels.reshape(3, height // 2, 2, width // 2, 2).transpose(4, 2, 0, 1, 3)  # (x, y, 3, h/2, w/2)
    expected = corners.reshape(4, 3, height // 2, width // 2)
    same = all(np.array_equal(part[0], wanted) for part, wanted in zip(parts, expected, strict=True))
    return joined[0].output[0] if same else None


def focus(nodes: Nodes, picture: str, height: int, width: int) -> str:
    """`picture` (1, height, width, 3) -> (1, 12, height / 2, width / 2), bytes remaining bytes.

    Two transpositions that move one axis each, since onnxruntime has fast code for such only.
    """
    corners = nodes.op("Reshape", picture, nodes.constant([height * width // 2, 6], np.int64))
    planes = nodes.op("Transpose", corners, perm=[1, 0])  # (x 3, height w/2)
    rows = nodes.op("Reshape", planes, nodes.constant([2, 3 * height // 2, 2, width // 2], np.int64))
    apart = nodes.op("Transpose", rows, perm=[0, 2, 1, 3])  # (x, y, 3 h/2, w/2)
    return nodes.op("Reshape", apart, nodes.constant([1, 12, height // 2, width // 2], np.int64))


def _cut(node: onnx.NodeProto, constants: dict[str, npt.NDArray[np.int64]]) -> tuple[slice, ...] | None:
    """What a Slice with constant bounds and steps forward does to an array of four axes."""
    if len(node.input) != 5 or not all(name in constants for name in node.input[1:]):
        return None
    cut = [slice(None)] * 4
    starts, ends, axes, steps = (constants[name].reshape(-1).tolist() for name in node.input[1:])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        if not (0 <= axis < 4 and step > 0):
            return None
        cut[axis] = slice(start, end, step)
    return tuple(cut)


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.int64]]:
    """Constant integers by the name of the value."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            tensors[node.output[0]] = node.attribute[0].t
    integers = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
    return {
        name: numpy_helper.to_array(tensor).astype(np.int64)
        for name, tensor in tensors.items()
        if tensor.data_type in integers
    }
