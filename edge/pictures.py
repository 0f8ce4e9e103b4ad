"""A picture as records: a JPEG in parts that fit any message."""

import secrets

import cv2
import numpy as np

from models.detections import UInt8
from models.errors import CameraError
from models.records import PicturePart

PART_BYTES = 4_096
_AROUND_BYTES = 600  # what a message holds beside a part: topic, envelope, names
Corners = tuple[float, float, float, float]


def new_picture_id() -> str:
    """An id that nothing else has, 16 hex digits."""
    return secrets.token_hex(8)


def part_bytes(limit_bytes: int) -> int:
    """How large parts may be, so that a message of `limit_bytes` with its topic takes one: what is recorded now may
    have to leave through a narrower uplink, so a wider one makes no larger parts."""
    return max(256, min(PART_BYTES, limit_bytes - _AROUND_BYTES))


def jpeg_of(image: UInt8, xyxy: Corners, *, quality: int, longest_px: int) -> tuple[bytes, Corners]:
    """The part `xyxy` of a picture (H, W, 3), made smaller until its longer side has at most `longest_px`; and which
    pixels it shows, whole ones inside the picture. CameraError when that is nothing."""
    height, width = image.shape[:2]
    left, top = (max(0, int(np.floor(edge))) for edge in xyxy[:2])
    right, bottom = min(width, int(np.ceil(xyxy[2]))), min(height, int(np.ceil(xyxy[3])))
    part = image[top:bottom, left:right]
    if not part.size:
        raise CameraError(f"the part {xyxy} of a picture of {width} x {height} holds nothing")
    scale = longest_px / max(part.shape[:2])
    if scale < 1:
        size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded, jpeg = cv2.imencode(".jpg", part, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not encoded:
        raise CameraError(f"a picture of shape {part.shape} could not be encoded as JPEG")
    return jpeg.tobytes(), (float(left), float(top), float(right), float(bottom))


def parts_of(
    jpeg: bytes,
    *,
    picture: str,
    camera: str,
    frame: int,
    at_us: int,
    kind: str,
    xyxy: Corners,
    part_bytes: int = PART_BYTES,
) -> list[PicturePart]:
    """The records of a picture; append them in one go, for they must follow one another in their stream."""
    pieces = [jpeg[start : start + part_bytes] for start in range(0, len(jpeg), part_bytes)]
    return [
        PicturePart(picture, number, len(pieces), camera, frame, at_us, kind, xyxy, piece)
        for number, piece in enumerate(pieces)
    ]
