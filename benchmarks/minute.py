"""A real minute of detections, for the bars about bytes: what a gateway records of a video's frames."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.gateway import VIDEO, detector
from benchmarks.learning import real_data
from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig
from models.detections import Detections, UInt8
from models.manifest import read_manifest
from models.records import FrameResult
from models.runner import open_runner

FPS = 20  # brings the 1,189 frames of the bottles to a minute
JITTER_US = 2000  # of a camera's frames around their times, standard deviation
_START_NS = 1_790_000_000_123_456_789
_SINCE_BOOT_NS = 86_400_000_000_123


@dataclass(frozen=True, slots=True)
class Minute:
    """What was recorded, and by frame what had been found, before anything was rounded."""

    records: tuple[FrameResult, ...]
    found: tuple[Detections, ...]

    @property
    def detections(self) -> int:
        return sum(len(found) for found in self.found)


def real_minute(name: str, adapter: str) -> Minute:
    """The bottles as a detector of the shared data sees them, tracked, at the threshold that it is imported with."""
    with tempfile.TemporaryDirectory() as folder:
        run = detector(Path(folder), name, adapter)
        manifest = read_manifest(run)
        runner = open_runner(run, manifest)
        analytics = Analytics(AnalyticsConfig(aggregate_s=0), camera="line-1")
        rng = np.random.default_rng(0)
        records, found = [], []
        for number, image in enumerate(frames_of_the_bottles()):
            at_ns = _START_NS + number * 1_000_000_000 // FPS + int(rng.normal(0, JITTER_US)) * 1000
            seen = runner.run(image)
            labels = tuple(manifest.labels[index] for index in seen.class_ids.tolist())
            size = (image.shape[1], image.shape[0])
            moment = Moment(number, at_ns // 1000, number / FPS, size, manifest.name, manifest.release)
            tracked = analytics.see(moment, seen, labels).found
            found.append(tracked)
            records.append(
                FrameResult.of(
                    "line-1",
                    number,
                    at_ns,
                    manifest.name,
                    manifest.release,
                    tracked,
                    labels,
                    steady_ns=at_ns - _START_NS + _SINCE_BOOT_NS,
                )
            )
    return Minute(tuple(records), tuple(found))


def json_rows(minute: Minute) -> list[dict[str, object]]:
    """What people send: a document per frame, numbers as Python prints them."""
    return [
        {
            "camera": record.camera,
            "frame": record.frame,
            "captured_at": record.captured_at_us / 1e6,
            "model": record.model,
            "release": record.release,
            "detections": [
                {"label": label, "class_id": class_id, "score": score, "box": box, "track": track}
                for label, class_id, score, box, track in zip(
                    record.labels,
                    record.detections.class_ids.tolist(),
                    found.scores.tolist(),
                    found.xyxy.tolist(),
                    record.detections.tracks.tolist(),
                    strict=True,
                )
            ],
        }
        for record, found in zip(minute.records, minute.found, strict=True)
    ]


def frames_of_the_bottles() -> list[UInt8]:
    source = cv2.VideoCapture(str(real_data("videos") / VIDEO))
    images: list[UInt8] = []
    while True:
        read, image = source.read()
        if not read:
            return images
        images.append(np.asarray(image, np.uint8))
