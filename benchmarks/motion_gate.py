"""What motion gating costs a frame of 480p, in CPU time, and how many frames of real videos it spares the model."""

import sys
import time

import cv2
import numpy as np

from benchmarks.bar import Bar, report
from benchmarks.learning import real_data
from edge.cameras.config import MotionConfig
from edge.cameras.motion import MotionGate
from models.detections import UInt8

VIDEOS = ("bottle-detection.mp4", "car-detection.mp4", "store-aisle-detection.mp4", "worker-zone-detection.mp4")


def main() -> int:
    cv2.setNumThreads(1)
    settings = MotionConfig()
    costs, decoding, said = [], [], []
    for name in VIDEOS:
        gate = MotionGate(threshold=settings.threshold, area=settings.area)
        video = cv2.VideoCapture(str(real_data("videos") / name), cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        frames = moved = 0
        started = time.thread_time()
        while True:
            read, picture = video.read()
            decoding.append(time.thread_time() - started)
            if not read:
                break
            image = _at_480p(np.asarray(picture, np.uint8))
            started = time.thread_time()
            moved += gate.moved(image)
            costs.append(time.thread_time() - started)
            frames += 1
            started = time.thread_time()
        said.append(f"{name} {1 - moved / frames:.0%} of {frames} still")
    measured = f"95 %: {np.percentile(costs, 95) * 1e3:.3f} ms, decoding {np.median(decoding) * 1e3:.2f} ms"
    value = float(np.median(costs) * 1e3)
    return report(Bar("motion gate, CPU time a frame", value, 0.15, "lower", "ms", "; ".join([measured, *said])))


def _at_480p(image: UInt8) -> UInt8:
    return np.asarray(cv2.resize(image, (640, 480)), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
