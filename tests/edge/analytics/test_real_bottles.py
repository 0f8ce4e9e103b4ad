"""A real video: seven bottles are put on a table and lifted from it by hand."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.imports.adapters import ADAPTERS
from cloud.imports.source import read_source
from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig, LineConfig
from models.manifest import Manifest
from models.records import Event
from models.runner import Runner

FPS = 29.83
# By eye: three stand there; the left one is lifted, put back, and lifted again together with the middle one; the middle
# and the left one are put back; the right one is lifted and put back. Seven stays in all.
LIFTS = [(206, -1), (349, 1), (525, -1), (527, -1), (671, 1), (824, 1), (951, -1), (1055, 1)]
LINE = LineConfig("lift", (0.0, 0.35), (1.0, 0.35), labels=("bottle",), anchor="centre")


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.parametrize(
    ("step", "missed"),
    [
        (1, ()),
        (5, (206, 525, 951)),  # six looks a second: at rest in one, out of the picture in the next
    ],
)
def test_each_bottle_is_one_track_while_it_is_there_and_each_lift_one_event(
    shared_data: Path, step: int, missed: tuple[int, ...]
) -> None:
    models = shared_data / "models"
    adapted = ADAPTERS["yolox"](read_source(models / "yolox_nano.onnx"), None)
    labels = tuple((models / "coco.names").read_text().split("\n")[:80])
    manifest = Manifest("coco", "detection", labels, adapted.input, threshold=0.25)
    runner = Runner(adapted.model.SerializeToString(), manifest)
    analytics = Analytics(AnalyticsConfig(lines=(LINE,), aggregate_s=0), camera="table")
    video = cv2.VideoCapture(str(shared_data / "videos" / "bottle-detection.mp4"))
    rows: Counter[int] = Counter()
    events: list[Event] = []
    number = 0
    while video.grab():
        if number % step == 0:
            image = np.asarray(video.retrieve()[1], np.uint8)
            found = runner.run(image)
            moment = Moment(number, 0, number / FPS, (image.shape[1], image.shape[0]), "coco", 1)
            seen = analytics.see(moment, found, tuple(labels[kind] for kind in found.class_ids.tolist()))
            bottles = np.array([label == "bottle" for label in seen.labels], np.bool_)
            rows.update(seen.found.tracks[bottles].tolist())
            events += [record for record in seen.records if isinstance(record, Event)]
        number += 1
    assert number == 1189
    assert len([track for track, count in rows.items() if track and count * step > 100]) == 7
    assert sum(count for track, count in rows.items() if not track) < 0.01 * rows.total()
    lifts = [lift for lift in LIFTS if lift[0] not in missed]
    assert [event.value for event in events] == [value for _, value in lifts]
    assert max(abs(event.frame - frame) for event, (frame, _) in zip(events, lifts, strict=True)) <= 3 * step
