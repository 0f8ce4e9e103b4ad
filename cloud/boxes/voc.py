"""Pascal VOC's layout (http://host.robots.ox.ac.uk/pascal/VOC/): an XML file for each picture.

They lie in Annotations/ beside JPEGImages/ (or images/), with a split in ImageSets/Main/{train,val}.txt if there is
one; or each XML file beside its picture.
"""

from pathlib import Path
from xml.etree import ElementTree

from cloud.boxes.boxed import Box, BoxedPicture, BoxFolder, Part, below
from models.errors import DataError


def voc_files(folder: Path) -> list[Path]:
    """The XML files of a folder."""
    place = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    return sorted(place.glob("*.xml"))


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
    try:
        content = path.read_bytes()
        if b"<!" in content.replace(b"<!--", b""):
            raise DataError(
                f"{path} declares a document type or entities, which a label file has no need of; remove it"
            )
        return ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, ValueError) as exc:
        raise DataError(f"{path} cannot be read: {exc}; expected Pascal VOC's XML") from exc


def _box(thing: ElementTree.Element, where: str) -> tuple[str, tuple[float, float, float, float], str]:
    name = (thing.findtext("name") or "").strip()
    texts = [thing.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError as exc:
        raise DataError(f"{where}: expected a bndbox with xmin, ymin, xmax and ymax, got {texts}") from exc
    if not name:
        raise DataError(f"{where}: expected a name")
    return name, (x1 - 1, y1 - 1, x2, y2), where  # VOC's first pixel is (1, 1), and its last one belongs to the box


def _picture(folder: Path, path: Path, root: ElementTree.Element) -> Path:
    name = (root.findtext("filename") or "").strip() or f"{path.stem}.jpg"
    places = (path.parent, folder / "JPEGImages", folder / "images", folder)
    for place in places:
        # some tools leave out the ending, and some keep the name that a picture had before it was renamed
        for candidate in (name, f"{name}.jpg", f"{path.stem}.jpg", f"{path.stem}.png", f"{path.stem}.jpeg"):
            file = below(place, candidate, str(path))
            if file.is_file():
                return file
    raise DataError(f"{path}: {name!r} is not there; looked in {', '.join(map(str, dict.fromkeys(places)))}")


def _size(root: ElementTree.Element) -> tuple[float, float] | None:
    try:
        width, height = (float(root.findtext(f"size/{side}") or "") for side in ("width", "height"))
    except ValueError:
        return None
    return (width, height) if width > 0 < height else None


def _parts(folder: Path) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part in ("train", "val"):
        path = folder / "ImageSets" / "Main" / f"{part}.txt"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as exc:
            raise DataError(f"{path} cannot be read: {exc}") from exc
        parts.update({line.split()[0]: part for line in lines if line.strip()})
    return parts
