"""What two models said of a picture, carried in the picture: a comment of the JPEG, which stays with it.

The comment is JSON:

    {"tidegate": "both answers 1", "size": [width, height],
     "ours": {"model": "coco", "release": 6, "found": [["person", 0.91, 10.0, 20.0, 50.0, 90.0], ...]},
     "theirs": {...}}

`size` is the original frame's, in whose pixels the corners x0, y0, x1, y1 are; the JPEG may be smaller.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import DataError

_FORMAT = "both answers 1"
_MOST_BYTES = 65_533  # that a segment of a JPEG holds
_SOI, _COMMENT, _SCAN = b"\xff\xd8", b"\xff\xfe", 0xDA
_APPLICATION = range(0xE0, 0xF0)


@dataclass(frozen=True, slots=True)
class Found:
    """One detection: `xyxy` in pixels of the original frame."""

    label: str
    score: float
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a release of a model saw in a picture, best score first."""

    model: str
    release: int
    found: tuple[Found, ...]


@dataclass(frozen=True, slots=True)
class BothAnswers:
    """`ours`: of the model that ran; `theirs`: of the one that looked on. `size`: width and height of the frame."""

    size: tuple[int, int]
    ours: Answer
    theirs: Answer


def with_answers(jpeg: bytes, both: BothAnswers) -> bytes:
    """The JPEG with both answers in it, the surest detections where all would be too many; DataError for no JPEG."""
    most = max(len(both.ours.found), len(both.theirs.found))
    while len(comment := _written(both, most)) > _MOST_BYTES:
        most //= 2
    segments = _segments(jpeg)
    # behind the application's own segments, of which some readers want JFIF's to be the first
    at = next((start for kind, start, _ in segments if kind not in _APPLICATION), 2)
    return jpeg[:at] + _COMMENT + (len(comment) + 2).to_bytes(2) + comment + jpeg[at:]


def answers_in(jpeg: bytes) -> BothAnswers | None:
    """Both answers in a JPEG, None where it holds none; DataError for no JPEG, or for answers that make no sense."""
    for kind, start, end in _segments(jpeg):
        if kind == _COMMENT[1] and (both := _read(jpeg[start + 4 : end])) is not None:
            return both
    return None


def _segments(jpeg: bytes) -> list[tuple[int, int, int]]:
    """(kind, first byte, byte behind) of the segments before the picture itself; ITU-T T.81, annex B."""
    if jpeg[:2] != _SOI:
        raise DataError("a picture is no JPEG")
    found, at = [], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SCAN:
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        if length < 2 or at + 2 + length > len(jpeg):
            raise DataError("a JPEG breaks off, or its segments make no sense")
        found.append((jpeg[at + 1], at, at + 2 + length))
        at += 2 + length
    return found


def _written(both: BothAnswers, most: int) -> bytes:
    def answer(one: Answer) -> dict[str, Any]:
        rows: list[Sequence[object]] = [
            [found.label, round(found.score, 4), *(round(edge, 1) for edge in found.xyxy)] for found in one.found[:most]
        ]
        return {"model": one.model, "release": one.release, "found": rows}

    document = {
        "tidegate": _FORMAT,
        "size": list(both.size),
        "ours": answer(both.ours),
        "theirs": answer(both.theirs),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _read(comment: bytes) -> BothAnswers | None:
    try:
        document = json.loads(comment)
        if not isinstance(document, dict) or document.get("tidegate") != _FORMAT:
            return None  # another's
        width, height = (int(number) for number in document["size"])
        return BothAnswers((width, height), _answer(document["ours"]), _answer(document["theirs"]))
    except UnicodeDecodeError:
        return None
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as exc:
        if isinstance(exc, json.JSONDecodeError):
            return None
        raise DataError(f"both answers in a picture make no sense: {str(exc)[:100]}") from exc


def _answer(document: Any) -> Answer:
    rows = []
    for label, *numbers in document["found"]:
        score, left, top, right, bottom = map(float, numbers)
        if not isinstance(label, str) or not all(map(math.isfinite, (score, left, top, right, bottom))):
            raise ValueError(f"a detection is {[label, *numbers]!r:.100}")
        rows.append(Found(label, score, (left, top, right, bottom)))
    return Answer(str(document["model"]), int(document["release"]), tuple(rows))
