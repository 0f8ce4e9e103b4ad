"""Opening a release with the variant that is right, and not slower than it need be, on this very device.

The gate in the cloud chose one for a class of hardware, and sent a fallback along that computes in float. Whether
int8 pays on this processor, and whether its kernels round as they did where the golden frames were made, shows here.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path

import numpy as np

from models import golden
from models.configuration import parse
from models.detections import UInt8
from models.durable import write_atomic
from models.errors import ConfigError, ModelError
from models.hardware import hardware_class
from models.latency import Latency, compare_latency, is_slower
from models.manifest import Manifest, sha256_file
from models.runner import Runner, open_runner

log = logging.getLogger(__name__)

CHOICE = "choice.json"
BUDGET_S = 1.0  # of processor time; the current model goes on meanwhile
_ROUNDS = 100
_AT_LEAST = 3


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A release that is ready to answer: opened, warm, and agreeing with its golden frames."""

    manifest: Manifest
    runner: Runner
    variant: str
    digest: str

    @property
    def label(self) -> str:
        return f"{self.manifest.name}@{self.manifest.release}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """`on`: the machine and the runtime that it holds for; on others it is made anew."""

    variant: str
    why: str
    on: str


def load(folder: Path, manifest: Manifest, *, memory: Path | None = None) -> LoadedModel:
    """Open a run folder or accepted package and compare it with its golden answers.

    Where it holds a fallback, that one is taken if the chosen variant does not work here, answers otherwise than it
    did when it was made, or is slower; this is found out once, and remembered in the file `memory`. ModelError when
    no variant is fit to run.
    """
    if len(manifest.shipped) == 1:
        return _open(folder, manifest, manifest.chosen)
    remembered = _remembered(memory, manifest)
    if remembered is not None:
        # what worked and does not any more is judged anew
        with contextlib.suppress(ModelError):
            return _open(folder, manifest, remembered.variant)
    model, why = _choose(folder, manifest)
    if why:
        log.warning("%s runs as %s, not as %s: %s", model.label, model.variant, manifest.chosen, why)
    if memory is not None:
        # on a full disk it is found out again after the next start
        with contextlib.suppress(OSError):
            choice = _Choice(model.variant, why, here())
            write_atomic(memory, (json.dumps(asdict(choice), indent=1) + "\n").encode())
    return model


def side_by_side(
    runners: Mapping[str, Runner],
    frames: list[UInt8],
    *,
    rounds: int = _ROUNDS,
    budget_s: float = BUDGET_S,
) -> dict[str, Latency]:
    """How long each runner takes for fitted pictures, taking turns."""
    runs = {name: _on_each(runner, frames) for name, runner in runners.items()}
    return compare_latency(runs, rounds=rounds, budget_s=budget_s, warm_up=1, at_least=_AT_LEAST)


def here() -> str:
    """What a speed depends on here: the class of hardware, and the runtime's version."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:  # built from source, or under another name
        runtime = "unknown"
    return f"{hardware_class()}, onnxruntime {runtime}"


def _choose(folder: Path, manifest: Manifest) -> tuple[LoadedModel, str]:
    """The variant to run here, and why it is not the chosen one if it isn't."""
    first, second = (variant.name for variant in manifest.shipped)
    try:
        chosen = _open(folder, manifest, first)
    except ModelError as exc:
        return _open(folder, manifest, second), str(exc)
    try:
        fallback = _open(folder, manifest, second)
    except ModelError as exc:
        log.warning("%s has no fallback here: %s", chosen.label, exc)
        return chosen, ""
    frames = list(golden.read_golden(folder).frames.values())
    took = side_by_side({first: chosen.runner, second: fallback.runner}, frames)
    took_ms, than_ms = took[first].p50_ms, took[second].p50_ms
    if is_slower(took_ms, than_ms):
        return fallback, f"it takes {took_ms:.2f} ms here against {than_ms:.2f} ms"
    return chosen, ""


def _open(folder: Path, manifest: Manifest, name: str) -> LoadedModel:
    """Open a variant, run it once, and compare it with its golden answers."""
    runner = open_runner(folder, manifest, name)
    runner.run_fitted(np.zeros((manifest.input.height, manifest.input.width, 3), np.uint8))
    if differences := golden.replay(golden.read_golden(folder), name, runner):
        raise ModelError(
            f"{manifest.name}@{manifest.release} does not answer here as it did when it was made: {differences[0]}"
        )
    return LoadedModel(manifest, runner, name, sha256_file(folder / manifest.variant(name).file))


def _remembered(memory: Path | None, manifest: Manifest) -> _Choice | None:
    if memory is None:
        return None
    try:
        choice = parse(_Choice, json.loads(memory.read_bytes()), where=str(memory))
    except (OSError, ValueError, ConfigError):
        return None
    fits = choice.on == here() and choice.variant in {variant.name for variant in manifest.shipped}
    return choice if fits else None


def _on_each(runner: Runner, frames: list[UInt8]) -> Callable[[], object]:
    pictures = cycle(frames)
    return lambda: runner.run_fitted(next(pictures))
