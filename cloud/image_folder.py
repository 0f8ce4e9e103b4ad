"""Labelled pictures: a folder with one sub-folder a class, read once and kept small."""

import hashlib
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.detections import Int64, UInt8
from models.errors import DataError
from models.fitting import fit
from models.manifest import InputSpec

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
MAX_BROKEN_SHARE = 0.02
_LONGEST_SIDE = 1024  # of an input that nobody asked for: a panorama at its full length trains for days
_ALWAYS_FORGIVEN = 3  # a folder of fifty pictures may have a broken one


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Where labelled pictures are. `class_ids` go with `paths` and index `labels`; `root` is the folder in messages."""

    root: Path
    labels: tuple[str, ...]
    paths: tuple[Path, ...]
    class_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Iterable[int]) -> "ImageFolder":
        chosen = list(indices)
        return ImageFolder(
            self.root,
            self.labels,
            tuple(self.paths[index] for index in chosen),
            tuple(self.class_ids[index] for index in chosen),
        )

    def counts(self) -> dict[str, int]:
        """Pictures by label."""
        return {label: self.class_ids.count(class_id) for class_id, label in enumerate(self.labels)}


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A picture's file: `name` below its folder, the digest of its bytes, and of its fitted pixels ("" if broken)."""

    name: str
    label: str
    sha256: str
    pixels_sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pictures in memory: `pixels` uint8 (n, H, W, 3) BGR, fitted; `class_ids` int64 (n,) index `labels`.

    `broken` names the files that could not be decoded; `digest` is a sha256 over every file's name, class and bytes;
    `files` are all of them, broken ones too.
    """

    labels: tuple[str, ...]
    pixels: UInt8
    class_ids: Int64
    broken: tuple[str, ...]
    digest: str
    files: tuple[ImageFile, ...] = ()

    def __len__(self) -> int:
        return len(self.class_ids)

    def counts(self) -> dict[str, int]:
        """Pictures by label."""
        return {label: int((self.class_ids == class_id).sum()) for class_id, label in enumerate(self.labels)}


def find_images(folder: Path) -> ImageFolder:
    """The pictures of `folder`/<class>/ (deeper ones too), classes in the order of their names."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected one with a sub-folder of pictures for each class")
    classes = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    found = {child.name: pictures_in(child) for child in classes}
    empty = [name for name, paths in found.items() if not paths]
    if not any(found.values()):
        raise DataError(
            f"{folder} holds no pictures in sub-folders; expected one sub-folder a class, e.g. {folder}/good/1.jpg"
        )
    for name in found:
        if not name.isprintable():  # also one that is not in the system's encoding
            raise DataError(f"{folder}: class {name!r} is no line of printable text; rename its folder")
    if empty:
        raise DataError(f"{folder / empty[0]} holds no pictures; fill the class or remove its folder")
    if len(found) < 2:
        raise DataError(
            f"{folder} holds one class, {classes[0].name!r}; a classifier needs at least two sub-folders "
            f"(from good pictures alone `--task anomaly` learns what is not like them)"
        )
    paths = [(path, class_id) for class_id, name in enumerate(found) for path in found[name]]
    return ImageFolder(folder, tuple(found), tuple(path for path, _ in paths), tuple(label for _, label in paths))


def find_split(data: Path, val: Path | None, *, seed: int, val_share: float = 0.2) -> tuple[ImageFolder, ImageFolder]:
    """The pictures to train on and those to judge by: `val` if given, else `data`/train and `data`/val if there,
    else a seeded share of each class."""
    if val is None and (data / "train").is_dir() and (data / "val").is_dir():
        data, val = data / "train", data / "val"
    elif (data / "train").is_dir():
        data = data / "train"
    train = find_images(data)
    if val is None:
        return _split(train, seed, val_share)
    return train, with_labels(find_images(val), train.labels)


def find_validation(data: Path) -> ImageFolder:
    """The pictures to judge by when only one folder is named: its val/ where there is one."""
    return find_images(data / "val" if (data / "val").is_dir() else data)


def with_labels(folder: ImageFolder, labels: Sequence[str]) -> ImageFolder:
    """The same pictures with class ids that index a model's `labels`; DataError for a class the model lacks."""
    unknown = [label for label in folder.labels if label not in labels]
    if unknown:
        raise DataError(
            f"{folder.root}: class {unknown[0]!r} is not among the model's classes ({', '.join(labels)}); "
            f"rename or remove the sub-folder"
        )
    moved = [labels.index(label) for label in folder.labels]
    class_ids = tuple(moved[class_id] for class_id in folder.class_ids)
    return ImageFolder(folder.root, tuple(labels), folder.paths, class_ids)


