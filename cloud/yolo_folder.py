"""Pictures with boxes, in the layout of YOLO: images/**/x.jpg beside labels/**/x.txt.

A line of a label file is `class centre-x centre-y width height`, all but the class as parts of the picture's size. A
picture without a label file shows nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.average_precision import Truth
from cloud.image_folder import PICTURES, read_picture
from models.detections import UInt8
from models.errors import DataError

_SLACK = 0.01  # labels are rounded, so a box may stick out of its picture by a hair


@dataclass(frozen=True, slots=True)
class BoxedPicture:
    """A picture's file, and where its labels are if there are any."""

    path: Path
    labels: Path


def is_yolo_folder(folder: Path) -> bool:
    """Whether the folder is laid out as YOLO's: labels/ beside images/."""
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def find_boxed(folder: Path) -> list[BoxedPicture]:
    """The pictures of a YOLO folder, in order of their names; DataError when there are none, or none has labels."""
    if not is_yolo_folder(folder):
        raise DataError(f"{folder} is not laid out as YOLO's; expected folders images/ and labels/ in it")
    images = folder / "images"
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    found = [BoxedPicture(path, (folder / "labels" / path.relative_to(images)).with_suffix(".txt")) for path in paths]
    if not found:
        raise DataError(f"{images} holds no pictures; expected files such as {images}/1.jpg")
    if not any(picture.labels.is_file() for picture in found):
        raise DataError(f"no picture of {images} has labels; expected e.g. {found[0].labels}")
    return found


def load_boxed(pictures: list[BoxedPicture], class_count: int) -> Iterator[tuple[UInt8, Truth]]:
    """Each picture, uint8 (H, W, 3) BGR, and what is in it; DataError for the first that is damaged."""
    for picture in pictures:
        image = read_picture(picture.path)
        yield image, read_truth(picture.labels, image.shape[1], image.shape[0], class_count)


def read_truth(path: Path, width: int, height: int, class_count: int) -> Truth:
    """The boxes of a label file, in pixels of a picture of that size; none where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{path} cannot be read: {exc}") from exc
    rows = [_parse(line, f"{path}:{number}", class_count) for number, line in enumerate(lines, 1) if line.strip()]
    table = np.array(rows, np.float64).reshape(-1, 5)
    centre, half = table[:, 1:3], table[:, 3:5] / 2
    parts = np.clip(np.concatenate((centre - half, centre + half), axis=1), 0, 1)
    return Truth((parts * (width, height, width, height)).astype(np.float32), table[:, 0].astype(np.int64))


def _parse(line: str, where: str, class_count: int) -> list[float]:
    try:
        class_id, *box = map(float, line.split())
        x, y, width, height = box
    except ValueError as exc:
        raise DataError(f"{where}: expected `class x y width height`, got {line[:60]!r}") from exc
    if class_id not in range(class_count):
        raise DataError(f"{where}: class {class_id:g} is unknown; the model has classes 0..{class_count - 1}")
    inside = all(
        -_SLACK <= side <= 1 + _SLACK for side in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    )
    if not (inside and width > 0 < height):
        raise DataError(f"{where}: box {line[:60]!r} lies outside its picture; expected parts of its size, 0..1")
    return [class_id, x, y, width, height]
