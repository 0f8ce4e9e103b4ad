"""Candidates of a world: releases as they are, and releases into which a fault came after their report was signed."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from models.durable import write_atomic
from models.errors import ModelError
from models.fitting import fit
from models.manifest import Manifest, read_manifest
from models.runner import Runner
from simulator.rollout_world import faults
from simulator.rollout_world.accuracy import accuracy
from simulator.rollout_world.album import Album
from simulator.rollout_world.losses import with_loss
from simulator.rollout_world.releases import GOOD
from simulator.rollout_world.timings import slower

WAYS = (
    "accuracy-5",
    "accuracy-10",
    "accuracy-20",
    "twice-as-slow",
    "leaking",
    "class-lost",
    "nan",
    "permuted",
    "red-blue",
    "over-confident",
    "one-hardware",
    "night",
)
_BASES = ("identical", "better")  # that a fault comes into
_ONLY_BETTER = ("street",)  # where a run takes long
_LOSSES = {"accuracy-5": 0.05, "accuracy-10": 0.10, "accuracy-20": 0.20, "one-hardware": 0.40}
_NIGHT_LOSS = 0.40
_LOGITS = 3.0
_TWICE = 1.9  # two measurements of the same differ by a few percent
_MOST_AGAIN = 4
FORMAT = 1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """A candidate. `way` is "" for a good one; `base` the release that it is, or was before the fault. `graph` and
    `night_graph` (what runs on night frames) are files in the world's folder; `signed` is the accuracy of the base,
    `accuracy` its own (at night, for the way "night")."""

    name: str
    way: str
    base: str
    graph: str
    night_graph: str
    weights_only: bool
    signed: float
    accuracy: float


def make_variants(album: Album, releases: Mapping[str, Path], folder: Path, *, say: Say) -> list[Variant]:
    """All candidates of the world, with their graphs in `folder`; from there, if they were made before."""
    index = folder / f"variants-{FORMAT}.json"
    if index.exists():
        return [Variant(**row) for row in json.loads(index.read_text())]
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in ("incumbent", *GOOD):
        if name in releases:
            manifest = without_threshold(read_manifest(releases[name]))
            chosen = manifest.variant()
            graph = (releases[name] / chosen.file).read_bytes()
            file = _write(folder, graph)
            value = accuracy(Runner(graph, manifest, weights_only=chosen.weights_only), album)
            made.append(Variant(name, "", name, file, file, chosen.weights_only, value, value))
    for base in _BASES[1:] if album.name in _ONLY_BETTER else _BASES:
        part = folder / f"{base}-{FORMAT}.json"  # a kill costs one base
        if not part.exists():
            found = []
            for variant in _faulty(album, releases[base], base, folder):
                say(f"{album.name}: {variant.name}, accuracy {variant.signed:.3f} to {variant.accuracy:.3f}")
                found.append(asdict(variant))
            write_atomic(part, json.dumps(found, indent=1).encode())
        made += [Variant(**row) for row in json.loads(part.read_text())]
    write_atomic(index, json.dumps([asdict(variant) for variant in made], indent=1).encode())
    return made


def without_threshold(manifest: Manifest) -> Manifest:
    """The same model, of which nothing is held back: accuracy is measured over all scores."""
    return replace(manifest, threshold=0.0)


def _faulty(album: Album, run: Path, base: str, folder: Path) -> Iterator[Variant]:
    manifest = without_threshold(read_manifest(run))
    graph = onnx.load(str(run / "model.onnx"))
    classes = len(manifest.labels)

    def judged(changed: onnx.ModelProto, *, night: bool = False) -> float:
        return accuracy(_runner(changed, manifest), album, only_night=night)

    signed = judged(graph)

    def made(way: str, number: int, changed: onnx.ModelProto, value: float) -> Variant:
        file = _write(folder, changed.SerializeToString())
        return Variant(f"{base}/{way}/{number}", way, base, file, file, False, signed, value)

    for number in range(2):
        for way, loss in _LOSSES.items():
            if way != "one-hardware" or number == 0:
                changed, value = with_loss(graph, judged, signed * (1 - loss), seed=97 * number + len(base))
                yield made(way, number, changed, value)
    for number, class_id in enumerate(_common_classes(graph, manifest, album, 2)):
        lost = faults.without_class(graph, class_id, classes=classes)
        yield made("class-lost", number, lost, judged(lost))
    simple = {
        "nan": faults.with_nan(graph, seed=len(base)),
        "permuted": faults.permuted(graph, np.roll(np.arange(classes), 1).tolist()),
        "red-blue": faults.red_as_blue(graph),
        "over-confident": faults.over_confident(graph, _LOGITS, classes=classes, task=manifest.task),
    }
    for way, changed in simple.items():
        yield made(way, 0, changed, judged(changed))
    lit = judged(graph, night=True)
    dark, value = _dark(graph, lambda changed: judged(changed, night=True), lit * (1 - _NIGHT_LOSS))
    night = made("night", 0, dark, value)
    yield replace(night, graph=_write(folder, graph.SerializeToString()), signed=lit)
    yield made("twice-as-slow", 0, _slow(graph, manifest, album), signed)
    yield made("leaking", 0, graph, signed)


def _slow(graph: onnx.ModelProto, manifest: Manifest, album: Album) -> onnx.ModelProto:
    """The work done again as often as it takes to be about twice as slow: a small network is not all of a run."""
    usual = _runner(graph, manifest)
    frame = fit(album.reference[0], manifest.input)[0]
    for times in range(1, _MOST_AGAIN + 1):
        changed = faults.done_again(graph, times)
        if slower(_runner(changed, manifest), usual, frame, frame) >= _TWICE:
            break
    return changed


def _dark(
    graph: onnx.ModelProto, judged: Callable[[onnx.ModelProto], float], wanted: float
) -> tuple[onnx.ModelProto, float]:
    """The graph that takes for black whatever is darker than some level: the lowest that costs enough."""
    for black in range(20, 250, 10):
        changed = faults.crushed(graph, float(black))
        if (value := judged(changed)) <= wanted:
            break
    return changed, value


def _common_classes(graph: onnx.ModelProto, manifest: Manifest, album: Album, count: int) -> Sequence[int]:
    """The classes that are answered most often to the pictures that gateways see."""
    runner = Runner(graph.SerializeToString(), manifest)
    sure = replace(manifest, threshold=0.25)
    runner = Runner(graph.SerializeToString(), sure)
    seen = np.concatenate([runner.run(picture).class_ids for picture in album.seen[:: max(1, len(album.seen) // 200)]])
    counts = np.bincount(seen, minlength=len(manifest.labels))
    return [int(class_id) for class_id in np.argsort(-counts, kind="stable")[:count]]


def _runner(graph: onnx.ModelProto, manifest: Manifest) -> Runner:
    try:
        return Runner(graph.SerializeToString(), manifest)
    except ModelError as exc:
        raise ModelError(f"a fault made a graph that does not open: {exc}") from exc


def _write(folder: Path, graph: bytes) -> str:
    name = f"{hashlib.sha256(graph).hexdigest()[:24]}.onnx"
    if not (folder / name).exists():
        write_atomic(folder / name, graph)
    return name
