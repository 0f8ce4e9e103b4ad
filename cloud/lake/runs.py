"""What ingest hands to the lake: for each stream a run of records without a gap."""

from dataclasses import dataclass

from models.columns import Columns


@dataclass(frozen=True, slots=True)
class StreamKey:
    """Whose numbering a seq belongs to; `str()` is the app transaction's id in Delta's log."""

    gateway: str
    stream: str

    def __str__(self) -> str:
        return f"{self.gateway}/{self.stream}"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Batches of one stream that follow one another: records first..last."""

    gateway: str
    batches: tuple[Columns, ...]

    def __post_init__(self) -> None:
        if not self.batches:
            raise ValueError("a run needs at least one batch")
        for before, batch in zip(self.batches, self.batches[1:], strict=False):
            if batch.stream != before.stream or batch.first != before.last + 1:
                raise ValueError(
                    f"batches of a run must follow one another, got {batch.stream} {batch.first} after "
                    f"{before.stream} {before.last}"
                )

    @property
    def key(self) -> StreamKey:
        return StreamKey(self.gateway, self.batches[0].stream)

    @property
    def first(self) -> int:
        return self.batches[0].first

    @property
    def last(self) -> int:
        return self.batches[-1].last


def newer(run: Run, last: int) -> Run | None:
    """The part of the run that extends a stream whose last record in the lake is `last`; None when there is none, or
    when it would leave a gap."""
    if run.last <= last or run.first > last + 1:
        return None
    if run.first == last + 1:
        return run
    kept = [batch.after(last) for batch in run.batches if batch.last > last]
    return Run(run.gateway, tuple(kept))
