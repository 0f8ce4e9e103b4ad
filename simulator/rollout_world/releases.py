"""The models of a world, made by the project's own commands: an incumbent, and what may follow it.

incumbent    what the fleet runs
identical    the same weights
int8         as `tidegate compress` quantised it and let it through, or at least its weights in int8
requantised  full int8 of other calibration pictures
better       longer trained, or larger: more accurate on pictures that neither has learned from

The detector comes from elsewhere, and is `better`; what the fleet runs before it is made of it, with noise on its
weights.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import onnx

from cloud.compress.quantize import prepare, quantize
from cloud.run_folder import add_variant, edit_run, variant_file
from models.detections import UInt8
from models.errors import ModelError
from models.fitting import fit
from models.golden import read_golden, record_golden, write_golden
from models.latency import compare_latency
from models.manifest import read_manifest, write_manifest
from models.runner import Runner, open_runner
from simulator.rollout_world.accuracy import accuracy
from simulator.rollout_world.album import Album, Labelled, day_and_night
from simulator.rollout_world.light import MOUNTS, seen_from
from simulator.rollout_world.losses import with_loss
from simulator.rollout_world.timings import slower

GOOD = ("identical", "int8", "requantised", "better")
RELEASES = ("incumbent", *GOOD)
HARDWARE = {"camera-a53": 9.0, "gateway-a72": 4.0, "box-x86": 1.0}  # classes, and how many times slower than here
_LOSS = 0.01  # of its own accuracy that a quantised release may have lost: the gate's margin
_CALIBRATION = 64
_FEW = 300  # reference pictures
_TRAINED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "garments": {
        "incumbent": ("--width", "16", "--stages", "3", "--reduce", "2", "--epochs", "3", "--batch", "64"),
        "better": ("--width", "16", "--stages", "3", "--reduce", "2", "--epochs", "9", "--batch", "64"),
    },
    "waste": {
        "incumbent": ("--size", "72x96", "--width", "12", "--stages", "4", "--epochs", "8"),
        "better": ("--size", "72x96", "--width", "20", "--stages", "4", "--epochs", "20"),
    },
}
_IMPORTED = {"street": ("FastestDet.onnx", "fastestdet")}
# an imported model's earlier release is the model with noise on its weights: so much of its accuracy was still missing
_EARLIER, _EARLIER_SEED = 0.10, 9

Say = Callable[[str], None]


def make_releases(album: Album, data: Path, cache: Path, *, say: Say) -> dict[str, Path]:
    """Run folders of the world's releases, by name; those that the cache holds already are not made again."""
    recipe = json.dumps([_TRAINED.get(album.name), _IMPORTED.get(album.name), HARDWARE, _LOSS], sort_keys=True)
    key = hashlib.sha256(f"{album.digest_of_knowledge()}{recipe}".encode()).hexdigest()[:16]
    folder = cache / f"{album.name}-{key}"
    made = {name: folder / name for name in RELEASES}
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _make(album, data, made, Path(scratch), say)
        (folder / "done").touch()
    return {name: run for name, run in made.items() if run.exists()}


def write_pictures(labelled: Labelled, labels: tuple[str, ...], into: Path, *, seed: int) -> None:
    """Labelled pictures by day and at night, as into/<class>/<number>.png."""
    pictures = day_and_night(labelled.pictures, seed=seed)
    for number, (picture, class_id) in enumerate(zip(pictures, labelled.class_ids * 2, strict=True)):
        folder = into / labels[class_id]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number:05d}.png"), picture)


def write_reference(album: Album, into: Path) -> None:
    """The pictures of the signed report, by day and at night, as into/<number>.png: from every mount that gateways
    have, in turns where there are many."""
    into.mkdir(parents=True, exist_ok=True)
    if len(album.reference) < _FEW:
        shown = [seen_from(picture, mount) for mount in MOUNTS for picture in album.reference]
    else:
        shown = [seen_from(picture, MOUNTS[k % len(MOUNTS)]) for k, picture in enumerate(album.reference)]
    for number, picture in enumerate(day_and_night(shown, seed=1 << 20)):
        cv2.imwrite(str(into / f"{number:05d}.png"), picture)


