"""Finding pictures with boxes in a folder, whichever of the three layouts it has, and splitting them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from cloud.boxes.boxed import BoxFolder, Part, with_labels
from cloud.boxes.coco import coco_files, read_coco
from cloud.boxes.voc import read_voc, voc_files
from cloud.boxes.yolo import is_yolo_folder, read_yolo
from models.errors import DataError

_PARTS: dict[str, Part] = {"train": "train", "val": "val", "valid": "val", "validation": "val"}


def is_boxed(folder: Path) -> bool:
    """Whether the folder, or a train/ in it, is laid out as YOLO's, COCO's or Pascal VOC's."""
    return any(_is_laid_out(place) for place in (folder, folder / "train"))


def find_boxed(folder: Path) -> BoxFolder:
    """The pictures of a folder and what is in them, as its label files say; DataError when there are none."""
    nested = {child: _PARTS[child.name] for child in _children(folder) if child.name in _PARTS and _is_laid_out(child)}
    if not nested:
        return _read(folder)
    if "train" not in nested.values() and _is_laid_out(folder):
        nested[folder] = "train"
    train, *others = [
        (_as_part(_read(child), part)) for child, part in sorted(nested.items(), key=lambda item: item[1] != "train")
    ]
    if not train.named:
        count = max(len(each.labels) for each in (train, *others))
        train = replace(train, labels=tuple(map(str, range(count))))
    pictures = [*train.pictures]
    for other in others:
        pictures += with_labels(other, train.labels).pictures
    return replace(train, root=folder, pictures=tuple(pictures))


def split_boxed(data: Path, val: Path | None, *, seed: int, val_share: float = 0.2) -> tuple[BoxFolder, BoxFolder]:
    """The pictures to train on and those to judge by: `val` if given, else as `data`'s own files split them, else a
    seeded share. Of a `data` that is split already `val` stands in for its own val part, and of a split `val` that part
    judges."""
    found = find_boxed(data)
    if val is not None:
        found, others = _part(found, "train"), _part(find_boxed(val), "val")
        if not found.named and others.named:
            return with_labels(found, others.labels), others
        if not found.named:
            count = max(len(found.labels), len(others.labels))
            found = replace(found, labels=tuple(map(str, range(count))))
        return found, with_labels(others, found.labels)
    parts = [picture.part for picture in found.pictures]
    if "train" in parts and "val" in parts:
        return _part(found, "train"), _part(found, "val")
    found = found.subset(index for index, part in enumerate(parts) if part != "test")  # for nobody to learn from
    if len(found) < 2:
        raise DataError(f"{data} holds too few pictures to split them, {len(found)}; expected at least two, or --val")
    order = np.random.default_rng(seed).permutation(len(found))
    held_out = max(1, round(len(found) * val_share))
    return found.subset(sorted(order[held_out:].tolist())), found.subset(sorted(order[:held_out].tolist()))


def _part(folder: BoxFolder, part: Part) -> BoxFolder:
    """The pictures of a part of the split; all of them where none is said to be in it."""
    chosen = [index for index, picture in enumerate(folder.pictures) if picture.part == part]
    return folder.subset(chosen) if chosen else folder


def _read(folder: Path) -> BoxFolder:
    found = _read_as_laid_out(folder)
    for label in found.labels:
        if not label.isprintable():
            raise DataError(f"{folder}: class {label!r:.100} is no line of printable text; rename it")
    path, entries = Counter(picture.path for picture in found.pictures).most_common(1)[0]
    if entries > 1:
        raise DataError(
            f"{path}: {entries} entries of {folder} tell of its boxes; expected one, merge or remove the others"
        )
    return found


def _is_laid_out(folder: Path) -> bool:
    return is_yolo_folder(folder) or bool(coco_files(folder)) or bool(voc_files(folder))


def _read_as_laid_out(folder: Path) -> BoxFolder:
    if is_yolo_folder(folder):
        return read_yolo(folder)
    if files := coco_files(folder):
        return read_coco(folder, files)
    if files := voc_files(folder):
        return read_voc(folder, files)
    raise DataError(
        f"{folder} tells of no boxes; expected images/ and labels/ (YOLO), a .json of COCO's or .xml files of "
        f"Pascal VOC's"
    )


def _as_part(folder: BoxFolder, part: Part) -> BoxFolder:
    return replace(folder, pictures=tuple(replace(picture, part=part) for picture in folder.pictures))


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
