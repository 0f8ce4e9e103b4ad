"""Cutting a batch out of a stream, as large as the uplink takes."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from models.batch import batch_of
from models.errors import WireError
from models.records import FrameResult, PicturePart, Record
from models.wire import encode_batch

# Frames that show nothing compress to almost nothing; without a bound a night of them would be one message that is
# larger than the memory, or than what the cloud takes once it is decompressed.
MAX_RECORDS = 5_000
_FULL = 0.9  # of the limit: another try would not gain what it costs
_AIM = 0.96
_TRIES = 6


@dataclass(frozen=True, slots=True)
class Cut:
    """A message that holds records first..last, made of the first `records` that were offered."""

    first: int
    last: int
    records: int
    message: bytes


class Cutter(Protocol):
    """What `cut` promises; a fleet of thousands in one process remembers what it has cut."""

    def __call__(self, stream: str, first: int, records: Sequence[Record], *, limit_bytes: int, guess: int) -> Cut: ...


def cut(stream: str, first: int, records: Sequence[Record], *, limit_bytes: int, guess: int) -> Cut:
    """The longest run from `first` on that fits; WireError when not even one record does.

    How well records compress is only known afterwards, so this tries, starting from `guess` records; the run is at
    least nine tenths of the limit, or 5,000 records, or all there is, unless the records are of very different sizes.
    """
    best: Cut | None = None
    too_many = min(len(records), MAX_RECORDS) + 1
    count = max(1, min(guess, too_many - 1))
    weights = list(accumulate(_weight(record) for record in records[: too_many - 1]))
    for _ in range(_TRIES):
        try:
            tried = _encode(stream, first, records[:count])
        except WireError:  # too large once decompressed, however well it compresses
            too_many = count
            count = max(best.records + 1 if best else 1, count // 8)
            if count >= too_many:
                break
            continue
        size = len(tried.message)
        if size <= limit_bytes:
            best = tried
            if size >= limit_bytes * _FULL:
                break
        else:
            too_many = count
        fitting = best.records if best else 0
        # in proportion, but at least one step and never beyond what is known to be too many
        room = weights[count - 1] * limit_bytes * _AIM / size
        count = max(fitting + 1, min(too_many - 1, bisect_right(weights, room)))
        if count >= too_many:
            break
    if best is None and too_many > 1:
        best = _encode(stream, first, records[:1])
    if best is not None and len(best.message) <= limit_bytes:
        return best
    raise WireError(f"a record of stream {stream} takes more than {limit_bytes} bytes in a message of its own")


def _weight(record: Record) -> float:
    """Roughly its bytes in a message; only how records compare matters."""
    match record:
        case FrameResult():
            return 2 + 3 * len(record.labels)
        case PicturePart():
            return 60 + len(record.data)
    return 60


def _encode(stream: str, first: int, records: Sequence[Record]) -> Cut:
    batch = batch_of(stream, first, list(records))
    return Cut(batch.first, batch.last, len(records), encode_batch(batch))
