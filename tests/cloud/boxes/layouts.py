"""Writing the same boxes as YOLO, COCO and Pascal VOC would."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

WIDTH, HEIGHT = 100, 50


class Labelled(NamedTuple):
    """A box in whole pixels, its last one belonging to it no more."""

    label: str
    x1: int
    y1: int
    x2: int
    y2: int


Boxes = Mapping[str, list[Labelled]]
LABELS = ("bolt", "nut")


def _paint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # each name a picture of its own: doubles are found by their pixels
    shade = sum(path.stem.encode()) % 200
    cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), shade, np.uint8))


def write_yolo(folder: Path, boxes: Boxes) -> None:
    for name, things in boxes.items():
        _paint(folder / "images" / f"{name}.png")
        (folder / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{LABELS.index(t.label)} {(t.x1 + t.x2) / 2 / WIDTH} {(t.y1 + t.y2) / 2 / HEIGHT} "
            f"{(t.x2 - t.x1) / WIDTH} {(t.y2 - t.y1) / HEIGHT}\n"
            for t in things
        ]
        (folder / "labels" / f"{name}.txt").write_text("".join(rows))
    (folder / "data.yaml").write_text("names:\n  0: bolt\n  1: nut\n")


def write_coco(folder: Path, boxes: Boxes) -> None:
    annotations = [
        {
            "image_id": name,
            "category_id": {"bolt": 7, "nut": 17}[t.label],
            "bbox": [t.x1, t.y1, t.x2 - t.x1, t.y2 - t.y1],
        }
        for name, things in boxes.items()
        for t in things
    ]
    images = [{"id": name, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT} for name in boxes]
    for name in boxes:
        _paint(folder / "images" / f"{name}.png")
    document = {
        "images": images,
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations)],
        "categories": [{"id": 17, "name": "nut"}, {"id": 7, "name": "bolt"}],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "all.json").write_text(json.dumps(document))


def write_voc(folder: Path, boxes: Boxes) -> None:
    (folder / "Annotations").mkdir(parents=True)
    for name, things in boxes.items():
        _paint(folder / "JPEGImages" / f"{name}.png")
        objects = "".join(
            f"<object><name>{t.label}</name><bndbox><xmin>{t.x1 + 1}</xmin><ymin>{t.y1 + 1}</ymin>"
            f"<xmax>{t.x2}</xmax><ymax>{t.y2}</ymax></bndbox></object>"
            for t in things
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{name}.png</filename>{size}{objects}</annotation>"
        (folder / "Annotations" / f"{name}.xml").write_text(text)


WRITERS: dict[str, Callable[[Path, Boxes], None]] = {"yolo": write_yolo, "coco": write_coco, "voc": write_voc}

SOME: Boxes = {
    "a": [Labelled("nut", 40, 15, 60, 35), Labelled("bolt", 0, 0, 20, 10)],
    "b": [],
    "c": [Labelled("bolt", 80, 40, 100, 50)],
}
