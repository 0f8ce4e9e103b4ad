"""Pictures with boxes in memory, fitted to a model's input."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cloud.average_precision import Truth
from cloud.boxes.boxed import BoxedPicture, BoxFolder
from cloud.image_folder import ImageFile, allowed_broken, decode_picture, read_bytes
from models.detections import UInt8
from models.errors import DataError
from models.fitting import Placement, fit
from models.manifest import InputSpec


@dataclass(frozen=True, slots=True, eq=False)
class BoxedImages:
    """Pictures in memory: `pixels` uint8 (n, H, W, 3) BGR, fitted; `truths` what is in each, in its pixels.

    `broken` names the files that could not be decoded; `digest` is a sha256 over every file's name, bytes and boxes;
    `files` are all of them, broken ones too.
    """

    labels: tuple[str, ...]
    pixels: UInt8
    truths: tuple[Truth, ...]
    broken: tuple[str, ...]
    digest: str
    files: tuple[ImageFile, ...]

    def __len__(self) -> int:
        return len(self.truths)

    def counts(self) -> dict[str, int]:
        """Boxes by label."""
        found = Counter(class_id for truth in self.truths for class_id in truth.class_ids.tolist())
        return {label: found[class_id] for class_id, label in enumerate(self.labels)}


def load_boxed(folder: BoxFolder, spec: InputSpec, *, threads: int = 2) -> BoxedImages:
    """Decode and fit every picture. Broken files are skipped and named, up to a limit; beyond it DataError, and for the
    first box that makes no sense."""
    with ThreadPoolExecutor(threads) as pool:
        loaded = list(pool.map(lambda picture: _load(picture, spec), folder.pictures))
    broken = tuple(str(p.path) for p, (_, image, _) in zip(folder.pictures, loaded, strict=True) if image is None)
    _check_broken(folder, broken)
    kept = [(image, truth) for _, image, truth in loaded if image is not None and truth is not None]
    files = tuple(
        ImageFile(
            picture.path.relative_to(folder.root).as_posix(),
            _described(picture, folder.labels),
            sha256,
            "" if image is None else hashlib.sha256(image.tobytes()).hexdigest(),
        )
        for picture, (sha256, image, _) in zip(folder.pictures, loaded, strict=True)
    )
    digest = hashlib.sha256()
    for picture, file in zip(folder.pictures, files, strict=True):
        boxes = " ".join(f"{folder.labels[box.class_id]} {box.xyxy}" for box in picture.boxes)
        digest.update(f"{file.name} {file.sha256} {boxes}\n".encode())
    return BoxedImages(
        folder.labels,
        np.stack([image for image, _ in kept]),
        tuple(truth for _, truth in kept),
        broken,
        digest.hexdigest(),
        files,
    )


def without_broken(folder: BoxFolder, *, threads: int = 2) -> BoxFolder:
    """The pictures that can be decoded, as `load_boxed` keeps them; DataError where too many can't."""
    with ThreadPoolExecutor(threads) as pool:
        paths = [picture.path for picture in folder.pictures]
        whole = list(pool.map(lambda path: decode_picture(read_bytes(path)) is not None, paths))
    _check_broken(folder, [str(path) for path, fine in zip(paths, whole, strict=True) if not fine])
    return folder.subset(index for index, fine in enumerate(whole) if fine)


def fitted_truth(truth: Truth, placement: Placement) -> Truth:
    """The boxes of a picture in pixels of the fitted one."""
    scale, offset = np.array(placement.scale * 2, np.float32), np.array(placement.offset * 2, np.float32)
    return Truth((truth.xyxy * scale + offset).astype(np.float32), truth.class_ids)


def _load(picture: BoxedPicture, spec: InputSpec) -> tuple[str, UInt8 | None, Truth | None]:
    content = read_bytes(picture.path)
    sha256 = hashlib.sha256(content).hexdigest()
    image = decode_picture(content)
    if image is None:
        return sha256, None, None
    truth = picture.truth(image.shape[1], image.shape[0])
    fitted, placement = fit(image, spec)
    return sha256, fitted, fitted_truth(truth, placement)


def _check_broken(folder: BoxFolder, broken: Sequence[str]) -> None:
    if len(broken) > (allowed := allowed_broken(len(folder))):
        raise DataError(
            f"{folder.root}: {len(broken)} of {len(folder)} pictures cannot be decoded, more than the {allowed} that "
            f"are skipped without asking; the first is {broken[0]}"
        )
    if len(broken) == len(folder):
        raise DataError(f"{folder.root}: none of {len(folder)} pictures can be decoded")


def _described(picture: BoxedPicture, labels: tuple[str, ...]) -> str:
    """What is in a picture, as a label for data.json: "2 bolt, 1 nut"."""
    found = Counter(labels[box.class_id] for box in picture.boxes)
    return ", ".join(f"{found[label]} {label}" for label in sorted(found)) or "nothing"
