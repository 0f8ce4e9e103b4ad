"""Opening a release with the variant that is right, and not slower than it need be, on this very device.

The gate in the cloud chose one for a class of hardware, and sent a fallback along that computes in float. Whether
int8 pays on this processor, and whether its kernels round as they did where the golden frames were made, shows here.
"""

import contextlib
import functools
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from pathlib import Path

from edge.optimised import open_kept
from models import golden
from models.configuration import parse
from models.detections import UInt8
from models.durable import write_atomic
from models.errors import ConfigError, ModelError
from models.hardware import hardware_class
from models.latency import Latency, compare_latency, is_slower
from models.manifest import Manifest, sha256_file
from models.runner import Runner

log = logging.getLogger(__name__)

CHOICE = "choice.json"
BUDGET_S = 1.0  # of processor time; the current model goes on meanwhile
_ROUNDS = 100
_AT_LEAST = 3
_TIMED_S = 0.2  # of processor time, for a variant that is not compared with another
_TIMED_ROUNDS = 20


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A release that is ready to answer: opened, warm, and agreeing with its golden frames.

    `folder` holds it. `took_ms` is the processor time of one golden frame here, in the median, and `replay_ms` what one
    took by the clock when this session was opened; 0 where that was not measured.
    """

    manifest: Manifest
    runner: Runner
    variant: str
    digest: str
    folder: Path = Path()
    took_ms: float = 0.0
    replay_ms: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.manifest.name}@{self.manifest.release}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """`on`: the machine and the runtime that it holds for; on others it is made anew. `took_ms` as in LoadedModel."""

    variant: str
    why: str
    on: str
    took_ms: float


def load(folder: Path, manifest: Manifest, *, keep: Path | None = None) -> LoadedModel:
    """Open a run folder or accepted package and compare it with its golden answers.

    Where it holds a fallback, that one is taken if the chosen variant does not work here, answers otherwise than it
    did when it was made, or is slower. This is found out once, like how long a frame takes, and remembered in the
    folder `keep`, as is the graph that onnxruntime optimised for this device. ModelError when no variant is fit to run.
    """
    remembered = _remembered(keep, manifest)
    if remembered is not None:
        # what worked and does not any more is judged anew
        with contextlib.suppress(ModelError):
            return replace(_open(folder, manifest, remembered.variant, keep), took_ms=remembered.took_ms)
    model, why = _choose(folder, manifest, keep)
    if why:
        log.warning("%s runs as %s, not as %s: %s", model.label, model.variant, manifest.chosen, why)
    if keep is not None:
        # on a full disk it is found out again after the next start
        with contextlib.suppress(OSError):
            choice = _Choice(model.variant, why, here(), model.took_ms)
            write_atomic(keep / CHOICE, (json.dumps(asdict(choice), indent=1) + "\n").encode())
    return model


def golden_frames(model: LoadedModel) -> list[UInt8]:
    """Its golden frames; PackageError when they cannot be read any more."""
    return list(golden.read_golden(model.folder).frames.values())


def compare(model: LoadedModel, other: LoadedModel) -> tuple[float, float]:
    """The processor time of a golden frame with each of two models, in the median: each on its own, taking turns."""
    runs = {
        "model": _on_each(model.runner, golden_frames(model)),
        "other": _on_each(other.runner, golden_frames(other)),
    }
    took = compare_latency(runs, rounds=_ROUNDS, budget_s=BUDGET_S, warm_up=1, at_least=_AT_LEAST)
    return took["model"].p50_ms, took["other"].p50_ms


def replayed_now_ms(model: LoadedModel) -> float:
    """What one of a model's golden frames takes now by the clock, in the median."""
    runs = {"": _on_each(model.runner, golden_frames(model))}
    took = compare_latency(
        runs, rounds=_TIMED_ROUNDS, budget_s=_TIMED_S, warm_up=1, at_least=_AT_LEAST, clock_ns=time.perf_counter_ns
    )
    return took[""].p50_ms


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


@functools.cache
def here() -> str:
    """What a speed depends on here: the class of hardware, and the runtime's version."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:  # built from source, or under another name
        runtime = "unknown"
    return f"{hardware_class()}, onnxruntime {runtime}"


def _choose(folder: Path, manifest: Manifest, keep: Path | None) -> tuple[LoadedModel, str]:
    """The variant to run here, and why it is not the chosen one if it isn't."""
    first, *others = (variant.name for variant in manifest.shipped)
    if not others:
        return _timed(_open(folder, manifest, first, keep)), ""
    second = others[0]
    try:
        chosen = _open(folder, manifest, first, keep)
    except ModelError as exc:
        return _timed(_open(folder, manifest, second, keep)), str(exc)
    try:
        fallback = _open(folder, manifest, second, keep)
    except ModelError as exc:
        log.warning("%s has no fallback here: %s", chosen.label, exc)
        return _timed(chosen), ""
    took = side_by_side({first: chosen.runner, second: fallback.runner}, golden_frames(chosen))
    took_ms, than_ms = took[first].p50_ms, took[second].p50_ms
    if is_slower(took_ms, than_ms):
        return replace(fallback, took_ms=than_ms), f"it takes {took_ms:.2f} ms here against {than_ms:.2f} ms"
    return replace(chosen, took_ms=took_ms), ""


def _timed(model: LoadedModel) -> LoadedModel:
    took = side_by_side({"": model.runner}, golden_frames(model), rounds=_TIMED_ROUNDS, budget_s=_TIMED_S)
    return replace(model, took_ms=took[""].p50_ms)


def _open(folder: Path, manifest: Manifest, name: str, keep: Path | None) -> LoadedModel:
    """Open a variant and compare it with its golden answers, which also warms it."""
    digest = sha256_file(folder / manifest.variant(name).file)
    runner = open_kept(folder, manifest, name, digest=digest, on=here(), keep=keep)
    expected = golden.read_golden(folder)
    started = time.perf_counter()
    if differences := golden.replay(expected, name, runner):
        raise ModelError(
            f"{manifest.name}@{manifest.release} does not answer here as it did when it was made: {differences[0]}"
        )
    replayed_ms = (time.perf_counter() - started) * 1000 / len(expected.answers[name])
    runner.trim(next(iter(expected.frames.values())))
    return LoadedModel(manifest, runner, name, digest, folder, replay_ms=replayed_ms)


def _remembered(keep: Path | None, manifest: Manifest) -> _Choice | None:
    if keep is None:
        return None
    path = keep / CHOICE
    try:
        choice = parse(_Choice, json.loads(path.read_bytes()), where=str(path))
    except (OSError, ValueError, ConfigError):
        return None
    fits = choice.on == here() and choice.variant in {variant.name for variant in manifest.shipped}
    return choice if fits else None


def _on_each(runner: Runner, frames: list[UInt8]) -> Callable[[], object]:
    pictures = cycle(frames)
    return lambda: runner.run_fitted(next(pictures))
