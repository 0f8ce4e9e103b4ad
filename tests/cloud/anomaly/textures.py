"""Pictures of a surface, good ones and some with a defect, that a small network can tell apart in seconds."""

from pathlib import Path

import cv2
import numpy as np

from models.detections import UInt8


def texture(rng: np.random.Generator, side: int = 48) -> UInt8:
    """Stripes and grain."""
    rows = np.arange(side)[:, None, None]
    stripes = 128 + 14 * np.sin(rows / 3 + rng.uniform(0, 2 * np.pi)) + rng.normal(0, 3)
    return np.clip(stripes + rng.normal(0, 6, (side, side, 3)), 0, 255).astype(np.uint8)


def scratched(rng: np.random.Generator, side: int = 48) -> UInt8:
    """The same with a bright or dark line."""
    picture = texture(rng, side)
    start, heading = rng.uniform(0.25, 0.75, 2) * side, rng.uniform(0, 2 * np.pi)
    end = start + rng.uniform(0.2, 0.4) * side * np.array((np.cos(heading), np.sin(heading)))
    shade = int(rng.choice((40, 220)))
    cv2.line(picture, start.astype(int).tolist(), end.astype(int).tolist(), (shade,) * 3, 2, cv2.LINE_AA)
    return picture


def stained(rng: np.random.Generator, side: int = 48) -> UInt8:
    """The same with a soft dark spot."""
    spot = np.zeros((side, side), np.float32)
    centre = rng.uniform(0.25, 0.75, 2) * side
    cv2.circle(spot, centre.astype(int).tolist(), int(rng.integers(4, 8)), 1, -1)
    soft = np.asarray(cv2.GaussianBlur(spot, (0, 0), 1.5), np.float32)[:, :, None]
    return np.asarray(np.clip(texture(rng, side) - 60 * soft, 0, 255), np.uint8)


KINDS = {"good": texture, "scratch": scratched, "stain": stained}


def paint_textures(folder: Path, kind: str, *, count: int, seed: int) -> None:
    """`count` pictures of a kind, straight into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:03d}.png"), KINDS[kind](rng))
