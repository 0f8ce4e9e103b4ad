"""Pictures with boxes that take a real detector: five shapes of any colour and size on clutter, some behind others."""

from pathlib import Path

import cv2
import numpy as np

from models.detections import UInt8

LABELS = ("disc", "ring", "square", "triangle", "cross")
SIZE = 128
_SMALLEST, _LARGEST, _MOST = 9, 64, 6
_MOST_HIDDEN = 0.3  # of the smaller of two
_LEAST_CONTRAST = 60  # of 255, in the channel that differs most


def paint_clutter(folder: Path, *, count: int, seed: int) -> None:
    """Write `count` pictures of 128x128 in YOLO's layout, one to six shapes in each; the same for the same seed."""
    rng = np.random.default_rng(seed)
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(LABELS) + "\n")
    for index in range(count):
        picture = _background(rng)
        rows, taken = [], np.zeros((0, 3), np.int64)
        for _ in range(rng.integers(1, _MOST + 1)):
            side = round(float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST)))))
            x, y = (int(place) for place in rng.integers(0, SIZE - side, 2))
            if _hidden(taken, x, y, side):
                continue
            taken = np.vstack((taken, (x, y, side)))
            class_id = int(rng.integers(len(LABELS)))
            _draw(picture, LABELS[class_id], x, y, side, _colour(picture[y : y + side, x : x + side], rng))
            rows.append(f"{class_id} {(x + side / 2) / SIZE} {(y + side / 2) / SIZE} {side / SIZE} {side / SIZE}\n")
        noisy = np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{index:04d}.png"), noisy)
        (folder / "labels" / f"{index:04d}.txt").write_text("".join(rows))


def _background(rng: np.random.Generator) -> UInt8:
    blurred = cv2.resize(rng.integers(30, 220, (4, 4, 3)).astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(3, 9)):
        (x1, y1), (x2, y2) = rng.integers(0, SIZE, (2, 2)).tolist()
        cv2.line(blurred, (x1, y1), (x2, y2), rng.integers(0, 256, 3).tolist(), int(rng.integers(1, 4)), cv2.LINE_AA)
    return np.asarray(blurred, np.uint8)


def _hidden(taken: np.ndarray, x: int, y: int, side: int) -> bool:
    """Whether a square at (x, y) would hide too much of one that is there, or the other way round."""
    xy, sides = taken[:, :2], taken[:, 2]
    shared = np.minimum(xy + sides[:, None], np.array((x, y)) + side) - np.maximum(xy, (x, y))
    return bool((shared.clip(min=0).prod(axis=1) > _MOST_HIDDEN * np.minimum(sides, side) ** 2).any())


def _colour(below: UInt8, rng: np.random.Generator) -> list[int]:
    while True:
        colour = rng.integers(0, 256, 3)
        if np.abs(colour - below.reshape(-1, 3).mean(axis=0)).max() > _LEAST_CONTRAST:
            return [int(channel) for channel in colour]


def _draw(picture: UInt8, label: str, x: int, y: int, side: int, colour: list[int]) -> None:
    middle, radius, thick = (x + side // 2, y + side // 2), side // 2, max(2, side // 5)
    last = side - 1
    if label == "disc":
        cv2.circle(picture, middle, radius, colour, -1, cv2.LINE_AA)
    elif label == "ring":
        cv2.circle(picture, middle, radius - thick // 2, colour, thick, cv2.LINE_AA)
    elif label == "square":
        cv2.rectangle(picture, (x, y), (x + last, y + last), colour, -1)
    elif label == "triangle":
        corners = np.array([(x + side // 2, y), (x, y + last), (x + last, y + last)])
        cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA)
    else:
        start = (side - thick) // 2
        cv2.rectangle(picture, (x, y + start), (x + last, y + start + thick - 1), colour, -1)
        cv2.rectangle(picture, (x + start, y), (x + start + thick - 1, y + last), colour, -1)
