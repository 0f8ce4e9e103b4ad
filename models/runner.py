"""Running a canonical model: one session, one thread, the same arithmetic in evaluation and on the gateway.

onnxruntime is imported here and nowhere else on a gateway, because its telemetry must be switched off first.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import; a later call is too late

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from models.detections import Detections, Float32, Int64, UInt8
from models.errors import ModelError
from models.fitting import Placement, fit
from models.manifest import InputSpec, Manifest, Task

INPUT = "image"
Raw = list[Any]  # numpy arrays, one for each of a task's OUTPUTS
OUTPUTS: dict[Task, tuple[str, ...]] = {
    "classification": ("scores",),
    "detection": ("boxes", "scores", "classes"),
    "anomaly": ("scores",),
}


class Runner:
    """A session on one ONNX file that keeps the canonical contract.

    The contract: input `image` uint8 (1, H, W, 3) BGR; a classifier, and an anomaly detector with its two labels,
    answers `scores` float32 (1, C), a detector `boxes` float32 (n, 4) xyxy in pixels of the input, `scores` float32
    (n,), `classes` int64 (n,), after NMS. `spec` is how a picture becomes the input; only what scores above `threshold`
    is reported. Any number of threads may run it at once.
    """

    def __init__(
        self,
        model: Path | bytes,
        manifest: Manifest,
        *,
        threads: int = 1,
        weights_only: bool = False,
        optimised: bool = False,
        optimised_into: Path | None = None,
    ) -> None:
        """Open the session; ModelError when the file is no model or breaks the contract.

        `weights_only`: the graph's quantised weights are brought back to float here, once, instead of in every run.
        `optimised_into`: write the graph there as it was optimised for this device; a session that is opened from that
        file, `optimised`, takes it as it is.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # two sessions that spin on two cores halve each other's throughput
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        if weights_only:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if optimised_into is not None:
            options.optimized_model_filepath = str(optimised_into)
        where = str(model) if isinstance(model, Path) else f"model {manifest.name}"
        try:
            self._session = ort.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=["CPUExecutionProvider"],
                # it rounds the weights of convolutions that were left in float between int8 ones, and by tensor: what
                # sensitivity analysis spared would be ruined at load (AP of a YOLOX 0.31 -> 0.02, onnxruntime 1.31)
                disabled_optimizers=["WeightBiasQuantization"],
            )
        # onnxruntime raises its own classes and bare RuntimeError, none of them with a common base
        except Exception as exc:
            raise ModelError(f"{where} is not an ONNX model that onnxruntime can load: {_first_line(exc)}") from exc
        self.spec = manifest.input
        self._task: Task = manifest.task
        self._whole = manifest.task != "detection"  # it tells of the picture as a whole
        self.threshold = manifest.threshold
        self._class_count = len(manifest.labels)
        self._outputs = list(OUTPUTS[manifest.task])
        self._check_contract(where)

    def run(self, image: UInt8) -> Detections:
        """What the model sees in a camera's picture, uint8 (H, W, 3) BGR; boxes in that picture's pixels."""
        fitted, placement = fit(image, self.spec)
        return self.detections(self.infer(fitted), placement)

    def run_fitted(self, fitted: UInt8) -> Detections:
        """The same on an already fitted picture (spec.height, spec.width, 3); boxes in the fitted picture's pixels."""
        return self._found(self.infer(fitted))

    def trim(self, fitted: UInt8) -> None:
        """Run once more, and give back what the first runs took to learn how much memory a run needs: a third of it for
        a detector of 350x350 (onnxruntime 1.31), and no run after it is slower."""
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.infer(fitted, options)

    def infer(self, fitted: UInt8, options: ort.RunOptions | None = None) -> Raw:
        """The graph's outputs as they are, and nothing else: what must not wait for anything is only this."""
        try:
            return list(self._session.run(self._outputs, {INPUT: fitted[None]}, options))
        except Exception as exc:  # see __init__: no common base class
            raise ModelError(f"the model failed on a picture of shape {fitted.shape}: {_first_line(exc)}") from exc

    def detections(self, raw: Raw, placement: Placement) -> Detections:
        """What `infer` answered, as detections above the threshold in the original picture; ModelError where the
        answer breaks the contract."""
        found = self._found(raw)
        if self._whole:
            box = np.array([(0, 0, *placement.size)], np.float32)
            return replace(found, xyxy=box[: len(found)])
        return replace(found, xyxy=placement.to_original(found.xyxy))

    def _found(self, raw: Raw) -> Detections:
        if self._whole:
            scores = self._probabilities(raw)
            best = int(np.argmax(scores))
            if scores[best] <= self.threshold:
                return Detections.empty()
            return Detections.of([(0, 0, self.spec.width, self.spec.height)], [scores[best]], [best])
        boxes, scores, classes = self._candidates(raw)
        keep = np.flatnonzero(scores > self.threshold)
        order = keep[np.argsort(-scores[keep], kind="stable")]
        if not np.isfinite(boxes[order]).all():
            raise ModelError("the model answers with boxes that are not finite: it is broken, not blind")
        return Detections.of(boxes[order], scores[order], classes[order])

    def probabilities(self, fitted: UInt8) -> Float32:
        """A classifier's scores, float32 (C,)."""
        return self._probabilities(self.infer(fitted))

    def candidates(self, fitted: UInt8) -> tuple[Float32, Float32, Int64]:
        """A detector's raw answer after NMS, below the threshold too: boxes (n, 4), scores (n,), classes (n,)."""
        return self._candidates(self.infer(fitted))

    def _probabilities(self, raw: Raw) -> Float32:
        (scores,) = raw
        _check_scores(scores)
        return np.asarray(scores[0], np.float32)

    def _candidates(self, raw: Raw) -> tuple[Float32, Float32, Int64]:
        boxes, scores, classes = raw
        n = len(scores) if scores.ndim else -1
        if boxes.shape != (n, 4) or scores.shape != (n,) or classes.shape != (n,):
            raise ModelError(
                f"the model answers boxes {boxes.shape}, scores {scores.shape} and classes {classes.shape}; "
                f"expected (n, 4), (n,) and (n,)"
            )
        _check_scores(scores)
        if n and not (classes.min() >= 0 and classes.max() < self._class_count):
            raise ModelError(
                f"the model answers classes {classes.min()}..{classes.max()}, "
                f"but its manifest names {self._class_count} labels"
            )
        return boxes, scores, classes

    def _check_contract(self, where: str) -> None:
        inputs = {value.name: (value.type, value.shape) for value in self._session.get_inputs()}
        expected = {INPUT: ("tensor(uint8)", [1, self.spec.height, self.spec.width, 3])}
        if inputs != expected:
            raise ModelError(
                f"{where} is not canonical: inputs are {inputs}, expected {expected}; turn it into a canonical "
                f"model with `tidegate import`"
            )
        types = {value.name: value.type for value in self._session.get_outputs()}
        wanted = {name: "tensor(int64)" if name == "classes" else "tensor(float)" for name in self._outputs}
        if {name: types.get(name) for name in wanted} != wanted:
            raise ModelError(f"{where} is not a canonical {self._task} model: outputs are {types}, expected {wanted}")
        if self._whole:
            (scores,) = [value for value in self._session.get_outputs() if value.name == "scores"]
            if scores.shape != [1, self._class_count]:
                raise ModelError(
                    f"{where} answers scores of shape {scores.shape}, but its manifest names {self._class_count} labels"
                )


def open_runner(folder: Path, manifest: Manifest, variant: str | None = None, *, threads: int = 1) -> Runner:
    """A runner on a variant (default: the chosen one) of a run folder or package."""
    entry = manifest.variant(variant)
    return Runner(folder / entry.file, manifest, threads=threads, weights_only=entry.weights_only)


def _check_scores(scores: Float32) -> None:
    # nothing seen is not could-not-look: NaN is below every threshold, and would pass for an empty scene
    if not np.isfinite(scores).all():
        raise ModelError("the model answers with scores that are not finite: it is broken, not blind")


def _first_line(exc: Exception) -> str:
    return str(exc).strip().splitlines()[0][:200] if str(exc).strip() else type(exc).__name__


__all__ = ["INPUT", "OUTPUTS", "InputSpec", "Runner", "open_runner"]
