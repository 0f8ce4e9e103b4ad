"""A release that nobody's checks at home would catch: it loads, it runs as fast, its golden frames agree with the
answers it was made with, and it is wrong, because somebody exported it with its classes in another order."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cloud.run_folder import add_variant, edit_run
from models.golden import read_golden, record_golden, write_golden
from models.manifest import Manifest, read_manifest
from models.runner import open_runner


def mix_up_classes(run: Path) -> None:
    """Turn the model of a run folder into one that answers with its classes in reverse order, in every variant."""
    with edit_run(run) as draft:
        manifest = read_manifest(draft)
        for variant in manifest.variants:
            model = onnx.load(str(draft / variant.file))
            _reverse_classes(model, manifest)
            onnx.checker.check_model(model)
            onnx.save(model, str(draft / variant.file))
            manifest = add_variant(
                draft,
                variant.name,
                variant.file,
                accuracy=variant.accuracy,
                latency_ms=variant.latency_ms,
                weights_only=variant.weights_only,
            )
        frames = list(read_golden(draft).frames.values())
        runners = {variant.name: open_runner(draft, manifest, variant.name) for variant in manifest.variants}
        write_golden(draft, record_golden(frames, runners))


def _reverse_classes(model: onnx.ModelProto, manifest: Manifest) -> None:
    graph = model.graph
    count = len(manifest.labels)
    output = "scores" if manifest.task != "detection" else "classes"
    right = f"{output}_as_trained"
    for node in graph.node:
        node.output[:] = [right if name == output else name for name in node.output]
        node.input[:] = [right if name == output else name for name in node.input]
    if manifest.task != "detection":
        order = numpy_helper.from_array(np.arange(count)[::-1].astype(np.int64), "classes_reversed")
        graph.initializer.append(order)
        graph.node.append(helper.make_node("Gather", [right, order.name], [output], axis=1))
    else:
        last = numpy_helper.from_array(np.array(count - 1, np.int64), "last_class")
        graph.initializer.append(last)
        graph.node.append(helper.make_node("Sub", [last.name, right], [output]))