def natural_size(paths: Sequence[Path], root: Path, *, short_side: int) -> tuple[int, int]:
    """(height, width) in the pictures' shape, `short_side` at most, neither side above 1024, and never larger than they
    are; multiples of 4."""
    tried = _spread(paths, 15)
    shapes = [picture.shape for path in tried if (picture := decode_picture(read_bytes(path))) is not None]
    if not shapes:
        raise DataError(f"{root}: none of {len(tried)} pictures tried can be decoded")
    height, width = (statistics.median(shape[axis] for shape in shapes) for axis in (0, 1))
    scale = min(1.0, short_side / min(height, width), _LONGEST_SIDE / max(height, width))
    return max(4, round(height * scale / 4) * 4), max(4, round(width * scale / 4) * 4)


def load_images(folder: ImageFolder, spec: InputSpec, *, threads: int = 2) -> Images:
    """Decode and fit every picture. Broken files are skipped and named, up to a limit; beyond it DataError."""
    with ThreadPoolExecutor(threads) as pool:
        loaded = list(pool.map(lambda path: _load(path, spec), folder.paths))
    broken = tuple(str(path) for path, (_, picture) in zip(folder.paths, loaded, strict=True) if picture is None)
    if len(broken) > (allowed := allowed_broken(len(folder))):
        raise DataError(
            f"{folder.root}: {len(broken)} of {len(folder)} pictures cannot be decoded, more than the {allowed} that "
            f"are skipped without asking; the first is {broken[0]}"
        )
    kept = [index for index, (_, picture) in enumerate(loaded) if picture is not None]
    class_ids = np.array([folder.class_ids[index] for index in kept], np.int64)
    lost = set(folder.class_ids) - set(class_ids.tolist())
    if lost:
        raise DataError(f"{folder.root}: no picture of class {folder.labels[min(lost)]!r} can be decoded")
    pixels = np.stack([picture for _, picture in loaded if picture is not None])
    digest = hashlib.sha256()
    for path, class_id, (file_digest, _) in zip(folder.paths, folder.class_ids, loaded, strict=True):
        digest.update(f"{folder.labels[class_id]}/{path.name} {file_digest}\n".encode())
    files = tuple(
        ImageFile(
            path.relative_to(folder.root).as_posix(),
            folder.labels[class_id],
            file_digest,
            "" if picture is None else hashlib.sha256(picture.tobytes()).hexdigest(),
        )
        for path, class_id, (file_digest, picture) in zip(folder.paths, folder.class_ids, loaded, strict=True)
    )
    return Images(folder.labels, pixels, class_ids, broken, digest.hexdigest(), files)


def allowed_broken(pictures: int) -> int:
    """How many of so many pictures may be broken, and are skipped without asking."""
    return max(_ALWAYS_FORGIVEN, int(MAX_BROKEN_SHARE * pictures))


def read_picture(path: Path) -> UInt8:
    """uint8 (H, W, 3) BGR; DataError for a file that is no whole picture."""
    picture = decode_picture(read_bytes(path))
    if picture is None:
        raise DataError(f"{path} is not a picture that can be decoded; remove or replace it")
    return picture


def _load(path: Path, spec: InputSpec) -> tuple[str, UInt8 | None]:
    data = read_bytes(path)
    picture = decode_picture(data)
    return hashlib.sha256(data).hexdigest(), None if picture is None else fit(picture, spec)[0]


def read_bytes(path: Path) -> bytes:
    """A file's content; DataError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}; check its permissions") from exc


def decode_picture(data: bytes) -> UInt8 | None:
    """uint8 (H, W, 3) BGR; None for what is no whole picture."""
    if not data:
        return None
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # a header that promises an absurd size
        return None
    return None if picture is None else np.asarray(picture, np.uint8)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures below a folder, in order of their names."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))  # some systems leave ._1.jpg beside 1.jpg


def _split(folder: ImageFolder, seed: int, val_share: float) -> tuple[ImageFolder, ImageFolder]:
    rng = np.random.default_rng(seed)
    train: list[int] = []
    val: list[int] = []
    for class_id, label in enumerate(folder.labels):
        members = rng.permutation(np.flatnonzero(np.array(folder.class_ids) == class_id)).tolist()
        if len(members) < 2:
            raise DataError(
                f"{folder.root / label} holds one picture; a split needs at least two of each class (or pass --val)"
            )
        held_out = max(1, round(len(members) * val_share))
        val += members[:held_out]
        train += members[held_out:]
    return folder.subset(sorted(train)), folder.subset(sorted(val))


def _spread(paths: Sequence[Path], count: int) -> Sequence[Path]:
    return paths[:: max(1, len(paths) // count)][:count]
