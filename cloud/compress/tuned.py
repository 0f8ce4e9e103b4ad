"""Making the fine-tuned rungs: pictures and weights in, variants in a draft and how they were made out."""

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloud.compress.gate import Limits
from cloud.compress.int8 import Search, search_int8
from cloud.compress.material import Material
from cloud.compress.prune import Size, prune, size_of
from cloud.compress.run import INT8
from cloud.compress.rungs import FINE_TUNED, INT8_QAT, PRUNED, PRUNED_INT8, Tuned, Wish
from cloud.compress.tuning import Distilled, OnStep, Trained, fine_tune, open_trained, read_lesson
from cloud.quiet import quiet
from cloud.run_folder import add_variant, variant_file
from cloud.train.lesson import Lesson
from cloud.train.loop import Settings
from models.errors import TidegateError, UsageError
from models.manifest import read_manifest, write_manifest

_PRUNED_RATE = 1e-3
_SHARES = {INT8_QAT: 0.1, PRUNED: 0.3}  # of the epochs that the run was trained for
_COSTS = {INT8_QAT: 3.0, PRUNED: 1.7}  # an epoch's time, as a part of one in training
_LEAST_EPOCHS = 2
_ROOM = 0.97  # of the parameters that a limit on bytes leaves: scales go by channel


def make_tuned(
    draft: Path,
    material: Material,
    data: Path,
    val: Path | None,
    wish: Wish,
    limits: Limits,
    *,
    until: float,
    say: Callable[[str], None],
    on_step: OnStep,
) -> Tuned:
    """Put the wished-for variants into the draft of a run; how they were made.

    They learn from the training part of `data` alone. What was not asked for by name is left out when it can't be
    made, or not before `until` (time.monotonic()).
    """
    tuned = Tuned()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            bench = _set_up(draft, material, data, val, wish, until, Path(scratch), say, on_step)
        except TidegateError as exc:
            if wish.by_name:
                raise
            tuned.left_out.update(dict.fromkeys(wish.names, str(exc)))
            return tuned
        makers: dict[str, Callable[[], dict[str, dict[str, Any]]]] = {}
        if INT8_QAT in wish.names:
            makers[INT8_QAT] = lambda: _make_int8_qat(draft, bench, limits)
        if {PRUNED, PRUNED_INT8} & set(wish.names):
            makers[PRUNED] = lambda: _make_pruned(draft, bench, wish, limits)
        for name, make in makers.items():
            try:
                tuned.made.update(make())
            except TidegateError as exc:
                if wish.by_name:
                    raise
                tuned.left_out[name] = str(exc)
    if tuned.made:
        _enter(draft, tuned.made)
    return tuned


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What every fine-tuning works with; `lesson` has the network's own answers in it, `plain` has not."""

    trained: Trained
    plain: Lesson
    lesson: Distilled
    material: Material
    epochs: Mapping[str, int]
    until: float
    scratch: Path
    say: Callable[[str], None]
    on_step: OnStep

    def settings(self, name: str, learning_rate: float) -> Settings:
        """The run's own, but for a short training that starts from good weights."""
        return replace(
            self.trained.settings,
            epochs=self.epochs[name],
            optimizer="adamw",
            learning_rate=learning_rate,
            schedule="one-cycle",
            weight_decay=min(self.trained.settings.weight_decay, 1e-2),
            patience=0,
        )


def _set_up(
    draft: Path,
    material: Material,
    data: Path,
    val: Path | None,
    wish: Wish,
    until: float,
    scratch: Path,
    say: Callable[[str], None],
    on_step: OnStep,
) -> _Bench:
    say("fine-tuning: weights.pt against model.onnx")
    trained = open_trained(draft, read_manifest(draft), scratch)
    epochs = {
        name: wish.epochs or max(_LEAST_EPOCHS, round(share * trained.settings.epochs))
        for name, share in _SHARES.items()
    }
    if not wish.by_name:
        _check_time(trained, wish.names, epochs, until)
    say("fine-tuning: reading the pictures to train on")
    plain = read_lesson(trained, data, val)
    lesson = Distilled(plain, trained.net, material.calibration)
    return _Bench(trained, plain, lesson, material, epochs, until, scratch, say, on_step)


def _check_time(trained: Trained, names: Sequence[str], epochs: Mapping[str, int], until: float) -> None:
    kinds = {INT8_QAT if name == INT8_QAT else PRUNED for name in names}
    seconds = sum(_COSTS[kind] * epochs[kind] for kind in kinds) * trained.seconds_per_epoch
    left = until - time.monotonic()
    if not trained.seconds_per_epoch or seconds > left:
        raise UsageError(
            f"fine-tuning would take about {seconds:.0f} s, and --minutes leaves {max(0.0, left):.0f} s; "
            f"name {', '.join(names)} in --variants to wait for it"
        )


