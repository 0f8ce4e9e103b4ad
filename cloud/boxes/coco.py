"""COCO's layout (https://cocodataset.org/#format-data): JSON files that tell of pictures, boxes and categories.

They lie in the folder or in its annotations/; pictures beside them, in images/ or in a folder of the JSON file's name.
"""

import codecs
import json
import math
from pathlib import Path
from typing import Any

from cloud.boxes.boxed import Box, BoxedPicture, BoxFolder, file_below, part_of
from models.errors import DataError


def coco_files(folder: Path) -> list[Path]:
    """The JSON files of a folder that tell of boxes: its instances_*.json where there are any, as COCO's own captions
    and keypoints tell of the same pictures again."""
    found = sorted(path for place in (folder, folder / "annotations") for path in place.glob("*.json"))
    found = [path for path in found if _looks_like_coco(path)]
    return [path for path in found if path.name.startswith("instances_")] or found


def read_coco(folder: Path, files: list[Path]) -> BoxFolder:
    """The pictures that the files tell of. Crowds are left out; DataError for what makes no sense."""
    documents = {path: _read(path) for path in files}
    names: dict[int, str] = {}
    for path, document in documents.items():
        for category in _rows(document, "categories", path):
            number, name = category.get("id"), category.get("name")
            if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
                raise DataError(f"{path}: category {category!r:.100} needs a number as id and a name")
            if names.setdefault(number, name.strip()) != name.strip():
                raise DataError(f"{path}: category {category!r:.100} is {names[number]!r:.100} elsewhere")
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
    boxes: dict[int | str, list[Box]] = {}
    for image in _rows(document, "images", path):
        number = image.get("id")
        if not isinstance(number, int | str) or number in boxes:
            raise DataError(f"{path}, image {number!r:.100}: expected an id of its own")
        boxes[number] = []
    for annotation in _rows(document, "annotations", path):
        where = f"{path}, annotation {annotation.get('id')!r:.100}"
        if annotation.get("iscrowd"):
            continue  # a region of many, not a thing to be found
        number, category = annotation.get("image_id"), annotation.get("category_id")
        if not isinstance(number, int | str) or number not in boxes:
            raise DataError(f"{where}: image {number!r:.100} is unknown; expected an id from `images`")
        if not isinstance(category, int) or category not in class_ids:
            raise DataError(f"{where}: class {category!r:.100} is unknown; expected an id from `categories`")
        boxes[number].append(Box(class_ids[category], _corners(annotation.get("bbox"), where), where))
    part = part_of(path.stem)
    found = []
    for image in _rows(document, "images", path):
        where = f"{path}, image {image['id']!r:.100}"
        file = _find(folder, path, image.get("file_name"), where)
        found.append(BoxedPicture(file, tuple(boxes[image["id"]]), _size(image, where), part))
    return found


def _corners(bbox: object, where: str) -> tuple[float, float, float, float]:
    try:
        if not isinstance(bbox, list):
            raise TypeError("no list")
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError, OverflowError) as exc:
        raise DataError(f"{where}: expected bbox [x, y, width, height], got {bbox!r:.100}") from exc
    return x, y, x + width, y + height


def _find(folder: Path, path: Path, name: object, where: str) -> Path:
    if not isinstance(name, str):
        raise DataError(f"{where}: expected a file_name, got {name!r:.100}")
    stem = path.stem.removeprefix("instances_")
    places = [path.parent, folder, folder / "images", folder / stem, folder / "images" / stem]
    for file in [file_below(place, name, where) for place in places]:
        if file is not None:
            return file
    raise DataError(f"{where}: {name!r:.100} is not there; looked in {', '.join(map(str, dict.fromkeys(places)))}")


def _size(image: dict[str, Any], where: str) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    if width is None or height is None:
        return None
    try:
        size = float(width), float(height)
    except (TypeError, ValueError, OverflowError):
        size = (math.nan, math.nan)
    if not (0 < size[0] < math.inf and 0 < size[1] < math.inf):
        raise DataError(f"{where}: expected width and height above 0, got {width!r:.50} and {height!r:.50}")
    return size


def _looks_like_coco(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{") and any(
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
