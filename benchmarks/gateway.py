"""A gateway at work on a file, for the bars about its speed: decode, infer, track, spool; nothing is sent."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.learning import real_data
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

VIDEO = "bottle-detection.mp4"


@dataclass(frozen=True, slots=True)
class Took:
    """A run's frames, and its seconds by the wall and of processor time, of all threads."""

    frames: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Processor time of a frame."""
        return self.cpu_s / self.frames * 1000


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


@contextmanager
def measured() -> Iterator[list[float]]:
    """Gives [wall seconds, processor seconds] of what is done inside."""
    took: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield took
    took += [time.perf_counter() - wall, time.process_time() - cpu]


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
