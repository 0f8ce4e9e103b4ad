"""Real pictures, sorted into what a model learns from, what it is judged by, what its report is made on, and what the
simulated gateways see: no picture has two of these parts."""

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from cloud.average_precision import Truth
from cloud.boxes.find import find_boxed
from cloud.image_folder import ImageFolder, find_images, read_picture
from models.detections import Int64, UInt8
from models.errors import DataError
from models.manifest import Task
from simulator.rollout_world.light import MOUNTS, at_night, seen_from

_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
_STEPS = {"bottle-detection": 15, "car-detection": 6}  # two frames a second
_SHORT_STEP = 2  # of videos that last but seconds
_REFERENCE_PART = 0.3  # of each video, from its beginning: the report is made before the gateways see the rest
_IDX_HEADER = {"images": 16, "labels": 8}


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Pictures and what is known of them: class ids, or boxes."""

    pictures: tuple[UInt8, ...]
    class_ids: tuple[int, ...] = ()
    truths: tuple[Truth, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Album:
    """`seen` by gateways, `groups` says what belongs together there (a class, a video) in the order of time;
    `reference` pictures are for the report, `judged` for the accuracy, `learned` for training (none: a model from
    elsewhere)."""

    name: str
    task: Task
    labels: tuple[str, ...]
    seen: tuple[UInt8, ...]
    groups: Int64
    reference: tuple[UInt8, ...]
    judged: Labelled
    learned: Labelled

    def digest(self) -> str:
        """Hex sha256 over every picture that gateways see."""
        return self._digest((self.seen,))

    def digest_of_knowledge(self) -> str:
        """Hex sha256 over every picture that models are made with, reported on or judged by."""
        return self._digest((self.reference, self.judged.pictures, self.learned.pictures))

    def _digest(self, parts: Sequence[Sequence[UInt8]]) -> str:
        digest = hashlib.sha256(repr((self.name, self.labels)).encode())
        for part in parts:
            digest.update(f"{len(part)}".encode())
            for picture in part:
                digest.update(f"{picture.shape}".encode())
                digest.update(np.ascontiguousarray(picture).tobytes())
        digest.update(self.groups.tobytes())
        return digest.hexdigest()


@lru_cache(maxsize=4)
def views(album: Album, night: bool) -> tuple[UInt8, ...]:
    """Every picture that gateways see, from every mount: mount by mount, in the album's order."""
    shown = [seen_from(picture, mount) for mount in MOUNTS for picture in album.seen]
    return tuple(at_night(picture, seed) for seed, picture in enumerate(shown)) if night else tuple(shown)


def day_and_night(pictures: Sequence[UInt8], *, seed: int) -> list[UInt8]:
    """All pictures by day, then all at night."""
    return [*pictures, *(at_night(picture, seed + number) for number, picture in enumerate(pictures))]


def garments(data: Path, *, learned: int = 700, judged: int = 150, reference: int = 150, seen: int = 100) -> Album:
    """Fashion-MNIST's training part, `learned` and so on pictures of each of ten classes."""
    pictures = _idx(data / "fashion-mnist", "images").reshape(-1, 28, 28)
    labels = tuple(sorted(_GARMENTS))  # as a training sorts its folders
    class_ids = np.array([labels.index(name) for name in _GARMENTS])[_idx(data / "fashion-mnist", "labels")]
    parts: dict[str, list[int]] = {"learned": [], "judged": [], "reference": [], "seen": []}
    rng = np.random.default_rng(6)
    for class_id in range(len(labels)):
        members = rng.permutation(np.flatnonzero(class_ids == class_id)).tolist()
        for part, count in zip(parts, (learned, judged, reference, seen), strict=True):
            parts[part] += [members.pop() for _ in range(count)]

    def taken(part: str) -> tuple[UInt8, ...]:
        return tuple(cv2.cvtColor(pictures[index], cv2.COLOR_GRAY2BGR) for index in parts[part])

    def ids(part: str) -> tuple[int, ...]:
        return tuple(class_ids[parts[part]].tolist())

    return Album(
        "garments",
        "classification",
        labels,
        taken("seen"),
        np.array(ids("seen"), np.int64),
        taken("reference"),
        Labelled(taken("judged"), ids("judged")),
        Labelled(taken("learned"), ids("learned")),
    )


def waste(data: Path, *, learned: float = 0.5, reference: float = 0.2) -> Album:
    """TrashNet: the published val part is judged by; of each class of the train part some is learned, some is for the
    report, and the gateways see the rest."""
    train, val = (find_images(data / "trashnet256" / part) for part in ("train", "val"))
    rng = np.random.default_rng(6)
    parts: dict[str, list[int]] = {"learned": [], "reference": [], "seen": []}
    for class_id in range(len(train.labels)):
        members = rng.permutation(np.flatnonzero(np.array(train.class_ids) == class_id)).tolist()
        first, second = round(len(members) * learned), round(len(members) * (learned + reference))
        for part, chosen in zip(parts, (members[:first], members[first:second], members[second:]), strict=True):
            parts[part] += chosen
    seen = train.subset(parts["seen"])
    return Album(
        "waste",
        "classification",
        train.labels,
        _read(seen),
        np.array(seen.class_ids, np.int64),
        _read(train.subset(parts["reference"])),
        Labelled(_read(val), val.class_ids),
        Labelled(_read(train.subset(parts["learned"])), train.subset(parts["learned"]).class_ids),
    )


def street(data: Path) -> Album:
    """The videos, of which the report has the beginning and the gateways the rest; coco128 is judged by."""
    labels = tuple((data / "models" / "coco.names").read_text().split("\n"))
    labels = tuple(label.strip() for label in labels if label.strip())
    seen: list[UInt8] = []
    groups: list[int] = []
    reference: list[UInt8] = []
    for group, path in enumerate(sorted((data / "videos").glob("*.mp4"))):
        frames = list(_frames(path))[:: _STEPS.get(path.stem, _SHORT_STEP)]
        begin = round(len(frames) * _REFERENCE_PART)
        reference += frames[:begin]
        seen += frames[begin:]
        groups += [group] * (len(frames) - begin)
    if not seen:
        raise DataError(f"{data / 'videos'} holds no videos; expected .mp4 files")
    boxed = find_boxed(data / "coco128")
    pictures = tuple(read_picture(picture.path) for picture in boxed.pictures)
    truths = tuple(
        picture.truth(image.shape[1], image.shape[0]) for picture, image in zip(boxed.pictures, pictures, strict=True)
    )
    judged = Labelled(pictures, truths=truths)
    nothing = Labelled(())
    return Album("street", "detection", labels, tuple(seen), np.array(groups), tuple(reference), judged, nothing)


def _frames(path: Path) -> Iterator[UInt8]:
    video = cv2.VideoCapture(str(path))
    try:
        while True:
            is_there, frame = video.read()
            if not is_there:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        video.release()


def _read(folder: ImageFolder) -> tuple[UInt8, ...]:
    return tuple(read_picture(path) for path in folder.paths)


def _idx(folder: Path, kind: str) -> UInt8:
    path = next(folder.glob(f"train-{kind}-*.gz"), None)
    if path is None:
        raise DataError(f"{folder} holds no train-{kind} file of Fashion-MNIST")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=_IDX_HEADER[kind])
