"""The tracker on a real video: seven bottles are put on a table and taken away by hand."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.imports.adapters import ADAPTERS
from cloud.imports.source import read_source
from edge.analytics.config import TrackerConfig
from edge.analytics.tracker import Tracker
from models.manifest import Manifest
from models.runner import Runner

FRAMES_LOOKED_AT = {1: 1189, 5: 238}


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.parametrize("step", FRAMES_LOOKED_AT)
def test_each_bottle_is_one_track_from_when_it_is_put_down_until_it_is_taken_away(shared_data: Path, step: int) -> None:
    """By eye: three stand there; the left one is taken, put back, and taken again together with the middle one; the
    middle and the left one are put back; the right one is taken and put back. Seven stays in all."""
    models = shared_data / "models"
    adapted = ADAPTERS["yolox"](read_source(models / "yolox_nano.onnx"), None)
    labels = tuple((models / "coco.names").read_text().split("\n")[:80])
    runner = Runner(
        adapted.model.SerializeToString(), Manifest("coco", "detection", labels, adapted.input, threshold=0.25)
    )
    tracker = Tracker(TrackerConfig())
    video = cv2.VideoCapture(str(shared_data / "videos" / "bottle-detection.mp4"))
    seen: Counter[int] = Counter()
    bottle = labels.index("bottle")
    looked = number = 0
    while video.grab():
        if number % step == 0:
            found = runner.run(np.asarray(video.retrieve()[1], np.uint8))
            kinds = found.class_ids.tolist()
            followed = tracker.follow(found, kinds, frames=step, seconds=step / 29.83)
            rows = zip(followed.tracks.tolist(), followed.kinds, followed.sure, strict=True)
            seen.update(track for track, kind, sure in rows if sure and kind == bottle)
            looked += 1
        number += 1
    assert looked == FRAMES_LOOKED_AT[step]
    assert len(seen) == 7
    assert min(seen.values()) * step > 100
