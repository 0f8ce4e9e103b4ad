"""Parts of pictures that wait in the object store for the rest, and for how long.

`waiting/gateway-<name>/<day of capture>/<picture>-of-<parts>/<first>-<last>-<arrived>`. When they came is in the name:
the day of capture is what a gateway's clock says, and after an outage long ago.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from greengrass.objects import ObjectStore
from models.errors import LakeError, StoreError
from models.records import PicturePart

# A gateway sends a picture's parts one after the other, but stops for days when its byte budget has no room for them.
KEEP = timedelta(days=30)
_WAITING = "waiting/"
_ARRIVED = "%Y%m%dT%H%M"
_NAME = re.compile(r"(\d{4,})-(\d{4,})(?:-(\d{8}T\d{4}))?")
_DAY = re.compile(r"/(\d{4}-\d\d-\d\d)/")


def waiting(gateway: str, part: PicturePart) -> str:
    """Where the parts of a picture wait: a prefix."""
    return f"{_WAITING}gateway-{gateway}/{day(part)}/{part.picture}-of-{part.parts}/"


def name(first: int, last: int, *, at: datetime) -> str:
    """Of parts first..last that came at `at` (UTC), below that prefix."""
    return f"{first:04}-{last:04}-{at:{_ARRIVED}}"


def span(name: str) -> tuple[int, int]:
    """Which parts are in it; ValueError for what is none of ours."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"parts of a picture must be called FIRST-LAST-TIME, got {name!r}")
    return int(match[1]), int(match[2])


def day(part: PicturePart) -> str:
    """The picture's day of capture."""
    return datetime.fromtimestamp(part.at_us // 1_000_000, UTC).date().isoformat()


def expire(store: ObjectStore, *, now: datetime) -> list[str]:
    """Remove parts that came longer than KEEP ago; the pictures that will never be whole. LakeError."""
    try:
        old = expired(store.list(_WAITING), before=now - KEEP)
        for key in old:
            store.remove(key)
    except StoreError as exc:
        raise LakeError(f"parts of pictures that wait for too long cannot be removed: {exc}") from exc
    return sorted({key.removeprefix(_WAITING).rpartition("/")[0] for key in old})


def expired(keys: Iterable[str], *, before: datetime) -> list[str]:
    """The keys of parts that came before then; an older tidegate did not say when: the day of capture stands for it."""
    return [key for key in keys if (arrived := _arrived(key)) is not None and arrived < before]


def _arrived(key: str) -> datetime | None:
    match, captured = _NAME.fullmatch(key.rpartition("/")[2]), _DAY.search(key)
    if match and match[3]:
        return datetime.strptime(match[3], _ARRIVED).replace(tzinfo=UTC)
    return datetime.fromisoformat(captured[1]).replace(tzinfo=UTC) if match and captured else None
