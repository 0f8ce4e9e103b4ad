"""What ingest hands to the lake: for each stream a run of records without a gap."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from models.columns import Columns
from models.health import Health
from models.records import PicturePart, Tombstone


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Whose numbering a seq belongs to; `str()` is the app transaction's id in Delta's log."""

    gateway: str
    stream: str

    def __str__(self) -> str:
        return f"{self.gateway}/{self.stream}"


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture that lies in the object store, whole; models.records.PicturePart says what the fields mean."""

    picture: str
    camera: str
    frame: int
    at_us: int
    kind: str
    xyxy: tuple[float, float, float, float]
    bytes: int
    uri: str


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Batches of one stream that follow one another: records first..last. `pictures`: those that are whole with a
    record of this run, with its seq."""

    gateway: str
    batches: tuple[Columns, ...]
    pictures: tuple[tuple[int, StoredPicture], ...] = ()
    key: StreamKey = field(init=False)

    def __post_init__(self) -> None:
        if not self.batches:
            raise ValueError("a run needs at least one batch")
        for before, batch in zip(self.batches, self.batches[1:], strict=False):
            if batch.stream != before.stream or batch.first != before.last + 1:
                raise ValueError(
                    f"batches of a run must follow one another, got {batch.stream} {batch.first} after "
                    f"{before.stream} {before.last}"
                )
        object.__setattr__(self, "key", StreamKey(self.gateway, self.batches[0].stream))

    @property
    def first(self) -> int:
        return self.batches[0].first

    @property
    def last(self) -> int:
        return self.batches[-1].last

    @property
    def health(self) -> Iterator[tuple[int, Health]]:
        return (item for batch in self.batches for item in batch.health)

    @property
    def picture_parts(self) -> Iterator[tuple[int, PicturePart]]:
        return (item for batch in self.batches for item in batch.pictures)

    @property
    def tombstones(self) -> Iterator[Tombstone]:
        return (stone for batch in self.batches for stone in batch.tombstones)


def newer(run: Run, last: int) -> Run | None:
    """The part of the run that extends a stream whose last record in the lake is `last`; None when there is none, or
    when it would leave a gap."""
    if run.last <= last or run.first > last + 1:
        return None
    if run.first == last + 1:
        return run
    kept = tuple(batch.after(last) for batch in run.batches if batch.last > last)
    return replace(run, batches=kept, pictures=tuple(item for item in run.pictures if item[0] > last))
