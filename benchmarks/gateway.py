"""A gateway at work on a file, for the bars about its speed: decode, infer, track, spool; nothing is sent."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.learning import on_two_cores, real_data
from benchmarks.loops import Look, run_loop
from benchmarks.took import Took, measured
from edge.active_model import ActiveModel
from edge.analytics.analytics import Analytics
from edge.analytics.snapshots import Snapshots
from edge.cameras.config import CameraConfig
from edge.model_store import ModelStore
from edge.observe import Observer
from edge.pipeline import Pipeline
from edge.spool import Spool
from edge.vitals import Vitals
from edge.watch import Watch
from models.fitting import fit
from models.manifest import read_manifest
from models.runner import open_runner

VIDEO = "bottle-detection.mp4"
ROUNDS = 5
_PICTURES = 60


def detector(folder: Path, name: str = "FastestDet", adapter: str = "fastestdet") -> Path:
    """A real detector as a run folder, imported as a user would."""
    models = real_data("models")
    run = folder / name
    command = ("import", str(models / f"{name}.onnx"), "--adapter", adapter, "--labels", str(models / "coco.names"))
    pictures = str(real_data("coco128") / "images")
    subprocess.run(
        [sys.executable, "-m", "tidegate", *command, "--name", "coco", "--golden", pictures, "--out", str(run)],
        check=True,
        capture_output=True,
    )
    return run


def video_of(folder: Path, *, size: tuple[int, int], frames: int) -> Path:
    """The first frames of the bottles, brought to (width, height), as MPEG-4."""
    path = folder / f"{size[1]}p.mp4"
    source = cv2.VideoCapture(str(real_data("videos") / VIDEO))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, size)
    for _ in range(frames):
        read, picture = source.read()
        if not read:
            break
        writer.write(cv2.resize(np.asarray(picture, np.uint8), size, interpolation=cv2.INTER_CUBIC))
    writer.release()
    return path


def run_file(run: Path, video: Path, *, workers: int = 1, fps: float | None = None) -> Took:
    """The whole file through a gateway's parts, from opening it until its last frame is in the spool's file."""
    with tempfile.TemporaryDirectory() as state, Spool(Path(state) / "spool.db") as spool:
        active = ActiveModel(ModelStore(Path(state) / "models", model="coco", trust=Path(state)), keep_s=0)
        active.offer_unsigned(run)
        vitals = Vitals("coco")
        pipeline = Pipeline(active, workers=workers)
        camera = CameraConfig("bottles", str(video), fps=fps)
        observer = Observer(
            camera.name,
            regions=(),
            analytics=Analytics(camera.analytics, camera=camera.name),
            snapshots=Snapshots(camera.analytics, camera=camera.name),
            challenger=None,
            spool=spool,
            vitals=vitals,
        )
        watch = Watch(
            camera, observer=observer, model=active, pipeline=pipeline, spool=spool, vitals=vitals, retry_files=False
        )
        with measured() as took:
            threads = [threading.Thread(target=pipeline.work) for _ in range(workers)]
            threads.append(threading.Thread(target=pipeline.finish))
            for thread in threads:
                thread.start()
            watch.run()
            pipeline.close()
            for thread in threads:
                thread.join()
            spool.flush()
        frames = spool.last_frame(camera.name, source=str(video.resolve())) + 1  # aggregates lie in the spool as well
        return Took(frames, *took)


def run_bare(run: Path, video: Path, *, frames: int) -> Took:
    """`session.run` on pictures of the video that were fitted before, and nothing else."""
    manifest = read_manifest(run)
    runner = open_runner(run, manifest)
    capture = cv2.VideoCapture(str(video))
    pictures = [fit(np.asarray(capture.read()[1], np.uint8), manifest.input)[0] for _ in range(_PICTURES)]
    for picture in pictures[:5]:
        runner.infer(picture)
    with measured() as took:
        for number in range(frames):
            runner.infer(pictures[number % _PICTURES])
    return Took(frames, *took)


def against_bare(run: Path, video: Path, *, workers: int = 1) -> tuple[float, float, float]:
    """Our frames a second as a part of a bare session's: the median of some rounds; and both, in the last round."""
    ratios = []
    for _ in range(ROUNDS):
        ours = run_file(run, video, workers=workers)
        bare = run_bare(run, video, frames=ours.frames)
        ratios.append(ours.rate / bare.rate)
    return float(np.median(ratios)), ours.rate, bare.rate


def against_loop(look: Callable[[Path], Look], *, fps: float | None = None) -> tuple[float, str]:
    """Our CPU time per frame as a part of a loop's that looks with `look(model file)`, the median of some rounds; and
    how it was measured. At full speed on the video as it is, at `fps` on some seconds of it at 480p."""
    on_two_cores()
    loop = look(real_data("models") / "FastestDet.onnx")
    with tempfile.TemporaryDirectory() as folder:
        run = detector(Path(folder))
        video = real_data("videos") / VIDEO
        if fps is not None:
            video = video_of(Path(folder), size=(640, 480), frames=int(15 * fps))
        ratios = []
        for _ in range(ROUNDS):
            ours = run_file(run, video, fps=fps)
            theirs = run_loop(loop, video, Path(folder) / "results.json", fps=fps)
            ratios.append(ours.cpu_ms / theirs.cpu_ms)
    if ours.frames != theirs.frames:
        raise SystemExit(f"{ours.frames} frames against {theirs.frames}")
    said = f"{ours.cpu_ms:.2f} against {theirs.cpu_ms:.2f} ms a frame in the last of {ROUNDS} rounds of {ours.frames}"
    return float(np.median(ratios)), said
