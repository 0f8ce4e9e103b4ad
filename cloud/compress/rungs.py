"""The ladder's fine-tuned rungs, for runs that we trained ourselves: trained as int8, and with fewer channels. What
they are, and when they are worth their time; cloud/compress/tuned.py makes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cloud.compress.gate import Limits
from cloud.compress.int8 import Search
from cloud.compress.material import AGREEMENT, Material
from cloud.run_folder import WEIGHTS
from models.manifest import Manifest

INT8_QAT, PRUNED, PRUNED_INT8 = "int8-qat", "pruned", "pruned-int8"
TUNED = (INT8_QAT, PRUNED, PRUNED_INT8)

FINE_TUNED = "fine_tuned"  # in a manifest's lineage and in report.json

_TUNABLE = ("classification", "detection")
_LIBRARIES = ("torch", "torchao", "torch_pruning")


@dataclass(frozen=True, slots=True)
class Wish:
    """Fine-tuned rungs to make: `names`, asked for by name (what stands in the way is an error) or not (then it is
    said). `epochs` of fine-tuning (0: by those that the run was trained for); pruning leaves at most `keep` of the
    multiplications."""

    names: Sequence[str]
    by_name: bool = True
    epochs: int = 0
    keep: float = 0.5

    def __post_init__(self) -> None:
        if not (0 <= self.epochs <= 10_000 and 0 < self.keep < 1):
            raise ValueError(f"need epochs 0..10000 and a part to keep between 0 and 1, got {self.epochs}, {self.keep}")


@dataclass(slots=True)
class Tuned:
    """How fine-tuned variants were `made`, by name, for the report; and why others were `left_out`."""

    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def worth_tuning(search: Search | None, smallest_bytes: int, limits: Limits) -> tuple[str, ...]:
    """The rungs to try when none was asked for: int8 trained as int8 where calibration alone did not do, fewer
    channels where nothing else is small enough."""
    wanted = []
    if search is not None and (
        search.best is None or search.best.metric < search.reference - limits.accuracy_margin / 2
    ):
        wanted.append(INT8_QAT)
    if limits.max_bytes and smallest_bytes > limits.max_bytes:
        wanted.append(PRUNED_INT8)
    return tuple(wanted)


def hindrance(run: Path, manifest: Manifest, material: Material) -> str:
    """Why this run can't be fine-tuned on this material; empty when nothing is in the way."""
    if manifest.task not in _TUNABLE:
        return f"only networks for {' and '.join(_TUNABLE)} can be fine-tuned, {manifest.name} is for {manifest.task}"
    if not (run / WEIGHTS).is_file():
        return f"{run} holds no {WEIGHTS}: only what `tidegate train` made can be fine-tuned"
    if material.metric == AGREEMENT:
        return "fine-tuning needs labelled pictures to train on, and --data has none"
    if missing := [name for name in _LIBRARIES if find_spec(name) is None]:
        return f"fine-tuning needs {missing[0]}: pip install 'tidegate[train]'"
    return ""
