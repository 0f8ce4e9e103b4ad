"""A folder of pictures as a camera: each of them once, in the order of their names."""

from pathlib import Path

import cv2
import numpy as np

from models.detections import UInt8
from models.errors import CameraError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


class ImageFolder:
    """The pictures that are in a folder when it is opened; folders within it are not looked into."""

    def __init__(self, path: Path) -> None:
        try:
            self._paths = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES)
        except OSError as exc:
            raise CameraError(f"camera folder {path} cannot be read: {exc.strerror}") from exc
        if not self._paths:
            raise CameraError(f"camera folder {path} holds no pictures; expected .jpg, .png, .bmp, .webp or .tif")
        self._path = path
        self._next = 0
        self._unreadable: list[str] = []

    @property
    def length_ns(self) -> int:
        return 0

    def position_ns(self) -> int:
        return 0

    def grab(self) -> bool:
        self._next += 1
        return self._next <= len(self._paths)

    def retrieve(self, into: UInt8 | None) -> UInt8 | None:
        path = self._paths[self._next - 1]
        # not into `into`: OpenCV raises where the size differs, and a folder has all sizes
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            self._unreadable.append(path.name)
            return None
        return np.asarray(image, np.uint8)

    def ended(self, pictures: int) -> None:
        if self._unreadable:
            raise CameraError(
                f"camera folder {self._path}: {len(self._unreadable)} of its {len(self._paths)} pictures cannot be "
                f"read, the first is {self._unreadable[0]}; mend or remove them"
            )

    def release(self) -> None:
        """Nothing is open between two pictures."""
