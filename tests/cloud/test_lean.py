"""A lean model is the same network in fewer bytes."""

from pathlib import Path

import numpy as np
import onnx

from cloud.lean import lean
from models.manifest import read_manifest
from models.runner import Runner


def test_a_lean_model_answers_the_same_in_fewer_bytes(colour_run: Path) -> None:
    model = onnx.load(colour_run / "model.onnx")
    for node in model.graph.node:
        node.doc_string = "where it was exported from " * 20
        node.metadata_props.add(key="stack", value="line by line " * 20)
    model.graph.value_info.add(name="pixels")
    fat = model.SerializeToString()
    thin = lean(model).SerializeToString()
    assert len(thin) < 0.5 * len(fat)
    assert lean(onnx.ModelProto.FromString(thin)).SerializeToString() == thin
    manifest = read_manifest(colour_run)
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    assert np.array_equal(
        Runner(thin, manifest).probabilities(picture),
        Runner(colour_run / "model.onnx", manifest).probabilities(picture),
    )
