"""Distillation: a small network learns a large one's doubts too (Hinton et al. 2015,
https://arxiv.org/abs/1503.02531)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cloud.image_folder import read_picture
from cloud.run_folder import REFERENCE
from models.detections import Float32
from models.errors import UsageError
from models.fitting import fit
from models.manifest import MANIFEST, read_manifest
from models.runner import Runner

TEMPERATURE = 3.0
SHARE = 0.7  # of the loss that is the teacher's


def soft_targets(teacher: Path, labels: Sequence[str], paths: Sequence[Path]) -> Float32:
    """The teacher's probabilities for every picture, float32 (n, classes), columns in the order of `labels`. `teacher`
    is a run folder, or a canonical ONNX file in one; UsageError when it does not know one of the classes.

    The teacher sees each picture once, in its own size and as it is: what augmentation changes leaves the class alone.
    """
    home = teacher if teacher.is_dir() else teacher.parent
    if not (home / MANIFEST).is_file():
        raise UsageError(
            f"--teacher {teacher}: expected a run folder, or an ONNX file in one; turn a foreign model into one with "
            f"`tidegate import {teacher} --adapter classifier`"
        )
    manifest = read_manifest(home)
    unknown = [label for label in labels if label not in manifest.labels]
    if manifest.task != "classification" or unknown:
        what = f"it does not know class {unknown[0]!r}" if unknown else f"it is a model for {manifest.task}"
        raise UsageError(f"--teacher {teacher} can't teach this: {what}; it knows {', '.join(manifest.labels[:8])}")
    runner = Runner(home / manifest.variant(REFERENCE).file if teacher.is_dir() else teacher, manifest)
    columns = [manifest.labels.index(label) for label in labels]
    rows = np.stack([runner.probabilities(fit(read_picture(path), manifest.input)[0]) for path in paths])[:, columns]
    return np.asarray(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9), np.float32)


def distillation_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy with the teacher's probabilities (n, classes), both softened; the temperature squared keeps its
    gradients as large as those of the labels."""
    softened = torch.softmax(torch.log(taught.clamp_min(1e-8)) / TEMPERATURE, dim=1)
    return functional.cross_entropy(logits / TEMPERATURE, softened) * TEMPERATURE**2
