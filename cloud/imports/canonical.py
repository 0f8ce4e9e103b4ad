"""Files that keep the canonical contract already (docs/architecture.md)."""

import numpy as np
import numpy.typing as npt
import onnx

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.preprocess import Preprocess
from cloud.imports.source import Source, read_canonical
from models.detections import Float32
from models.manifest import InputSpec, Task
from models.runner import INPUT, OUTPUTS


def canonical(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input `image` uint8 1 x H x W x 3; outputs `scores` 1 x C, or `boxes`, `scores`, `classes` after suppression."""
    how = how or Preprocess()
    height, width = _input(source)
    names = [output.name for output in source.outputs]
    task: Task | None = next((task for task, wanted in OUTPUTS.items() if set(wanted) == set(names)), None)
    if task is None:
        raise MisfitError(f"outputs are {', '.join(map(repr, names))}, expected scores; or boxes, scores, classes")
    class_count = None  # a detector's file does not say
    if task == "classification":
        shape = source.outputs[0].shape
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise MisfitError(f"output is {source.outputs[0]}, expected 1 x classes")
        class_count = shape[1]
    model: onnx.ModelProto = read_canonical(source.path)
    return Adapted(
        model=model,
        task=task,
        input=InputSpec(height, width, fit=how.fit, interpolation="linear"),
        class_count=class_count,
        feed=lambda fitted: {INPUT: fitted[None]},
        decode=lambda outputs: _decode(task, dict(zip(names, outputs, strict=True))),
        suppressed=True,
    )


def _decode(task: Task, outputs: dict[str, npt.NDArray[np.float32]]) -> Candidates | Float32:
    if task == "classification":
        return np.asarray(outputs["scores"][0], np.float32)
    return Candidates(
        outputs["boxes"].astype(np.float64), outputs["scores"].astype(np.float64), outputs["classes"].astype(np.int64)
    )


def _input(source: Source) -> tuple[int, int]:
    match [(port.name, port.dtype, port.shape) for port in source.inputs]:
        case [("image", "uint8", (1, int(height), int(width), 3))]:
            return height, width
    raise MisfitError(f"inputs are {'; '.join(map(str, source.inputs))}, expected 'image' uint8 1xHxWx3")