def _make(album: Album, data: Path, made: Mapping[str, Path], scratch: Path, say: Say) -> None:
    pictures = scratch / "pictures"
    if album.task == "classification":
        write_pictures(album.learned, album.labels, pictures / "train", seed=1 << 21)
        write_pictures(album.judged, album.labels, pictures / "val", seed=1 << 22)
    for name in ("incumbent", "better"):
        if made[name].exists():
            continue
        say(f"{album.name}: {name}")
        if album.task == "classification":
            recipe = _TRAINED[album.name][name]
            _tidegate(
                *("train", "--data", str(pictures), "--name", album.name, "--out", str(made[name]), "--threads", "1"),
                *recipe,
            )
        else:
            file, adapter = _IMPORTED[album.name]
            _tidegate(
                *("import", str(data / "models" / file), "--adapter", adapter, "--name", album.name),
                *("--labels", str(data / "models" / "coco.names"), "--golden", str(data / "coco128" / "images")),
                *("--out", str(made[name])),
            )
            if name == "incumbent":
                _make_earlier(album, made[name])
    for name in ("identical", "int8", "requantised"):
        shutil.rmtree(made[name], ignore_errors=True)
        shutil.copytree(made["incumbent"], made[name])
    judged_by = pictures if album.task == "classification" else data / "coco128"
    say(f"{album.name}: int8")
    _tidegate("compress", str(made["int8"]), "--data", str(judged_by), "--variants", "w8,int8", "--minutes", "1")
    if read_manifest(made["int8"]).chosen == "fp32":  # nothing was smaller, as fast and as good
        _choose(made["int8"], "w8")
    say(f"{album.name}: requantised")
    _requantise(album, made["requantised"], scratch)
    _time_all(album, {name: run for name, run in made.items() if run.exists()})


def _make_earlier(album: Album, run: Path) -> None:
    manifest = replace(read_manifest(run), threshold=0.0)
    graph = onnx.load(str(run / "model.onnx"))

    def judged(changed: onnx.ModelProto) -> float:
        return accuracy(Runner(changed.SerializeToString(), manifest), album)

    earlier, _ = with_loss(graph, judged, judged(graph) * (1 - _EARLIER), seed=_EARLIER_SEED)
    with edit_run(run) as draft:
        (draft / "model.onnx").write_bytes(earlier.SerializeToString())
        add_variant(draft, "fp32", "model.onnx")
        frames = list(read_golden(draft).frames.values())
        write_golden(draft, record_golden(frames, {"fp32": open_runner(draft, read_manifest(draft))}))


def _requantise(album: Album, run: Path, scratch: Path) -> None:
    """Full int8 of some of the reference pictures; the run is removed where that loses more than the gate lets pass."""
    manifest = read_manifest(run)
    step = max(1, len(album.reference) // (_CALIBRATION // 2))
    calibration = [fit(p, manifest.input)[0] for p in day_and_night(album.reference[::step], seed=1 << 23)]
    try:
        with edit_run(run) as draft:
            for method in ("min-max", "percentile"):
                quantize(
                    prepare(draft / "model.onnx", scratch), draft / variant_file("int8"), calibration, method=method
                )
                add_variant(draft, "int8", variant_file("int8"))
                full, small = (
                    accuracy(open_runner(draft, read_manifest(draft), name), album) for name in ("fp32", "int8")
                )
                if small >= full - _LOSS:
                    break
            else:
                raise ModelError(
                    f"{album.name}: int8 loses {full - small:.3f} of accuracy, at most {_LOSS} is let pass"
                )
        _choose(run, "int8")
    except ModelError:
        shutil.rmtree(run)


def _choose(run: Path, variant: str) -> None:
    with edit_run(run) as draft:
        write_manifest(draft, replace(read_manifest(draft), chosen=variant))


def _time_all(album: Album, made: Mapping[str, Path]) -> None:
    """Sign how long each release takes on every class of hardware: timed here, taking turns, and scaled."""
    frames: dict[str, UInt8] = {}
    runners: dict[str, Runner] = {}
    for name, run in made.items():
        manifest = read_manifest(run)
        runners[name] = open_runner(run, manifest)
        frames[name] = fit(album.reference[len(album.reference) // 2], manifest.input)[0]
    first, first_frame = runners["incumbent"], frames["incumbent"]
    usual_ms = compare_latency({"usual": lambda: first.run_fitted(first_frame)})["usual"].p50_ms
    taken = {
        name: usual_ms * slower(runner, first, frames[name], first_frame) if runner is not first else usual_ms
        for name, runner in runners.items()
    }
    for name, run in made.items():
        with edit_run(run) as draft:
            manifest = read_manifest(draft)
            by_class = {hardware: round(taken[name] * times, 4) for hardware, times in HARDWARE.items()}
            chosen = replace(manifest.variant(), latency_ms=by_class)
            write_manifest(draft, manifest.with_variants(chosen))


def _tidegate(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "tidegate", *words], check=True, stdout=sys.stderr)
