"""Ultra-Light-Fast-Generic-Face-Detector (https://github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB)."""

import numpy as np

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.graph import Nodes, canonical_detector, likely_rows, suppress
from cloud.imports.preprocess import Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

_DOCUMENTED = Preprocess("rgb", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), fit="stretch")


def ultraface(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W float, RGB, (pixel - 127) / 128, plainly resized; outputs `scores` 1 x N x 2 (background,
    face) and `boxes` 1 x N x 4 (x1, y1, x2, y2 as parts of the picture). One class: face."""
    how = how or _DOCUMENTED
    port = picture_input(source)
    scores_at, boxes_at = _outputs(source)

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    rows = after.op("Squeeze", source.value("scores"), after.constant([0], np.int64))  # (N, 2)
    face = after.op("Gather", rows, after.constant(1, np.int64), axis=1)  # (N,)
    at = likely_rows(after, face)
    scores = after.op("Gather", face, at)
    corners = after.op("Squeeze", source.value("boxes"), after.constant([0], np.int64))  # (N, 4)
    whole = after.constant([port.width, port.height] * 2, np.float32)
    boxes = after.op("Mul", after.op("Gather", corners, at), whole)
    classes = after.op("Mul", at, after.constant(0, np.int64))
    side = max(port.height, port.width)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=1, side=side)
    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=port.height, width=port.width),
        task="detection",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=1,
        feed=feeding(port, how),
        decode=lambda outputs: _decode(outputs[scores_at], outputs[boxes_at], port.height, port.width),
    )


def _decode(scores: Float32, boxes: Float32, height: int, width: int) -> Candidates:
    corners = boxes[0].astype(np.float64) * (width, height, width, height)
    return Candidates(corners, scores[0, :, 1].astype(np.float64), np.zeros(len(corners), np.int64))


def _outputs(source: Source) -> tuple[int, int]:
    """Which of the file's outputs are `scores` and `boxes`."""
    shapes = {port.name: port.shape for port in source.outputs}
    match shapes.get("scores"), shapes.get("boxes"):
        case (1 | str(), _, 2), (1 | str(), _, 4):
            names = list(shapes)
            return names.index("scores"), names.index("boxes")
    raise MisfitError(
        f"outputs are {'; '.join(map(str, source.outputs))}, expected 'scores' 1xNx2 (background, face) and 'boxes' "
        f"1xNx4"
    )
