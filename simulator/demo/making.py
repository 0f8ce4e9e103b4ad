"""The cloud's jobs in the demo: train, compress, sign, publish; each by the product's own command."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cloud.run_folder import REFERENCE, read_report
from models.durable import write_atomic
from models.errors import TidegateError
from models.hardware import hardware_class
from models.latency import is_slower
from models.manifest import read_manifest
from simulator import processes
from simulator.demo.findings import VariantFigures
from simulator.demo.world import World
from simulator.fleet import gateway_configuration
from simulator.scenes import render_dataset

PICTURES = 1200
_RETRAINING_S = 900.0  # after all else is done: a machine that others use gives it little


def train(world: World) -> Path:
    """A run folder of the first model, trained on rendered scenes or on the user's pictures."""
    if world.options.data is None:
        world.say(f"Rendering {PICTURES} pictures of parts on a conveyor belt, a third of them defective.")
        render_dataset(data_folder(world), count=PICTURES, seed=world.options.seed)
    run = world.out / "runs" / "first"
    world.tidegate("train", *_training(world, run, world.options.seed))
    return run


def compress(world: World, run: Path) -> None:
    """int8, and the gate's verdict on it."""
    world.tidegate("compress", str(run), "--data", str(data_folder(world)))
    manifest, report = read_manifest(run), read_report(run)
    verdicts = {row["name"]: row for row in report["variants"]}
    for variant in manifest.variants:
        row = verdicts[variant.name]
        world.findings.variants.append(
            VariantFigures(
                name=variant.name,
                bytes=variant.bytes,
                accuracy=row["accuracy"],
                p50_ms=row["p50_ms"],
                p95_ms=row["p95_ms"],
                chosen=variant.name == manifest.chosen,
                verdict="; ".join(row["reasons"]),
            )
        )
    chosen = next(figures for figures in world.findings.variants if figures.chosen)
    reference = next(figures for figures in world.findings.variants if figures.name == REFERENCE)
    world.findings.claims.judge(
        "the variant that ships is as right as fp32, and not slower",
        None not in (chosen.accuracy, reference.accuracy, chosen.p50_ms, reference.p50_ms)
        and (chosen.accuracy or 0) >= (reference.accuracy or 0) - 0.01
        and not is_slower(chosen.p50_ms or 0, reference.p50_ms or 0),
        f"{_measured(chosen)}; {_measured(reference)} ({hardware_class()})",
    )


@dataclass(frozen=True, slots=True)
class Retraining:
    """The next model's training, a process of its own."""

    process: "subprocess.Popen[bytes]"
    run: Path
    log: Path


def _measured(figures: VariantFigures) -> str:
    return f"{figures.name}: accuracy {figures.accuracy or 0:.3f}, p50 {figures.p50_ms or 0:.2f} ms"


def retrain_in_background(world: World) -> Retraining:
    """Train the next model at the lowest priority while the gateways work."""
    run, log = world.out / "runs" / "next", world.out / "retrain.log"
    words = ["train", *_training(world, run, world.options.seed + 1)]
    command = ["nice", "-n", "19", sys.executable, "-m", "tidegate", *words]
    process = processes.start(command, log=log)
    world.stack.callback(processes.stop, process)
    return Retraining(process, run, log)


def retrained(world: World, job: Retraining) -> Path:
    """The run folder, once training has ended, compressed and judged as the first was."""
    what = "retraining, at the lowest priority"
    if not world.wait(what, lambda: float(job.process.poll() is not None), timeout_s=_RETRAINING_S):
        raise TidegateError(f"retraining has not ended {_RETRAINING_S:g} s after it was needed; see {job.log}")
    if job.process.poll() != 0:
        raise TidegateError(f"retraining failed; see {job.log}")
    world.tidegate("compress", str(job.run), "--data", str(data_folder(world)))
    return job.run


def adopt(world: World, model: Path) -> Path:
    """A copy of the user's own run folder."""
    manifest = read_manifest(model)
    run = world.out / "runs" / "first"
    shutil.copytree(model, run)
    chosen = manifest.variant()
    world.say(f"Taking {manifest.name} from {model}: {manifest.task}, {len(manifest.labels)} labels, {chosen.name}.")
    return run


def publish(world: World, run: Path, *, gateway: bool = False) -> str:
    """Sign a run as the next release, make its component, register it; `gateway` adds the gateway's own component.
    The release, name@number."""
    document = world.tidegate_json("release", str(run))
    release = str(document["release"])
    world.say(f"  {release}: {document['variant']}, {document['bytes']:,} bytes, sha256 {document['sha256'][:12]}")
    world.fleet.trust_root(document["name"], Path(document["root"]).read_bytes())
    components = world.out / "components" / release.replace("@", "-")
    words = ["component", "build", "--model", release, "--out", str(components)]
    if gateway:
        config = world.out / "gateway.json"
        camera = str(world.options.video.resolve()) if world.options.video else f"{world.cameras.url}/{{gateway}}"
        settings = gateway_configuration(
            document["name"],
            trust=world.fleet.trust,
            camera=camera,
            numbered=world.options.video is None,
            window_s=world.options.window_s,
        )
        write_atomic(config, (json.dumps(settings, indent=2) + "\n").encode())
        words += ["--gateway", "--config", str(config), "--python", sys.executable]
    world.tidegate(*words)
    world.tidegate("deploy", "--components", str(components))
    return release


def data_folder(world: World) -> Path:
    """Where the pictures are."""
    return world.options.data or world.out / "data"


def _training(world: World, run: Path, seed: int) -> list[str]:
    words = ["--data", str(data_folder(world)), "--name", world.model, "--out", str(run), "--seed", str(seed)]
    return [*words, "--epochs", str(world.options.epochs)]
