"""A world: real pictures, the releases of a model, all candidates, and what each of them answered to everything that
gateways see. Made once, kept by the content of all that it depends on.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cloud.predicted_shift import predict_shift
from models.durable import write_atomic
from models.fitting import fit
from models.latency import compare_latency
from models.manifest import read_manifest
from models.runner import Runner
from simulator.rollout_world import album as albums
from simulator.rollout_world.album import Album, views
from simulator.rollout_world.films import Int32, Int64, Reel, films
from simulator.rollout_world.leak import leak_per_frame
from simulator.rollout_world.releases import make_releases, write_reference
from simulator.rollout_world.tapes import Answers, counted, taped
from simulator.rollout_world.timings import Scatter, scatter, slower
from simulator.rollout_world.variants import Variant, make_variants

WORLDS: Mapping[str, Callable[[Path], Album]] = {
    "garments": albums.garments,
    "waste": albums.waste,
    "street": albums.street,
}
CHALLENGER_SEES = 5  # one frame in so many: what a challenger's part of a core allows
INCUMBENT = "incumbent"
_FACTS, _REPORTS = "facts-2.json", "reports-2.json"

Say = Callable[[str], None]


@dataclass(eq=False)
class World:
    """`tables` are the tapes counted by view, day and night, by variant; `shifts` the signed predictions by release,
    `signed_ms` the signed latencies by release and hardware class, `real_ms` the measured medians by variant;
    `digest` is of all of it."""

    name: str
    labels: tuple[str, ...]
    order: Int64
    variants: dict[str, Variant]
    tables: dict[str, tuple[Int32, Int32]]
    shifts: dict[str, dict[str, Any]]
    signed_ms: dict[str, dict[str, float]]
    real_ms: dict[str, float]
    scatter: Scatter
    leak_bytes: float
    digest: str = ""
    _reels: dict[str, tuple[Reel, Reel]] = field(default_factory=dict)

    def reels(self, variant: str) -> tuple[Reel, Reel]:
        """All frames, and those that a challenger sees."""
        if variant not in self._reels:
            if len(self._reels) > 3:
                self._reels = {name: reels for name, reels in self._reels.items() if name == INCUMBENT}
            day, night = self.tables[variant]
            self._reels[variant] = (Reel(self.order, day, night), Reel(self.order, day, night, every=CHALLENGER_SEES))
        return self._reels[variant]


def prepare_world(
    name: str, data: Path, cache: Path, *, say: Say
) -> tuple[Album, dict[str, Path], list[Variant], Path]:
    """Pictures, releases, candidates and the folder of their graphs; made if they are not there."""
    album = WORLDS[name](data)
    releases = make_releases(album, data, cache, say=say)
    key = hashlib.sha256(
        "".join(read_manifest(run).variant().sha256 for _, run in sorted(releases.items())).encode()
        + album.digest_of_knowledge().encode()
    ).hexdigest()[:16]
    folder = cache / f"{name}-variants-{key}"
    return album, releases, make_variants(album, releases, folder, say=say), folder


def tape_of(
    album: Album, releases: Mapping[str, Path], variant: Variant, folder: Path, cache: Path, *, night: bool
) -> Answers:
    """What a candidate answers to every view, by day or at night."""
    manifest = read_manifest(releases[variant.base])
    graph = (folder / (variant.night_graph if night else variant.graph)).read_bytes()
    digest = f"{album.digest()} night {night}"
    return taped(graph, manifest, partial(views, album, night), digest, cache, weights_only=variant.weights_only)


def open_world(name: str, data: Path, cache: Path, *, say: Say) -> World:
    """A whole world, from the cache where it holds it; what is missing is made here and now."""
    album, releases, variants, folder = prepare_world(name, data, cache, say=say)
    tables: dict[str, tuple[Int32, Int32]] = {}
    incumbent: list[Answers] = []
    by_graph: dict[tuple[str, str], tuple[Int32, Int32]] = {}
    kept = folder / f"tables-{album.digest()[:16]}"
    kept.mkdir(exist_ok=True)
    for number, variant in enumerate(variants):
        graphs = (variant.graph, variant.night_graph)
        if graphs not in by_graph:
            path = kept / f"{graphs[0][:12]}-{graphs[1][:12]}.npz"
            if not path.exists():
                say(f"{name}: tape {number + 1} of {len(variants)}, {variant.name}")
                taken = [tape_of(album, releases, variant, folder, cache, night=night) for night in (False, True)]
                if not incumbent:
                    incumbent = [
                        tape_of(album, releases, variants[0], folder, cache, night=night) for night in (False, True)
                    ]
                day, night_table = (
                    counted(ours, theirs, album.labels) for ours, theirs in zip(taken, incumbent, strict=True)
                )
                draft = path.with_suffix(".draft.npz")
                np.savez(draft, day=day, night=night_table)
                draft.replace(path)
            with np.load(path) as found:
                by_graph[graphs] = (found["day"], found["night"])
        tables[variant.name] = by_graph[graphs]
    facts, shifts = _facts(album, releases, variants, folder, say), _shifts(album, releases, folder, say)
    of = json.dumps([facts, shifts, folder.name, kept.name], sort_keys=True)
    return World(
        name=name,
        labels=album.labels,
        order=films(album),
        variants={variant.name: variant for variant in variants},
        tables=tables,
        shifts=shifts,
        signed_ms=facts["signed_ms"],
        real_ms=facts["real_ms"],
        scatter=Scatter(np.array(facts["p50"]), np.array(facts["p95"])),
        leak_bytes=facts["leak_bytes"],
        digest=hashlib.sha256(of.encode()).hexdigest(),
    )


def _shifts(album: Album, releases: Mapping[str, Path], folder: Path, say: Say) -> dict[str, Any]:
    """The signed reports, by release."""
    path = folder / _REPORTS
    if not path.exists():
        say(f"{album.name}: signed reports")
        with tempfile.TemporaryDirectory() as scratch:
            write_reference(album, Path(scratch))
            found = {
                name: predict_shift(run, releases[INCUMBENT], against=f"{album.name}@1", reference=Path(scratch))
                for name, run in releases.items()
            }
        write_atomic(path, json.dumps(found, indent=1).encode())
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def _facts(
    album: Album, releases: Mapping[str, Path], variants: list[Variant], folder: Path, say: Say
) -> dict[str, Any]:
    """What was signed of times, and what was timed."""
    path = folder / _FACTS
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    say(f"{album.name}: timings")
    runners = {}
    frames = {}
    for variant in variants:
        manifest = read_manifest(releases[variant.base])
        same_speed = variant.way not in ("", "twice-as-slow")
        if not same_speed:
            graph = (folder / variant.graph).read_bytes()
            runners[variant.name] = Runner(graph, manifest, weights_only=variant.weights_only)
            frames[variant.name] = fit(album.seen[0], manifest.input)[0]
    usual_ms = compare_latency({"usual": lambda: runners[INCUMBENT].run_fitted(frames[INCUMBENT])})["usual"].p50_ms
    # two at a time: of more that take turns, the first and the last would find their caches warm
    taken = {
        name: usual_ms * slower(runner, runners[INCUMBENT], frames[name], frames[INCUMBENT])
        for name, runner in runners.items()
    }
    real_ms = {variant.name: taken.get(variant.name, taken.get(variant.base, 0.0)) for variant in variants}
    signed_ms = {name: read_manifest(run).variant().latency_ms for name, run in releases.items()}
    found_scatter = scatter(runners[INCUMBENT], frames[INCUMBENT])
    facts = {
        "signed_ms": signed_ms,
        "real_ms": real_ms,
        "p50": found_scatter.p50.tolist(),
        "p95": found_scatter.p95.tolist(),
        "leak_bytes": leak_per_frame(releases[INCUMBENT]),
    }
    write_atomic(path, json.dumps(facts, indent=1).encode())
    return facts
