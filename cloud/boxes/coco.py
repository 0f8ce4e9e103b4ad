"""COCO's layout (https://cocodataset.org/#format-data): JSON files that tell of pictures, boxes and categories.

They lie in the folder or in its annotations/; pictures beside them, in images/ or in a folder of the JSON file's name.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from cloud.boxes.boxed import Box, BoxedPicture, BoxFolder, below, part_of
from models.errors import DataError


def coco_files(folder: Path) -> list[Path]:
    """The JSON files of a folder that tell of boxes."""
    found = sorted(path for place in (folder, folder / "annotations") for path in place.glob("*.json"))
    return [path for path in found if _looks_like_coco(path)]


def read_coco(folder: Path, files: list[Path]) -> BoxFolder:
    """The pictures that the files tell of. Crowds are left out; DataError for what makes no sense."""
    documents = {path: _read(path) for path in files}
    names: dict[int, str] = {}
    for path, document in documents.items():
        for category in _rows(document, "categories", path):
            number, name = category.get("id"), str(category.get("name", "")).strip()
            if not isinstance(number, int) or not name or names.setdefault(number, name) != name:
                raise DataError(f"{path}: category {category!r} needs an id and a name of its own")
    labels = tuple(names[number] for number in sorted(names))
    if not labels or len(set(labels)) < len(labels):
        raise DataError(f"{files[0]}: expected categories with different names, got {', '.join(labels)[:100]!r}")
    class_ids = {number: class_id for class_id, number in enumerate(sorted(names))}
    pictures = [
        picture for path, document in documents.items() for picture in _pictures(folder, path, document, class_ids)
    ]
    if not pictures:
        raise DataError(f"{files[0]} tells of no pictures")
    return BoxFolder(folder, labels, tuple(sorted(pictures, key=lambda picture: picture.path)))


def _pictures(folder: Path, path: Path, document: dict[str, Any], class_ids: dict[int, int]) -> list[BoxedPicture]:
    boxes: dict[Any, list[Box]] = defaultdict(list)
    known = {image.get("id") for image in _rows(document, "images", path)}
    for annotation in _rows(document, "annotations", path):
        where = f"{path}, annotation {annotation.get('id')}"
        if annotation.get("iscrowd"):
            continue  # a region of many, not a thing to be found
        if annotation.get("image_id") not in known:
            raise DataError(f"{where}: image {annotation.get('image_id')!r} is unknown; expected an id from `images`")
        if annotation.get("category_id") not in class_ids:
            raise DataError(
                f"{where}: class {annotation.get('category_id')!r} is unknown; expected an id from `categories`"
            )
        try:
            x, y, width, height = map(float, annotation["bbox"])
        except (KeyError, TypeError, ValueError) as exc:
            raise DataError(f"{where}: expected bbox [x, y, width, height], got {annotation.get('bbox')!r}") from exc
        box = Box(class_ids[annotation["category_id"]], (x, y, x + width, y + height), where)
        boxes[annotation["image_id"]].append(box)
    part = part_of(path.stem)
    found = []
    for image in _rows(document, "images", path):
        where = f"{path}, image {image.get('id')}"
        file = _find(folder, path, str(image.get("file_name", "")), where)
        found.append(BoxedPicture(file, tuple(boxes[image.get("id")]), _size(image, where), part))
    return found


def _find(folder: Path, path: Path, name: str, where: str) -> Path:
    stem = path.stem.removeprefix("instances_")
    places = [path.parent, folder, folder / "images", folder / stem, folder / "images" / stem]
    tried = [below(place, name, where) for place in places]
    for file in tried:
        if file.is_file():
            return file
    raise DataError(f"{where}: {name!r} is not there; looked in {', '.join(map(str, dict.fromkeys(places)))}")


def _size(image: dict[str, Any], where: str) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    if width is None or height is None:
        return None
    if not (isinstance(width, int | float) and isinstance(height, int | float) and width > 0 < height):
        raise DataError(f"{where}: expected width and height above 0, got {width!r} and {height!r}")
    return float(width), float(height)


def _looks_like_coco(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return head.lstrip().startswith(b"{") and any(
        key in head for key in (b'"images"', b'"annotations"', b'"categories"')
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise DataError(f"{path} cannot be read: {exc}; expected COCO's JSON") from exc
    if not isinstance(document, dict):
        raise DataError(f"{path}: expected an object with images, annotations and categories")
    return document


def _rows(document: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    rows = document.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: expected a list of objects as {key!r}")
    return rows
