"""A frame's number written into its pixels, so that frames can be counted from end to end by what was seen.

The strip below the picture is black and white cells, two rows of 24: the number's 32 bits, then 16 bits of CRC. It
survives JPEG. Whoever reads the number also cuts the strip off, so no model ever sees it.
"""

import binascii

import numpy as np

from models.detections import UInt8
from models.errors import CameraError

HEIGHT = 16  # two rows of cells; a multiple of JPEG's block keeps the picture's own blocks whole
_ROWS, _COLUMNS = 2, 24
_BITS = _ROWS * _COLUMNS
MIN_WIDTH = _COLUMNS * 4


def stamp(image: UInt8, number: int) -> UInt8:
    """The picture (H, W, 3) with a strip below it: (H + 16, W, 3). `number` is taken modulo 2**32."""
    if image.shape[1] < MIN_WIDTH:
        raise ValueError(f"a frame code needs a picture at least {MIN_WIDTH} pixels wide, got {image.shape[1]}")
    payload = (number % 2**32).to_bytes(4, "big")
    code = payload + binascii.crc_hqx(payload, 0xFFFF).to_bytes(2, "big")
    bits = np.unpackbits(np.frombuffer(code, np.uint8)).reshape(_ROWS, _COLUMNS)
    cell = image.shape[1] // _COLUMNS
    strip = np.zeros((HEIGHT, image.shape[1], 3), np.uint8)
    cells = np.kron(bits, np.ones((HEIGHT // _ROWS, cell), np.uint8)) * 255
    strip[:, : _COLUMNS * cell] = cells[:, :, None]
    return np.concatenate((image, strip))


def read(stamped: UInt8) -> tuple[int, UInt8]:
    """The number, and the picture without its strip; CameraError when there is no readable code."""
    cell = stamped.shape[1] // _COLUMNS
    if stamped.shape[0] <= HEIGHT or cell < 4:
        raise CameraError(f"a picture of shape {stamped.shape} is too small to carry a frame code")
    strip = stamped[-HEIGHT:, : _COLUMNS * cell, 1].reshape(_ROWS, HEIGHT // _ROWS, _COLUMNS, cell)
    bits = (strip.mean(axis=(1, 3)) > 127).astype(np.uint8).reshape(_BITS)
    code = np.packbits(bits).tobytes()
    if binascii.crc_hqx(code[:4], 0xFFFF) != int.from_bytes(code[4:], "big"):
        raise CameraError("no readable frame code below the picture; is this camera one that stamps its frames?")
    return int.from_bytes(code[:4], "big"), stamped[:-HEIGHT]
