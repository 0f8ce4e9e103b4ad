"""Cutting batches for a fleet in one process: what many gateways send alike is encoded once.

Gateways of one variation record the same frames, and share the very same objects. A cut of such records is the real one
(edge/cut.py) and is remembered; another gateway gets its bytes in an envelope of its own, with its stream, its seqs and
its checksum. So every message is whole, and whoever takes it in has all the work; only the sender saves some.
"""

from collections.abc import Sequence

from edge.cut import Cut, cut
from models.records import FrameResult, Record
from models.wire import open_envelope, seal

_NOBODY = "0" * 16
_REMEMBERED = 2_048


class SharedCuts:
    """A cutter (edge.cut.Cutter) for all gateways of a process. `made` and `reused` count."""

    def __init__(self) -> None:
        self.made = 0
        self.reused = 0
        # with the records, so that nothing else can be where they are in memory
        self._known: dict[tuple[int, ...], tuple[Cut, bytes, Sequence[Record]]] = {}

    def __call__(self, stream: str, first: int, records: Sequence[Record], *, limit_bytes: int, guess: int) -> Cut:
        # frames say their seqs as steps from the first; a body of other records holds the seqs themselves
        begin = 1 if all(isinstance(record, FrameResult) for record in records) else first
        key = limit_bytes, begin, *map(id, records)
        if key in self._known:
            self.reused += 1
        else:
            self.made += 1
            # starting from all of them, whatever this gateway would have guessed: so the next one finds it
            piece = cut(_NOBODY, begin, records, limit_bytes=limit_bytes, guess=len(records))
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = piece, open_envelope(piece.message).body, records
        piece, body, _ = self._known[key]
        last = first + piece.last - piece.first
        return Cut(first, last, piece.records, seal(stream, first, last, body))
