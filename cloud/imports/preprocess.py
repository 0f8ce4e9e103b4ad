"""What a foreign network wants done to a picture, where its file can't say: channel order, mean, deviation, fit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from cloud.imports.adapted import MisfitError
from cloud.imports.focus import focus, focused
from cloud.imports.graph import Nodes
from cloud.imports.source import Source
from models.detections import UInt8
from models.manifest import Fit
from models.runner import INPUT

Channels = Literal["bgr", "rgb"]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Pixels 0..255 become (pixel - `mean`) / `std`, numbers in the order of `channels`; `fit` as in a manifest."""

    channels: Channels = "bgr"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fit: Fit = "stretch"

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")


# as their trainers document them; pixels are 0..255 here, so theirs times 255
PRESETS: dict[str, Preprocess] = {
    "none": Preprocess(),
    "unit": Preprocess("rgb", std=(255.0, 255.0, 255.0)),
    "imagenet": Preprocess("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), fit="crop"),  # PyTorch's
    "caffe": Preprocess("bgr", (103.939, 116.779, 123.68), fit="crop"),
    "tensorflow": Preprocess("rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5), fit="crop"),
}


@dataclass(frozen=True, slots=True)
class PictureInput:
    """The one input of a network that sees: 1 x 3 x H x W (`planes`) or 1 x H x W x 3."""

    name: str
    height: int
    width: int
    planes: bool
    dtype: str
    value: str  # what the normalised graph reads: its input, or what a Focus layer would make of that
    focused: bool


def picture_input(source: Source, *, multiple: int = 1) -> PictureInput:
    """The input, if it is one picture with sides that are multiples of `multiple`; MisfitError otherwise."""
    expected = "one float input of 1x3xHxW or 1xHxWx3" + (f", H and W multiples of {multiple}" if multiple > 1 else "")
    if len(source.inputs) != 1 or source.inputs[0].dtype not in ("float", "float16"):
        raise MisfitError(f"inputs are {'; '.join(map(str, source.inputs)) or 'none'}, expected {expected}")
    port = source.inputs[0]
    match port.shape:
        case (1 | str(), 3, int(height), int(width)):
            planes = True
        case (1 | str(), int(height), int(width), 3):
            planes = False
        case _:
            raise MisfitError(f"input is {port}, expected {expected}")
    if height <= 0 or width <= 0 or height % multiple or width % multiple:
        raise MisfitError(f"input is {port}, expected {expected}")
    value = source.value(port.name)
    halves = focused(source.model.graph, value, height, width) if planes else None
    return PictureInput(port.name, height, width, planes, port.dtype, halves or value, halves is not None)


def prepare_picture(nodes: Nodes, port: PictureInput, how: Preprocess) -> None:
    """The canonical input, uint8 (1, H, W, 3) BGR -> what the network wants at `port`, in float32."""
    value = INPUT
    if how.channels == "rgb":
        value = nodes.op("Gather", value, nodes.constant([2, 1, 0], np.int64), axis=3)
    if port.focused:
        value = focus(nodes, value, port.height, port.width)
    elif port.planes:
        value = nodes.op("Transpose", value, perm=[0, 3, 1, 2])  # while it is a quarter of the bytes
    shape = (1, -1, 1, 1) if port.planes else (1, 1, 1, 3)
    copies = 4 if port.focused else 1
    offset, factor = np.tile(-np.array(how.mean), copies), np.tile(1 / np.array(how.std), copies)
    shifted, scaled = bool(offset.any()), bool((factor != 1).any())
    if scaled and not shifted and len(set(factor.tolist())) == 1:
        # cast and product in one pass: the same bits, in two thirds of the time
        zero = nodes.constant(0, np.uint8)
        nodes.op("DequantizeLinear", value, nodes.constant(factor[0], np.float32), zero, out=port.value)
        return
    value = nodes.op("Cast", value, to=TensorProto.FLOAT, out=None if shifted or scaled else port.value)
    if shifted:
        value = nodes.op("Add", value, _by_channel(nodes, offset, shape), out=None if scaled else port.value)
    if scaled:  # last, as cv2.dnn.blobFromImage does it: the same bits
        nodes.op("Mul", value, _by_channel(nodes, factor, shape), out=port.value)


def feeding(port: PictureInput, how: Preprocess) -> Callable[[UInt8], dict[str, npt.NDArray[Any]]]:
    """The same in plain numpy, for the original file: a fitted picture (H, W, 3) BGR -> its input by name."""

    def feed(fitted: UInt8) -> dict[str, npt.NDArray[Any]]:
        ordered = fitted[:, :, ::-1] if how.channels == "rgb" else fitted
        values = (ordered.astype(np.float64) - how.mean) / how.std
        values = values.transpose(2, 0, 1)[None] if port.planes else values[None]
        return {port.name: values.astype(np.float16 if port.dtype == "float16" else np.float32)}

    return feed


def _by_channel(nodes: Nodes, values: npt.NDArray[np.float64], shape: tuple[int, ...]) -> str:
    if len(set(values.tolist())) == 1:
        return nodes.constant(values[0], np.float32)
    return nodes.constant(values.reshape(shape), np.float32)
