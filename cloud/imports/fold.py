"""A scaling of the picture that the first convolution's weights do as well: one pass over all pixels less."""

import numpy as np
import onnx
from onnx import numpy_helper


def fold_scale(graph: onnx.GraphProto, scaling: onnx.NodeProto) -> None:
    """Take the `Mul` by a constant out of `graph` where all that reads it are plain convolutions; else leave it.

    A factor by channel can be folded too, and zero padding does not mind (an offset would).
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = [node for node in graph.node if scaling.output[0] in node.input]
    if not readers or not all(_is_plain(node, scaling.output[0], weights) for node in readers):
        return
    kernels = {node.input[1] for node in readers}
    if any(kernels.intersection(node.input) for node in graph.node if node not in readers):
        return
    factor = numpy_helper.to_array(weights[scaling.input[1]]).astype(np.float64)  # () or (1, 3, 1, 1)
    for name in kernels:
        kernel = numpy_helper.to_array(weights[name])  # (out, 3, height, width)
        weights[name].CopyFrom(numpy_helper.from_array((kernel * factor).astype(np.float32), name))
    for node in readers:
        node.input[0] = scaling.input[0]
    graph.initializer.remove(weights[scaling.input[1]])
    graph.node.remove(scaling)


def _is_plain(node: onnx.NodeProto, picture: str, weights: dict[str, onnx.TensorProto]) -> bool:
    """Whether it is a convolution of all channels of `picture` at once, by weights that are constant and float32."""
    grouped = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
    kernel = weights.get(node.input[1]) if node.op_type == "Conv" else None
    return (
        kernel is not None
        and kernel.data_type == onnx.TensorProto.FLOAT
        and len(kernel.dims) == 4
        and not grouped
        and list(node.input).count(picture) == 1
        and node.input[0] == picture
    )
