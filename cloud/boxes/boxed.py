"""Pictures with labelled boxes, whatever the files were that told of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cloud.average_precision import Truth
from models.errors import DataError

Part = Literal["train", "val", "test", ""]

_SLACK = 0.01  # labels are rounded, so a box may stick out of its picture by a hair
_SAME_SHAPE = 0.03  # pictures are scaled to whole pixels
_PARTS: dict[str, Part] = {"train": "train", "training": "train", "val": "val", "valid": "val", "test": "test"}
_PARTS |= {"validation": "val", "testing": "test"}


@dataclass(frozen=True, slots=True)
class Box:
    """One thing in a picture: `class_id` indexes the folder's labels, `where` is the place that says so."""

    class_id: int
    xyxy: tuple[float, float, float, float]
    where: str


@dataclass(frozen=True, slots=True)
class BoxedPicture:
    """A picture's file and what is in it. Boxes are measured in a picture of `size` (width, height): (1, 1) where they
    are parts of it, None where they are its own pixels. `part` is that of a split which its folder makes, if any."""

    path: Path
    boxes: tuple[Box, ...]
    size: tuple[float, float] | None
    part: Part = ""

    def truth(self, width: int, height: int) -> Truth:
        """The boxes in pixels of the picture, which is that large; DataError for one that lies outside of it, and
        where they were drawn in a picture of another shape."""
        full_width, full_height = self.size or (width, height)
        if self.boxes and self.size not in (None, (1, 1)):
            ratio = full_width * height / (full_height * width)
            if not abs(ratio - 1) <= _SAME_SHAPE:
                raise DataError(
                    f"{self.boxes[0].where}: the picture was {full_width:g}x{full_height:g} pixels when it was "
                    f"labelled and {self.path} is {width}x{height}; turn it back, or correct the size"
                )
        for box in self.boxes:
            x1, y1, x2, y2 = box.xyxy
            inside = (
                -_SLACK * full_width <= x1 < x2 <= (1 + _SLACK) * full_width
                and -_SLACK * full_height <= y1 < y2 <= (1 + _SLACK) * full_height
            )
            if not inside:  # also when a side is nan
                raise DataError(
                    f"{box.where}: box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) lies outside its picture, or is "
                    f"empty; expected corners between (0, 0) and ({full_width:g}, {full_height:g})"
                )
        corners = np.array([box.xyxy for box in self.boxes], np.float64).reshape(-1, 4)
        parts = np.clip(corners / (full_width, full_height, full_width, full_height), 0, 1)
        class_ids = np.array([box.class_id for box in self.boxes], np.int64)
        return Truth((parts * (width, height, width, height)).astype(np.float32), class_ids)


@dataclass(frozen=True, slots=True)
class BoxFolder:
    """Pictures with boxes below `root`, in order of their names. `named` if its files name the classes; else labels
    are numbers."""

    root: Path
    labels: tuple[str, ...]
    pictures: tuple[BoxedPicture, ...]
    named: bool = True

    def __len__(self) -> int:
        return len(self.pictures)

    def counts(self) -> dict[str, int]:
        """Boxes by label."""
        found = [0] * len(self.labels)
        for picture in self.pictures:
            for box in picture.boxes:
                found[box.class_id] += 1
        return dict(zip(self.labels, found, strict=True))

    def subset(self, indices: Iterable[int]) -> "BoxFolder":
        """Some of the pictures."""
        return replace(self, pictures=tuple(self.pictures[index] for index in indices))


def with_labels(folder: BoxFolder, labels: Sequence[str]) -> BoxFolder:
    """The same boxes with class ids that index a model's `labels`: by name, or by number where the folder names none
    and the labels are more than numbers.

    DataError for the first box of a class that the model lacks.
    """
    by_name = folder.named or all(label.isdecimal() for label in labels)
    moved = (
        {class_id: labels.index(label) if label in labels else -1 for class_id, label in enumerate(folder.labels)}
        if by_name
        else {class_id: class_id for class_id in range(len(labels))}
    )
    pictures = []
    for picture in folder.pictures:
        for box in picture.boxes:
            if moved.get(box.class_id, -1) < 0:
                known = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
                raise DataError(
                    f"{box.where}: class {folder.labels[box.class_id]!r} is unknown; the model has {known}"
                    if by_name
                    else f"{box.where}: class {box.class_id} is unknown; the model has classes 0..{len(labels) - 1}"
                )
        boxes = tuple(replace(box, class_id=moved[box.class_id]) for box in picture.boxes)
        pictures.append(replace(picture, boxes=boxes))
    return replace(folder, labels=tuple(labels), pictures=tuple(pictures), named=True)


def part_of(name: str) -> Part:
    """The part of a split that a file's or folder's name speaks of ("train2017", "instances_val2017", "valid")."""
    words = re.findall("[a-z]+", name.lower())
    return next((_PARTS[word] for word in words if word in _PARTS), "")


def file_below(root: Path, name: str, where: str) -> Path | None:
    """The file `root`/`name`, where `name` comes out of a label file, or None where there is none; DataError when it
    leads out of the folder."""
    path = Path(name.replace("\\", "/"))
    if not name.strip() or "\0" in name or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: picture {name[:100]!r} lies outside {root}; expected a name below it")
    try:
        return root / path if (root / path).is_file() else None
    except OSError:  # the name is too long for any file
        return None
