"""Random changes that leave a picture's class alone: what a camera on another day would have seen."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a picture may be changed: rotation in degrees, zoom and shift as parts of its size, light as a part
    of full brightness, contrast and colour as parts of themselves."""

    rotation: float = 12.0
    zoom: float = 0.15
    shift: float = 0.05
    light: float = 0.10
    contrast: float = 0.20
    colour: float = 0.08
    flip: bool = True
    jump: int = 0  # whole pixels, any way: what resampling would blur in small pictures
    cutout: float = 0.0  # side of a grey square as a part of the picture's (DeVries and Taylor 2017)
    mosaic: float = 0.0  # part of the pictures with boxes that are four of them in one

    def __post_init__(self) -> None:
        if not (0 <= self.rotation <= 180 and 0 <= self.jump <= 1024):
            raise ValueError(f"need rotation 0..180 and jump 0..1024, got {self.rotation} and {self.jump}")
        for name in ("zoom", "shift", "light", "contrast", "colour", "cutout", "mosaic"):
            if not 0 <= (part := getattr(self, name)) <= 1:
                raise ValueError(f"need {name} 0..1, got {part}")


def augment(pictures: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """(B, 3, H, W) float 0..255 -> the same, each picture changed in its own way."""
    moved = _move(pictures, how, rng)
    if how.jump:
        moved = _jump(moved, how.jump, rng)
    return relight(moved, how, rng)


def relight(moved: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """The pictures in another light, with other colours, and with a part covered."""
    n = len(moved)
    contrast = 1 + how.contrast * _spread(n, rng)
    colour = 1 + how.colour * _spread(n * 3, rng).view(n, 3, 1, 1)
    light = 255 * how.light * _spread(n, rng)
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    lit = ((moved - middle) * contrast.view(n, 1, 1, 1) * colour + middle + light.view(n, 1, 1, 1)).clamp_(0, 255)
    return _cut_out(lit, how.cutout, rng) if how.cutout else lit


def _cut_out(pictures: Tensor, side: float, rng: torch.Generator) -> Tensor:
    """A square of half-brightness somewhere in every picture, partly outside where it lies at the edge."""
    n, _, height, width = pictures.shape
    reach = side * min(height, width) / 2
    rows = (torch.arange(height) - (torch.rand(n, 1, generator=rng) * height)).abs() < reach  # (B, H)
    columns = (torch.arange(width) - (torch.rand(n, 1, generator=rng) * width)).abs() < reach  # (B, W)
    return pictures.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 128.0)


def _move(pictures: Tensor, how: Augmentation, rng: torch.Generator) -> Tensor:
    """Rotate, zoom, shift and mirror in one resampling; what comes in from outside repeats the edge."""
    if not (how.rotation or how.zoom or how.shift):
        return _mirror(pictures, rng) if how.flip else pictures
    n, _, height, width = pictures.shape
    angle = math.radians(how.rotation) * _spread(n, rng)
    scale = 1 + how.zoom * _spread(n, rng)
    mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0) if how.flip else torch.ones(n)
    shift = how.shift * _spread(2 * n, rng).view(2, n) * 2
    aspect = width / height
    # grid coordinates run -1..1 on both axes, so a rotation must pass through true proportions
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = (torch.stack((cos * mirror, -sin / aspect, shift[0])), torch.stack((sin * aspect * mirror, cos, shift[1])))
    matrix = torch.stack(rows).permute(2, 0, 1)  # (2, 3, B) -> (B, 2, 3)
    grid = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    # contiguous: on channels_last, as pictures come from the camera, resampling takes twice as long
    return functional.grid_sample(
        pictures.contiguous(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _jump(pictures: Tensor, pixels: int, rng: torch.Generator) -> Tensor:
    """Each picture moved by up to `pixels` rows and columns; what comes in from outside is black."""
    n, channels, height, width = pictures.shape
    room = functional.pad(pictures, (pixels, pixels, pixels, pixels))
    down, right = torch.randint(0, 2 * pixels + 1, (2, n), generator=rng)
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, None, :]
    return room[torch.arange(n)[:, None, None, None], torch.arange(channels)[None, :, None, None], rows, columns]


def _mirror(pictures: Tensor, rng: torch.Generator) -> Tensor:
    chosen = torch.rand(len(pictures), generator=rng) < 0.5
    return torch.where(chosen.view(-1, 1, 1, 1), pictures.flip(-1), pictures)


def _spread(n: int, rng: torch.Generator) -> Tensor:
    """n numbers between -1 and 1."""
    return torch.rand(n, generator=rng) * 2 - 1
