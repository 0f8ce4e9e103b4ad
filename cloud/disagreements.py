"""Pictures on which a model and its challenger differ, laid out for whoever puts labels on them.

images/GATEWAY_CAMERA_FRAME_PICTURE.jpg
annotations/ours.json      what the running model said, in COCO's layout, with a `score` to each annotation
annotations/theirs.json    what the challenger said
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cloud.lake.lake import Lake
from greengrass.objects import open_store
from models.both_answers import Answer, BothAnswers, answers_in
from models.durable import write_atomic
from models.errors import DataError, StoreError

OURS, THEIRS = "ours.json", "theirs.json"
_SQL = """
SELECT gateway, camera, frame, picture, captured_at, uri FROM pictures
WHERE kind = 'disagreement' AND captured_at >= TIMESTAMP '{since}'
ORDER BY captured_at DESC, gateway, picture
"""
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture of a disagreement: its JPEG, its size in pixels, and what the two said (None where a gateway of before
    did not tell)."""

    name: str
    jpeg: bytes
    size: tuple[int, int]
    both: BothAnswers | None


@dataclass(frozen=True, slots=True)
class Missing:
    """A picture that the lake names and that cannot be had, and why."""

    name: str
    because: str


def samples(
    lake: Lake, *, since: datetime, model: str | None = None, release: int | None = None
) -> Iterator[Sample | Missing]:
    """The lake's disagreements since a time (UTC, without a zone), the newest first. `model` and `release` are the
    challenger's; with one of them, pictures that do not tell are left out."""
    for row in lake.query(_SQL.format(since=since.isoformat(sep=" "))).to_pylist():
        parts = (row["gateway"], row["camera"], str(row["frame"]), row["picture"])
        name = "_".join(_UNSAFE.sub("-", part) for part in parts) + ".jpg"
        try:
            place, _, key = row["uri"].rpartition("/")
            jpeg = open_store(place).get(key)
            both = answers_in(jpeg)
            size = _size_of(jpeg)
        except (StoreError, DataError) as exc:
            yield Missing(name, str(exc))
            continue
        theirs = both.theirs if both is not None else Answer("", 0, ())
        if (model is None or theirs.model == model) and (release is None or theirs.release == release):
            yield Sample(name, jpeg, size, both)


def write_samples(out: Path, found: Iterable[Sample]) -> int:
    """Lay pictures out in `out`, which is made; how many. DataError when they cannot be written."""
    kept: list[Sample] = []
    try:
        for sample in found:
            write_atomic(out / "images" / sample.name, sample.jpeg)
            kept.append(Sample(sample.name, b"", sample.size, sample.both))
        labels = sorted({one.label for sample in kept for answer in _answers(sample) for one in answer.found})
        for index, file in enumerate((OURS, THEIRS)):
            document = _coco(kept, [_answers(sample)[index] for sample in kept], labels)
            write_atomic(out / "annotations" / file, (json.dumps(document, ensure_ascii=False) + "\n").encode())
    except OSError as exc:
        raise DataError(f"{out} cannot be written: {exc.strerror}") from exc
    return len(kept)


def _answers(sample: Sample) -> tuple[Answer, Answer]:
    nothing = Answer("", 0, ())
    return (sample.both.ours, sample.both.theirs) if sample.both is not None else (nothing, nothing)


def _coco(kept: Sequence[Sample], answers: Sequence[Answer], labels: Sequence[str]) -> Mapping[str, Any]:
    numbers = {label: number for number, label in enumerate(labels, 1)}
    annotations: list[dict[str, Any]] = []
    for image_id, (sample, answer) in enumerate(zip(kept, answers, strict=True), 1):
        width, height = sample.both.size if sample.both is not None else sample.size
        across, down = sample.size[0] / max(1, width), sample.size[1] / max(1, height)
        for one in answer.found:
            left, right = (round(edge * across, 1) for edge in one.xyxy[::2])
            top, bottom = (round(edge * down, 1) for edge in one.xyxy[1::2])
            box = [left, top, round(right - left, 1), round(bottom - top, 1)]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[one.label],
                    "bbox": box,
                    "area": round(box[2] * box[3], 1),
                    "iscrowd": 0,
                    "score": one.score,
                }
            )
    return {
        "images": [
            {"id": number, "file_name": sample.name, "width": sample.size[0], "height": sample.size[1]}
            for number, sample in enumerate(kept, 1)
        ],
        "categories": [{"id": number, "name": label} for label, number in numbers.items()],
        "annotations": annotations,
    }


def _size_of(jpeg: bytes) -> tuple[int, int]:
    try:
        whole = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as exc:
        raise DataError(f"a picture cannot be decoded: {str(exc)[:100]}") from exc
    if whole is None:
        raise DataError("a picture cannot be decoded")
    return whole.shape[1], whole.shape[0]
