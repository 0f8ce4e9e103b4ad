"""Where good pictures are, and where defects to judge by: how a folder for anomaly detection is laid out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.image_folder import PICTURES, ImageFolder, pictures_in
from models.errors import DataError

GOOD, ANOMALY = "good", "anomaly"
LABELS = (GOOD, ANOMALY)
LEAST = 20  # good pictures: fewer show neither what varies nor where to draw the line
HELD_OUT = 0.3

_JUDGING = ("val", "test")
_NO_CLASS = {*_JUDGING, "train", "ground_truth"}  # the last holds masks in data laid out as MVTec AD's


@dataclass(frozen=True, slots=True)
class Goods:
    """Good pictures to `train` on, others (`held_out`) to draw the line by, and what to judge by: `judged` has the
    label good first and each kind of defect after it; None where there is nothing of the kind."""

    train: ImageFolder
    held_out: ImageFolder
    judged: ImageFolder | None


def find_goods(data: Path, val: Path | None, *, seed: int) -> Goods:
    """The good pictures of `data`/train/good, of `data`/good or of `data` itself, split by `seed`; and what is in the
    sub-folders of `val`, by default of `data`/val and `data`/test. DataError says what is wrong with the layout."""
    good = _good_folder(data)
    paths = pictures_in(good) if good.name == GOOD else _bare(good)
    if len(paths) < LEAST:
        raise DataError(f"{good} holds {len(paths)} good pictures; expected at least {LEAST}, and 100 are better")
    order = np.random.default_rng(seed).permutation(len(paths))
    held = round(HELD_OUT * len(paths))
    held_out, train = ([paths[index] for index in sorted(part)] for part in (order[:held], order[held:]))
    if val is not None:
        return Goods(_of_goods(good, train), _of_goods(good, held_out), find_judged(val))
    places = [data / name for name in _JUDGING if (data / name).is_dir()]
    judged = _with_kinds(data, places) if places else None
    return Goods(_of_goods(good, train), _of_goods(good, held_out), judged)


def find_judged(folder: Path) -> ImageFolder:
    """All that a model can be judged by: what is in the val/ and test/ of a folder, or in its sub-folders; else the
    good pictures that it holds."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with sub-folders, {GOOD}/ and one for each defect")
    if places := [folder / name for name in _JUDGING if (folder / name).is_dir()]:
        return _with_kinds(folder, places)
    if any(child.name not in _NO_CLASS for child in _children(folder)):
        return _with_kinds(folder, [folder])
    good = _good_folder(folder)
    paths = pictures_in(good) if good.name == GOOD else _bare(good)
    if not paths:
        raise DataError(f"{folder} holds no pictures; expected good ones, in {GOOD}/ or alone")
    return _of_goods(good, paths)


def with_goods(judged: ImageFolder, held_out: ImageFolder) -> ImageFolder:
    """What to judge by, with the held-out good pictures where it has none of its own to compare defects with."""
    if 0 in judged.class_ids:
        return judged
    paths = tuple(path.absolute() for path in held_out.paths + judged.paths)
    root = Path(os.path.commonpath((held_out.root.absolute(), judged.root.absolute())))
    return ImageFolder(root, judged.labels, paths, held_out.class_ids + judged.class_ids)


def looks_good_only(data: Path) -> bool:
    """Whether a folder's layout is that of good pictures alone: its training part has a sub-folder `good` and no
    other."""
    place = data / "train" if (data / "train").is_dir() else data
    return place.is_dir() and [child.name for child in _children(place) if child.name not in _NO_CLASS] == [GOOD]


def _good_folder(data: Path) -> Path:
    if not data.is_dir():
        raise DataError(f"{data} is not a folder; expected one with good pictures in {GOOD}/")
    place = data / "train" if (data / "train").is_dir() else data
    strange = [child for child in _children(place) if child.name != GOOD and child.name not in _NO_CLASS]
    if strange:
        raise DataError(
            f"{strange[0]}: nothing but good pictures is learned from; move defects, which are only judged by, to "
            f"{data / 'test' / strange[0].name}, and good pictures to {place / GOOD}"
        )
    return place / GOOD if (place / GOOD).is_dir() else place


def _with_kinds(root: Path, places: Sequence[Path]) -> ImageFolder:
    found: dict[str, list[Path]] = {}
    for place in places:
        for child in _children(place):
            if child.name not in _NO_CLASS:
                found.setdefault(child.name, []).extend(pictures_in(child))
    empty = [name for name, paths in found.items() if not paths]
    if empty or not found:
        where = places[0] / empty[0] if empty else places[0]
        raise DataError(f"{where} holds no pictures; expected sub-folders with some, {GOOD}/ and one for each defect")
    kinds = (GOOD, *sorted(set(found) - {GOOD}))
    paths = [(path, class_id) for class_id, kind in enumerate(kinds) for path in found.get(kind, [])]
    return ImageFolder(root, kinds, tuple(path for path, _ in paths), tuple(class_id for _, class_id in paths))


def _of_goods(root: Path, paths: Sequence[Path]) -> ImageFolder:
    return ImageFolder(root, (GOOD,), tuple(paths), (0,) * len(paths))


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _bare(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))
