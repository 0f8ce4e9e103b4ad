"""Pascal VOC's layout (http://host.robots.ox.ac.uk/pascal/VOC/): an XML file for each picture.

They lie in Annotations/ beside JPEGImages/ (or images/), with a split in ImageSets/Main/{train,val}.txt if there is
one; or each XML file beside its picture.
"""

import math
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from cloud.boxes.boxed import Box, BoxedPicture, BoxFolder, Part, file_below
from models.errors import DataError

_LISTS: tuple[Part, ...] = ("test", "train", "val")


def voc_files(folder: Path) -> list[Path]:
    """The XML files of a folder that tell of boxes: all in Annotations/, or those beside pictures that look like it."""
    if (folder / "Annotations").is_dir():
        found = (folder / "Annotations").glob("*.xml")
        return sorted(path for path in found if not path.name.startswith("."))  # some systems leave ._1.xml there too
    return [path for path in sorted(folder.glob("*.xml")) if _looks_like_voc(path)]


def read_voc(folder: Path, files: list[Path]) -> BoxFolder:
    """The pictures that the files tell of; DataError for what makes no sense. Classes are in order of their names."""
    parts = _parts(folder)
    read = [(path, _read(path)) for path in files]
    found = {
        path: [_box(thing, f"{path}, object {n}") for n, thing in enumerate(root.iter("object"), 1)]
        for path, root in read
    }
    labels = tuple(sorted({name for things in found.values() for name, _, _ in things}))
    if not labels:
        raise DataError(f"{folder}: none of {len(files)} XML files tells of an object")
    pictures = []
    for path, root in read:
        boxes = tuple(Box(labels.index(name), xyxy, where) for name, xyxy, where in found[path])
        pictures.append(BoxedPicture(_picture(folder, path, root), boxes, _size(root), parts.get(path.stem, "")))
    return BoxFolder(folder, labels, tuple(sorted(pictures, key=lambda picture: picture.path)))


def _read(path: Path) -> ElementTree.Element:
    tree = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:  # entities that stand for others grow without limit, and some are files
        raise DataError(f"{path} declares a document type, which a label file has no need of; remove it")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    try:
        parser.Parse(path.read_bytes(), True)
        return tree.close()
    except (OSError, expat.ExpatError, ValueError, LookupError) as exc:  # LookupError: an unknown encoding
        raise DataError(f"{path} cannot be read: {exc}; expected Pascal VOC's XML") from exc


def _looks_like_voc(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(1 << 12)
    except OSError:
        return False


def _box(thing: ElementTree.Element, where: str) -> tuple[str, tuple[float, float, float, float], str]:
    name = (thing.findtext("name") or "").strip()
    texts = [thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError as exc:
        raise DataError(f"{where}: expected a bndbox with xmin, ymin, xmax and ymax, got {texts}") from exc
    if not name:
        raise DataError(f"{where}: expected a name")
    # VOC's first pixel is (1, 1), and its last one belongs to the box; some tools count from 0 all the same
    return name, (max(x1 - 1, min(x1, 0)), max(y1 - 1, min(y1, 0)), x2, y2), where


def _picture(folder: Path, path: Path, root: ElementTree.Element) -> Path:
    name = (root.findtext("filename") or "").strip() or f"{path.stem}.jpg"
    places = (path.parent, folder / "JPEGImages", folder / "images", folder)
    for place in places:
        # some tools leave out the ending, and some keep the name that a picture had before it was renamed
        for candidate in (name, f"{name}.jpg", f"{path.stem}.jpg", f"{path.stem}.png", f"{path.stem}.jpeg"):
            file = file_below(place, candidate, str(path))
            if file is not None:
                return file
    raise DataError(f"{path}: {name!r:.100} is not there; looked in {', '.join(map(str, dict.fromkeys(places)))}")


def _size(root: ElementTree.Element) -> tuple[float, float] | None:
    try:
        width, height = (float(root.findtext(f"size/{side}") or "") for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if 0 < width < math.inf and 0 < height < math.inf else None


def _parts(folder: Path) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part in _LISTS:
        path = folder / "ImageSets" / "Main" / f"{part}.txt"
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as exc:
            raise DataError(f"{path} cannot be read: {exc}") from exc
        parts.update({line.split()[0]: part for line in lines if line.strip()})
    return parts
