"""CPU time of what the gateway makes of a frame's detections: tracks, two lines, two zones and aggregates.

Five things wander for 1,500 frames, one in twenty missed, their boxes 2 % off. The bar is the time of a whole
`Analytics.see`, on one core.
"""

import sys
import time

import numpy as np

from benchmarks.bar import Bar, report
from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig, LineConfig, ZoneConfig
from models.detections import Detections

FRAMES = 1500
THINGS = 5
SIZE = (640, 480)
LABELS = ("bottle",) * THINGS
RULES = AnalyticsConfig(
    lines=(LineConfig("a", (0.5, 0.0), (0.5, 1.0)), LineConfig("b", (0.0, 0.6), (1.0, 0.6))),
    zones=(
        ZoneConfig("c", ((0.1, 0.1), (0.6, 0.1), (0.6, 0.9), (0.1, 0.9)), dwell_s=5.0),
        ZoneConfig("d", ((0.4, 0.4), (0.9, 0.4), (0.9, 0.9), (0.7, 1.0), (0.4, 0.9)), count=3),
    ),
    aggregate_s=60.0,
)


def main() -> int:
    frames = list(_frames())
    times = {"tracks alone": AnalyticsConfig(aggregate_s=0), "all": RULES}
    took: dict[str, list[float]] = {name: [] for name in times}
    for _ in range(9):
        for name, config in times.items():
            took[name].append(_cpu_per_frame(Analytics(config, camera="line-1"), frames))
    alone, everything = (min(took[name]) * 1000 for name in times)
    found = np.mean([len(frame) for frame in frames])
    measured = f"{found:.1f} detections a frame, {FRAMES} frames, best of 9 in turns; tracks alone {alone:.3f} ms"
    return report(Bar("tracks, events and aggregates, CPU per frame", everything, 0.25, "lower", "ms", measured))


def _cpu_per_frame(analytics: Analytics, frames: list[Detections]) -> float:
    started = time.process_time()
    for number, found in enumerate(frames):
        moment = Moment(number, 1_790_000_000_000_000 + number * 66_667, number / 15, SIZE, "coco", 1)
        analytics.see(moment, found, LABELS[: len(found)])
    return (time.process_time() - started) / len(frames)


def _frames() -> list[Detections]:
    rng = np.random.default_rng(0)
    place, speed = rng.uniform(50, 400, (THINGS, 2)), rng.uniform(-4, 4, (THINGS, 2))
    size = rng.uniform(40, 120, (THINGS, 2))
    frames = []
    for _ in range(FRAMES):
        place += speed
        speed[(place < 0) | (place > np.array(SIZE) - size)] *= -1
        boxes = np.hstack((place, place + size)) + rng.normal(0, 0.02, (THINGS, 4)) * np.tile(size, 2)
        seen = np.flatnonzero(rng.random(THINGS) > 0.05)
        scores = np.sort(rng.uniform(0.3, 0.9, len(seen)))[::-1]
        frames.append(Detections.of(boxes[seen], scores, [0] * len(seen)))
    return frames


if __name__ == "__main__":
    sys.exit(main())
