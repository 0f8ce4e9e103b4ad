"""A film as a scene for a simulated camera: what was filmed once, again and again."""

from pathlib import Path

import cv2
import numpy as np

from models.detections import UInt8
from models.errors import DataError
from simulator.scenes import Shot, Truth

_QUALITY = 92


class Film:
    """The frames of a video file, at the pace at which they were filmed, for a camera of `fps`; from the second
    `begin_s` on. What they show is not known."""

    def __init__(self, path: Path, *, fps: float, begin_s: float = 0.0) -> None:
        capture = cv2.VideoCapture(str(path))
        try:
            filmed_fps = capture.get(cv2.CAP_PROP_FPS) or fps
            self._jpegs: list[bytes] = []
            while True:
                read, picture = capture.read()
                if not read:
                    break
                self._jpegs.append(cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes())
        finally:
            capture.release()
        if not self._jpegs:
            raise DataError(f"{path} is no video that OpenCV can read")
        self._step = filmed_fps / fps
        self._first = begin_s * filmed_fps

    def frame(self, number: int) -> Shot:
        jpeg = self._jpegs[int(self._first + number * self._step) % len(self._jpegs)]
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        image: UInt8 = np.asarray(picture, np.uint8)
        return Shot(image, self.truth(number))

    def truth(self, number: int) -> Truth:
        return Truth("", clear=False)
