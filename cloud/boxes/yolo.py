"""YOLO's layout: images/**/x.jpg beside labels/**/x.txt.

A line of a label file is `class centre-x centre-y width height`, all but the class as parts of the picture's size. A
picture without a label file shows nothing. Class names come from data.yaml, classes.txt or a .names file, if there is
one.
"""

from pathlib import Path

import yaml

from cloud.boxes.boxed import Box, BoxedPicture, BoxFolder, part_of
from cloud.image_folder import pictures_in
from models.errors import DataError

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "labels/classes.txt", "obj.names", "classes.names")
_MOST_CLASSES = 10_000  # a label per number up to the highest must fit into memory


def is_yolo_folder(folder: Path) -> bool:
    """Whether the folder is laid out as YOLO's: labels/ beside images/."""
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def read_yolo(folder: Path) -> BoxFolder:
    """The pictures of a YOLO folder; DataError when there are none, none has labels, or a line makes no sense."""
    images = folder / "images"
    paths = pictures_in(images)
    if not paths:
        raise DataError(f"{images} holds no pictures; expected files such as {images}/1.jpg")
    files = [(folder / "labels" / path.relative_to(images)).with_suffix(".txt") for path in paths]
    if not any(file.is_file() for file in files):
        raise DataError(f"no picture of {images} has labels; expected e.g. {files[0]}")
    names = _read_names(folder)
    pictures = []
    for path, file in zip(paths, files, strict=True):
        inner = path.relative_to(images).parts[:-1]
        boxes = tuple(_parse(line, f"{file}:{number}") for number, line in _lines(file))
        for box in boxes:
            if names is not None and box.class_id >= len(names):
                raise DataError(
                    f"{box.where}: class {box.class_id} is unknown; there are names for 0..{len(names) - 1}"
                )
        pictures.append(BoxedPicture(path, boxes, (1.0, 1.0), part_of(inner[0]) if inner else ""))
    if names is None:
        count = 1 + max((box.class_id for picture in pictures for box in picture.boxes), default=-1)
        return BoxFolder(folder, tuple(map(str, range(count))), tuple(pictures), named=False)
    return BoxFolder(folder, names, tuple(pictures))


def _lines(file: Path) -> list[tuple[int, str]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as exc:
        raise DataError(f"{file} cannot be read: {exc}") from exc
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _parse(line: str, where: str) -> Box:
    try:
        class_id, *box = map(float, line.split())
        x, y, width, height = box
    except ValueError as exc:
        raise DataError(f"{where}: expected `class x y width height`, got {line[:60]!r}") from exc
    if not (0 <= class_id < _MOST_CLASSES and class_id.is_integer()):
        raise DataError(f"{where}: class {class_id:g} is unknown; expected a whole number, 0..{_MOST_CLASSES - 1}")
    return Box(int(class_id), (x - width / 2, y - height / 2, x + width / 2, y + height / 2), where)


def _read_names(folder: Path) -> tuple[str, ...] | None:
    """Class names in order, from the folder, or for train/ and val/ from the one above."""
    places = (folder, folder.parent) if part_of(folder.name) else (folder,)
    for path in (place / name for place in places for name in _NAMES):
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
            names = _yaml_names(text) if path.suffix in (".yaml", ".yml") else text.split("\n")
        except yaml.YAMLError as exc:
            raise DataError(f"{path} is no YAML: {' '.join(str(exc).split())[:200]}") from exc
        except (OSError, RecursionError, ValueError) as exc:
            raise DataError(f"{path} cannot be read: {exc}; expected the classes' names") from exc
        found = [name.strip() for name in names]
        while found and not found[-1]:
            found.pop()
        if not found or "" in found or len(set(found)) < len(found):
            raise DataError(f"{path}: expected a name for each class, all different, got {', '.join(found)[:100]!r}")
        return tuple(found)
    return None


def _yaml_names(text: str) -> list[str]:
    document = yaml.load(text, yaml.BaseLoader)  # text stays text: to the others `no` is false, and 1.10 is 1.1
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict):
        names = [names.get(str(class_id)) for class_id in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("`names` is no list of words, nor one word for each number from 0 on")
    return names
