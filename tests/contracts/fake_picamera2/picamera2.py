"""A camera module that isn't there: as much of Picamera2 as a gateway uses, with faults to choose.

It keeps the promises of the Picamera2 manual (2023 and later): `capture_request` waits for the next picture, a request
holds a buffer until it is released, and a sensor whose buffers are all held shows nothing.
"""

import time
from typing import Any, Self

import numpy as np
import numpy.typing as npt

CAMERAS = 1
FPS = 30
faults: set[str] = set()  # "busy": another process has it; "unplugged": it stops; "no times": no SensorTimestamp
open_now: list["Picamera2"] = []


class Picamera2:
    def __init__(self, camera_num: int = 0) -> None:
        if camera_num >= CAMERAS:
            raise IndexError("list index out of range")
        if "busy" in faults:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.held = 0
        self.shown = 0
        self._running = False
        self._configuration: dict[str, Any] = {}
        open_now.append(self)

    def create_video_configuration(self, main: dict[str, Any], *, buffer_count: int, queue: bool) -> dict[str, Any]:
        assert main["format"] == "RGB888", "in the order of OpenCV"
        return {"main": main, "buffer_count": buffer_count, "queue": queue}

    def configure(self, configuration: dict[str, Any]) -> None:
        self._configuration = configuration

    def start(self) -> None:
        self._running = True

    def capture_request(self) -> "Request":
        assert self._running
        if "unplugged" in faults:
            raise RuntimeError("Camera frontend has timed out!")
        while self.held == self._configuration["buffer_count"]:
            time.sleep(0.01)
        time.sleep(1 / FPS)
        self.held += 1
        self.shown += 1
        return Request(self, self._configuration["main"]["size"], self.shown - 1)

    def stop(self) -> None:
        self._running = False

    def close(self) -> None:
        open_now.remove(self)


class Request:
    def __init__(self, camera: Picamera2, size: tuple[int, int], number: int) -> None:
        self._camera = camera
        self._size = size
        self._number = number
        self._taken_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000  # it takes 20 ms to get here

    def get_metadata(self) -> dict[str, Any]:
        return {} if "no times" in faults else {"SensorTimestamp": self._taken_ns}

    def picture(self) -> npt.NDArray[np.uint8]:
        width, height = self._size
        return np.full((height, width, 3), np.eye(3)[self._number % 3] * 200, np.uint8)

    def release(self) -> None:
        self._camera.held -= 1


class MappedArray:
    """A request's memory while the context lasts; afterwards it belongs to the camera again."""

    def __init__(self, request: Request, stream: str) -> None:
        assert stream == "main"
        self.array = request.picture()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_what: object) -> None:
        self.array[:] = 255