def _make_int8_qat(draft: Path, bench: _Bench, limits: Limits) -> dict[str, dict[str, Any]]:
    with quiet("torchao", "torch"):  # it tells of the GPU kernels that it lacks, when it is imported and not before
        from cloud.compress.qat import LEARNING_RATE, train_quantised
    bench.say(f"{INT8_QAT}: fine-tuning")
    started = time.monotonic()
    settings = bench.settings(INT8_QAT, LEARNING_RATE)
    spec = bench.trained.manifest.input
    net, fidelity = train_quantised(bench.trained.net, bench.lesson, settings, spec, on_step=bench.on_step)
    seconds = time.monotonic() - started
    model = bench.scratch / "qat.onnx"
    bench.trained.export(net, model)
    search = _round(model, draft, INT8_QAT, bench, limits)
    return {INT8_QAT: {**_how(settings, fidelity, seconds), "int8": dataclasses.asdict(search)}}


def _make_pruned(draft: Path, bench: _Bench, wish: Wish, limits: Limits) -> dict[str, dict[str, Any]]:
    bench.say(f"{PRUNED}: which channels matter")
    started = time.monotonic()
    trained = bench.trained
    settings = bench.settings(PRUNED, _PRUNED_RATE)
    spec = trained.manifest.input
    before = size_of(trained.net, spec)
    # where nobody asked, it is bytes that are too many, and not the work
    keep = wish.keep if wish.by_name else 1.0
    limit = Size(_parameters_for(draft, limits, before.parameters), int(keep * before.macs))
    net = prune(trained.net, bench.plain, settings, spec, limit)
    after = size_of(net, spec)
    bench.say(f"{PRUNED}: fine-tuning")
    fidelity = fine_tune(net, bench.lesson, settings, on_step=bench.on_step)
    seconds = time.monotonic() - started
    model = bench.scratch / "pruned.onnx"
    trained.export(net, model)
    how = {
        **_how(settings, fidelity, seconds),
        "limit": dataclasses.asdict(limit),
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(after),
    }
    made = {}
    if PRUNED in wish.names:
        shutil.copyfile(model, draft / variant_file(PRUNED))
        add_variant(draft, PRUNED, variant_file(PRUNED))
        made[PRUNED] = how
    if PRUNED_INT8 in wish.names:
        search = _round(model, draft, PRUNED_INT8, bench, limits)
        made[PRUNED_INT8] = {**how, "int8": dataclasses.asdict(search)}
    return made


def _round(model: Path, draft: Path, name: str, bench: _Bench, limits: Limits) -> Search:
    into = draft / variant_file(name)
    margin = limits.accuracy_margin
    with tempfile.TemporaryDirectory() as scratch:
        search = search_int8(
            model, into, Path(scratch), bench.material, margin=margin, until=bench.until, say=_named(bench.say, name)
        )
    add_variant(draft, name, into.name)
    return search


def _named(say: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda what: say(f"{name}: {what}")


def _parameters_for(draft: Path, limits: Limits, parameters: int) -> int:
    """How many parameters fit into the limit on bytes, as int8; all of them where there is no limit."""
    if not limits.max_bytes:
        return parameters
    small = min(read_manifest(draft).variants, key=lambda variant: (variant.name != INT8, variant.bytes))
    beside = max(0, small.bytes - parameters)  # a byte for each, and what else is in the file
    room = int(_ROOM * (limits.max_bytes - beside))
    if room <= 0:
        raise UsageError(f"--max-bytes {limits.max_bytes:,}: {beside:,} are taken before a single weight is stored")
    return min(parameters, room)


def _how(settings: Settings, fidelity: float, seconds: float) -> dict[str, Any]:
    return {
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "batch": settings.batch,
        "seed": settings.seed,
        "teacher": "fp32",
        "fidelity": round(fidelity, 4),
        "seconds": round(seconds, 1),
    }


def _enter(draft: Path, made: Mapping[str, Mapping[str, Any]]) -> None:
    """What a fine-tuned variant comes from is the run's own lineage, and how long it learned on."""
    manifest = read_manifest(draft)
    known = {key: {name: how[name] for name in ("epochs", "seed", "teacher")} for key, how in made.items()}
    write_manifest(draft, replace(manifest, lineage={**manifest.lineage, FINE_TUNED: known}))
