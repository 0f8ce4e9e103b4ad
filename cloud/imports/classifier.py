"""Image classifiers of any make: one picture in, logits or probabilities out."""

import numpy as np

from cloud.imports.adapted import Adapted, MisfitError
from cloud.imports.graph import Nodes, canonical_classifier
from cloud.imports.preprocess import PictureInput, Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

_SAME_NUMBERS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_LIKE_A_SUM = 0.02  # float16 adds a thousand numbers roughly


def classifier(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W or 1 x H x W x 3; the output's numbers, as many as there are classes, are probabilities
    if they are such for pictures of noise, else logits (and a softmax is added)."""
    how = how or Preprocess()
    port = picture_input(source)
    class_count = _class_count(source)
    if _last_operator(source) == "Sigmoid":
        raise MisfitError("it ends in a sigmoid: it tells several labels at once, and a classifier tells one")
    logits = not _answers_probabilities(source, port, how)

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    shape = after.constant([1, class_count], np.int64)
    out = source.value(source.outputs[0].name)
    if logits:
        after.op("Softmax", after.op("Reshape", out, shape), out="scores", axis=1)
    else:
        after.op("Reshape", out, shape, out="scores")
    return Adapted(
        model=canonical_classifier(
            source.model,
            before=before,
            after=after,
            height=port.height,
            width=port.width,
            class_count=class_count,
        ),
        task="classification",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=class_count,
        feed=feeding(port, how),
        decode=lambda outputs: _probabilities(outputs[0], logits),
    )


def _probabilities(answer: Float32, logits: bool) -> Float32:
    values = answer.reshape(-1).astype(np.float64)
    if logits:
        values = np.exp(values - values.max())
        values /= values.sum()
    return values.astype(np.float32)


def _answers_probabilities(source: Source, port: PictureInput, how: Preprocess) -> bool:
    rng = np.random.default_rng(0)
    for _ in range(3):
        noise = rng.integers(0, 256, (port.height, port.width, 3)).astype(np.uint8)
        values = source.run(feeding(port, how)(noise))[0].astype(np.float64)
        if values.min() < 0 or abs(values.sum() - 1) > _LIKE_A_SUM:
            return False
    return True


def _last_operator(source: Source) -> str:
    """What computes the output, reshaping aside; empty where nothing does."""
    makers = {name: node for node in source.model.graph.node for name in node.output}
    node = makers.get(source.value(source.outputs[0].name))
    while node is not None and node.op_type in _SAME_NUMBERS:
        node = makers.get(node.input[0])
    return node.op_type if node is not None else ""


def _class_count(source: Source) -> int:
    match [output.shape for output in source.outputs]:
        case [(1 | str(), int(count), *rest)] if count > 1 and all(side == 1 for side in rest):
            return count
    raise MisfitError(
        f"outputs are {'; '.join(map(str, source.outputs))}, expected a single one of 1 x classes (x 1 x 1)"
    )
