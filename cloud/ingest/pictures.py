"""Pictures come in parts, perhaps over several commits, and are put into the object store whole.

The order makes it safe: a picture is in the store before the commit that names it, parts that wait for more are there
before the commit after which their gateway forgets them, and they are removed only after the commit that names the
picture. Everything may happen again after a crash: a key's content is always the same. What waits for an end that the
gateway gave up expires (waiting.py).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import accumulate

from cloud.ingest.waiting import day, name, span, waiting
from cloud.lake.runs import Run, StoredPicture
from greengrass.objects import ObjectStore
from models.errors import LakeError, StoreError
from models.records import PicturePart

MAX_PICTURE_BYTES = 16 << 20
MAX_PICTURES_OF_A_RUN = 1024  # each costs the store a write, however small it is
_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Piece:
    """Parts first..last of a picture, of which `parts` make it whole, and the record that brought the last of them."""

    about: PicturePart
    seq: int
    first: int
    last: int
    data: bytes

    @property
    def whole(self) -> bool:
        return self.last == self.about.parts - 1


@dataclass(slots=True)
class Pictures:
    """What ingest does with pictures. `complaints`: what became of no picture, and why."""

    store: ObjectStore
    complaints: list[str] = field(default_factory=list)
    _used: list[str] = field(default_factory=list)

    def keep(self, runs: Sequence[Run]) -> tuple[Run, ...]:
        """The runs with the pictures that are whole with them. These, and parts that wait for more, are durable on
        return; LakeError when they are not. A run with very many pictures is cut short: the rest comes again."""
        # of a commit that failed: its pictures come again, and need their parts
        self._used.clear()
        return tuple(self._keep(run) for run in runs)

    def tidy(self) -> None:
        """After the commit: forget parts of pictures that are whole now, or never will be. LakeError."""
        try:
            for key in self._used:
                self.store.remove(key)
        except StoreError as exc:
            raise LakeError(f"parts of pictures that are whole cannot be removed: {exc}") from exc

    def _keep(self, run: Run) -> Run:
        if not any(batch.pictures for batch in run.batches):
            return run
        run = shortened(run, MAX_PICTURES_OF_A_RUN)
        pieces = list(pieces_of(run))
        kept = []
        try:
            for index, piece in enumerate(pieces):
                if index and piece.first > 0:
                    self._refused(run.gateway, piece, "parts of it were lost")
                elif index >= MAX_PICTURES_OF_A_RUN:
                    self._refused(run.gateway, piece, "there are too many in one message")
                elif piece.whole:
                    if (data := self._complete(run.gateway, piece)) is not None:
                        kept.append((piece.seq, self._put(run.gateway, piece.about, data)))
                elif index + 1 == len(pieces):
                    key = waiting(run.gateway, piece.about) + name(piece.first, piece.last, at=datetime.now(UTC))
                    self.store.put(key, piece.data)
                else:
                    self._refused(run.gateway, piece, "another one began before its end")
        except StoreError as exc:
            raise LakeError(f"a picture of {run.gateway} cannot be kept: {exc}") from exc
        return replace(run, pictures=tuple(kept))

    def _complete(self, gateway: str, piece: Piece) -> bytes | None:
        """All of the picture; None, with a complaint, when it is none."""
        before = self._before(gateway, piece)
        if before is None:
            self._refused(gateway, piece, "parts of it were lost")
        elif len(before) + len(piece.data) > MAX_PICTURE_BYTES:
            self._refused(gateway, piece, f"it is larger than {MAX_PICTURE_BYTES} bytes")
        elif not (data := before + piece.data).startswith(_JPEG):
            self._refused(gateway, piece, "it is no JPEG")
        else:
            return data
        return None

    def _before(self, gateway: str, piece: Piece) -> bytes | None:
        """The parts that came before the piece, or so many that they are too large; None when one is missing."""
        if piece.first == 0:
            return b""
        prefix = waiting(gateway, piece.about)
        before = {key: span(key.removeprefix(prefix)) for key in self.store.list(prefix)}
        self._used += before
        keys = chain(before, upto=piece.first)
        if keys is None:
            return None
        data = b""
        for key in keys:
            data += self.store.get(key)
            if len(data) > MAX_PICTURE_BYTES:
                break
        return data

    def _put(self, gateway: str, about: PicturePart, data: bytes) -> StoredPicture:
        key = f"gateway-{gateway}/{day(about)}/{about.picture}.jpg"
        self.store.put(key, data)
        return StoredPicture(
            about.picture,
            about.camera,
            about.frame,
            about.at_us,
            about.kind,
            about.xyxy,
            len(data),
            self.store.uri(key),
        )

    def _refused(self, gateway: str, piece: Piece, why: str) -> None:
        self.complaints.append(f"picture {piece.about.picture} of {gateway} is not kept: {why}")


def shortened(run: Run, most: int) -> Run:
    """As many of the run's batches as have at most `most` last parts of pictures together, and at least one."""
    ends = accumulate(sum(part.part == part.parts - 1 for _, part in batch.pictures) for batch in run.batches)
    few = max(1, sum(count <= most for count in ends))
    return run if few == len(run.batches) else replace(run, batches=run.batches[:few])


def pieces_of(run: Run) -> Iterator[Piece]:
    """What the run brings of each picture. Parts of a picture follow one another in their stream, so that only the last
    piece may go on in a later run."""
    together: list[tuple[int, PicturePart]] = []
    for seq, part in run.picture_parts:
        last = together[-1][1] if together else None
        if last and (last.picture != part.picture or last.part + 1 != part.part):
            yield _piece(together)
            together = []
        together.append((seq, part))
        if part.part == part.parts - 1:
            yield _piece(together)
            together = []
    if together:
        yield _piece(together)


def _piece(together: Sequence[tuple[int, PicturePart]]) -> Piece:
    seq, about = together[-1]
    return Piece(about, seq, together[0][1].part, about.part, b"".join(part.data for _, part in together))


def chain(spans: dict[str, tuple[int, int]], *, upto: int) -> Sequence[str] | None:
    """Keys whose spans of parts follow one another from 0 to before `upto`; None when there are none.

    Of two that begin alike one was left by a commit that was cut off, and leads nowhere."""
    ways: dict[int, tuple[str, ...]] = {0: ()}
    for key, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if first in ways and last >= first:
            ways.setdefault(last + 1, (*ways[first], key))
    return ways.get(upto)
