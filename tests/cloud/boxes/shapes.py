"""Pictures with boxes that a small detector can learn in seconds, and some that it can't: shapes on noise."""

from pathlib import Path

import cv2
import numpy as np

LABELS = ("disc", "square", "triangle")


def paint_shapes(folder: Path, *, count: int, seed: int, size: tuple[int, int] = (64, 64), most: int = 3) -> None:
    """`count` pictures (height, width) in YOLO's layout, up to `most` shapes in each, from a sixth to a half of it."""
    rng = np.random.default_rng(seed)
    height, width = size
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(LABELS) + "\n")
    for index in range(count):
        shade = rng.integers(40, 140)
        picture = np.clip(rng.normal(shade, 14, (height, width, 3)), 0, 255).astype(np.uint8)
        taken: list[tuple[int, int, int]] = []
        rows = []
        for _ in range(int(rng.integers(1, most + 1))):
            side = int(rng.integers(min(size) // 6, min(size) // 2))
            x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            if any(abs(x - a) < max(side, s) and abs(y - b) < max(side, s) for a, b, s in taken):
                continue  # shapes may touch, but none hides another
            taken.append((x, y, side))
            class_id = int(rng.integers(len(LABELS)))
            _draw(picture, class_id, x, y, side, tuple(int(v) for v in rng.integers(150, 256, 3)))
            centre = ((x + side / 2) / width, (y + side / 2) / height)
            rows.append(f"{class_id} {centre[0]:.6f} {centre[1]:.6f} {side / width:.6f} {side / height:.6f}\n")
        cv2.imwrite(str(folder / "images" / f"{index:04d}.png"), picture)
        (folder / "labels" / f"{index:04d}.txt").write_text("".join(rows))


def _draw(picture: np.ndarray, class_id: int, x: int, y: int, side: int, colour: tuple[int, ...]) -> None:
    if LABELS[class_id] == "disc":
        cv2.ellipse(picture, (x + side // 2, y + side // 2), (side // 2, side // 2), 0, 0, 360, colour, -1)
    elif LABELS[class_id] == "square":
        cv2.rectangle(picture, (x, y), (x + side - 1, y + side - 1), colour, -1)
    else:
        corners = np.array([(x + side // 2, y), (x, y + side - 1), (x + side - 1, y + side - 1)])
        cv2.fillPoly(picture, [corners], colour)
