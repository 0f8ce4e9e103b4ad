"""The streams in the spool's database, and books that agree with it; going on in another database when it is lost."""

import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from edge.lanes import GIVEN_UP_FIRST, Lane
from edge.runs import pack, part, split, unpack
from edge.spool_books import Books, Work
from edge.spool_database import DiskFailingError, Run, SpoolLostError, StreamState
from edge.spool_rescue import Opened, back_to_disk, open_database, replace_database
from models.errors import SpoolError
from models.records import PicturePart, Record, Tombstone
from models.wire import decode_records

log = logging.getLogger(__name__)

LIMIT_BYTES_IN_MEMORY = 16 << 20  # when the disk is gone
_MAKE_ROOM = 0.05  # of the limit, at a time
_FINISHED_STREAMS = 200  # that are remembered, so that a late acknowledgement is no stranger
_PATIENCE = 5  # failures in a row until a disk counts as gone
_RESCUES = 3  # of a database, since the start, until its disk counts as gone
_T = TypeVar("_T")


class Streams:
    """One thread at a time, but for `books`, `incidents` and `disk_gone`.

    `books` are as of the last commit, and never change: there are others after the next one. `incidents` are what had
    to be done to the database, each for a person to read; `disk_gone` says why it is in memory, if it is.
    """

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        """SpoolError when there can be no database."""
        self._path = path
        self._asked_limit_bytes = self._limit_bytes = limit_bytes
        self._failures = 0
        self._rescues = 0
        self.disk_gone = ""
        self.incidents: deque[str] = deque()
        opened = open_database(path)
        self._take_over(opened)
        self.books = Books(opened.streams, self._database.cameras(), self._database.spent(), dropped=opened.lost)
        self._draft = self.books

    @property
    def filled(self) -> float:
        """The part of the limit that is used up."""
        return self.books.bytes / self._limit_bytes

    def write(self, work: Work) -> None:
        """All of it, or none and SpoolError."""

        def write() -> None:
            with self._transaction():
                # first: an acknowledgement can't mean what was recorded after it
                self._write_acks(work)
                if work.records:
                    self._write_records(work)
                    self._make_room()

        self._mended(write)

    def write_acks(self, work: Work) -> Work:
        """Let go of what is in the lake, for which a full disk has room, since it makes some; what is left to do."""
        self._database.checkpoint()
        with suppress(SpoolError):
            with self._transaction():
                self._write_acks(work)
            return replace(work, acks={}, spent={})
        return work

    def read(self, stream: str, *, after: int, limit: int, limit_bytes: int) -> list[tuple[int, Record]]:
        """As Spool.read."""
        return self._mended(lambda: self._read(stream, after, limit, limit_bytes))

    def bury(self, stream: str, first: int, last: int, reason: str) -> None:
        """As Spool.bury."""

        def bury() -> None:
            with self._transaction():
                self._bury(stream, first, self._with_its_rest(self._draft.streams[stream], last), reason)

        self._mended(bury)

    def turn(self, lanes: Collection[Lane]) -> None:
        """As Spool.turn."""
        books = self.books.copy()
        for lane in lanes:
            books.live.pop(lane, None)
        self.books = books

    def last_frame(self, camera: str, *, source: str) -> int:
        """As Spool.last_frame."""
        known, frame = self.books.cameras.get(camera, ("", -1))
        if frame >= 0 and source and known and known != source:
            raise SpoolError(
                f"camera {camera!r} has frames of {known} in {self._path}, so frames of {source} would carry the "
                f"same numbers; give the camera another name, or the gateway another state folder"
            )
        if source != known:
            with self._transaction():
                self._draft.cameras[camera] = source or known, frame
                self._database.note_cameras(self._draft.cameras)
        return frame

    def return_to_disk(self) -> None:
        """From memory to the database's place, with all that waits; SpoolError or OSError while the disk does not take
        it."""
        opened = back_to_disk(self._path, self._database, known=self.books.streams)
        self._limit_bytes = self._asked_limit_bytes
        self.disk_gone = ""
        self._take_over(opened)
        # new records go into new streams: were the process to die before this, a start would go on from an older state
        self.books = replace(self.books.copy(), streams=opened.streams, live={})

    def close(self) -> None:
        self._database.close()

    def _take_over(self, opened: Opened) -> None:
        self._database, self._failures = opened.database, 0
        if opened.incident:
            self.incidents.append(opened.incident)
        if not opened.on_disk:
            self.disk_gone = opened.incident
            self._limit_bytes = min(self._limit_bytes, LIMIT_BYTES_IN_MEMORY)

    def _mended(self, work: Callable[[], _T]) -> _T:
        """Do this; once more in a new database, if this one turns out to be lost."""
        try:
            done = work()
        except SpoolLostError as exc:
            why = str(exc)
        except DiskFailingError as exc:
            self._failures += 1
            if self._failures < _PATIENCE:
                raise
            why = str(exc)
        else:
            self._failures = 0
            return done
        self._replace_database(why)
        return work()

    def _replace_database(self, why: str) -> None:
        before = self.books
        opened = replace_database(
            self._path, why, old=self._database, known=before.streams, on_disk=self._rescues < _RESCUES
        )
        self._rescues += 1
        self._take_over(opened)
        self.books = Books(opened.streams, before.cameras, before.spent, dropped=before.dropped + opened.lost)
        with self._transaction():
            self._database.note_cameras(before.cameras)
            for period, size in before.spent.items():
                self._database.note_spent(period, size)
            self._make_room()

    def _write_acks(self, work: Work) -> None:
        for stream, last in work.acks.items():
            self._forget(stream, last)
        if work.acks:
            self._database.note_cameras(self._draft.cameras)
        for period, size in work.spent.items():
            self._draft.spent[period] = self._draft.spent.get(period, 0) + size
            self._database.note_spent(period, self._draft.spent[period])

    def _write_records(self, work: Work) -> None:
        now_us = time.time_ns() // 1000
        frames = self._note_frames(work.cameras) if work.cameras else None
        for lane, payloads in work.records.items():
            name = self._draft.live.get(lane) or self._open_stream(lane, now_us)
            for portion in split(payloads):
                state = self._draft.streams[name]
                last = state.last + len(portion)
                payload = pack(portion)
                self._database.add(Run(state.number, state.last + 1, last, now_us, payload, cameras=frames))
                self._draft.streams[name] = replace(
                    state,
                    last=last,
                    records=state.records + len(portion),
                    bytes=state.bytes + len(payload),
                    oldest_us=state.oldest_us or now_us,
                )

    def _note_frames(self, cameras: dict[str, int]) -> str:
        """Every camera's last frame, as the runs of this commit say it."""
        for camera, frame in cameras.items():
            self._draft.cameras[camera] = self._draft.cameras.get(camera, ("", -1))[0], frame
        return json.dumps({camera: frame for camera, (_, frame) in self._draft.cameras.items()})

    def _open_stream(self, lane: Lane, now_us: int) -> str:
        streams, live = self._draft.streams, set(self._draft.live.values())
        finished = [name for name, state in streams.items() if state.acked == state.last and name not in live]
        if len(finished) > 2 * _FINISHED_STREAMS:
            old = finished[:_FINISHED_STREAMS]
            self._database.drop_streams([streams.pop(name).number for name in old])
        name = secrets.token_hex(8)
        number = max((state.number for state in streams.values()), default=0) + 1
        streams[name] = StreamState(number, lane, now_us)
        self._database.add_stream(name, streams[name])
        self._draft.live[lane] = name
        return name

    def _forget(self, stream: str, last: int) -> None:
        state = self._draft.streams.get(stream)
        if state is None or last <= state.acked:
            return
        last = min(last, state.last)
        records, size = state.records, state.bytes
        for first, until, its_size, is_stone in self._database.sizes(state.number, last):
            records -= 0 if is_stone else min(until, last) - max(first - 1, state.acked)
            size -= its_size if until <= last else 0
        oldest_us = self._database.forget(stream, state, last)
        self._draft.streams[stream] = replace(state, acked=last, records=records, bytes=size, oldest_us=oldest_us)

    def _make_room(self) -> None:
        for lane in GIVEN_UP_FIRST:
            for name, state in list(self._draft.streams.items()):
                excess = self._draft.bytes - self._limit_bytes
                if excess <= 0:
                    return
                if state.lane == lane and state.acked < state.last:
                    self._drop_oldest(name, state, excess + int(self._limit_bytes * _MAKE_ROOM))

    def _drop_oldest(self, name: str, state: StreamState, excess: int) -> None:
        freed = last = 0
        for _, until, size, _ in self._database.sizes(state.number, state.last):
            freed, last = freed + size, until
            if freed >= excess:
                break
        self._bury(name, state.acked + 1, self._with_its_rest(state, last), "no room in the spool")

    def _with_its_rest(self, state: StreamState, last: int) -> int:
        """`last`, or where the picture ends of which that is a part: what is left of it would be no picture."""
        if state.lane != "pictures":
            return last
        _, item = next(self._waiting(state.number, last), (0, b""))
        match decode_records([item]) if isinstance(item, bytes) and item else []:
            case [PicturePart() as follows] if follows.part > 0:
                return min(state.last, last + follows.parts - follows.part)
        return last

    def _bury(self, name: str, first: int, last: int, reason: str) -> None:
        state = self._draft.streams[name]
        first = max(first, state.acked + 1)
        covered = [row for row in self._database.sizes(state.number, last) if row[1] >= first]
        if first > last or all(is_stone for _, _, _, is_stone in covered):
            return  # they made room for others, or were acknowledged, since whoever asks has seen them
        # tombstones at both ends stay whole; of records there, what is beyond stays
        begin, is_stone = covered[0][0], covered[0][3]
        first = begin if is_stone else first
        until, is_stone = covered[-1][1], covered[-1][3]
        last = until if is_stone else min(last, until)
        freed = sum(size for _, _, size, _ in covered)
        if until > last:
            (run,) = self._database.runs(state.number, last, last)
            rest = part(run.payload, run.last - run.first + 1, last + 1 - run.first, run.last + 1 - run.first)
            self._database.add(replace(run, first=last + 1, payload=rest))
            freed -= len(rest)
        if begin < first:
            (run,) = self._database.runs(state.number, begin, begin)
            rest = part(run.payload, run.last - run.first + 1, 0, first - run.first)
            self._database.add(replace(run, last=first - 1, payload=rest))
            freed -= len(rest)
        self._database.remove(state.number, first, last)
        self._database.add(Run(state.number, first, last, state.oldest_us, b"", reason))
        self._database.note_cameras(self._draft.cameras)
        gone = sum(
            min(until, last) - max(begin - 1, first - 1, state.acked)
            for begin, until, _, is_stone in covered
            if not is_stone
        )
        self._draft.dropped += gone
        self._draft.streams[name] = replace(state, records=state.records - gone, bytes=state.bytes - freed)

    def _read(self, stream: str, after: int, limit: int, limit_bytes: int) -> list[tuple[int, Record]]:
        state = self.books.streams.get(stream, StreamState(0, "frames"))
        items: list[tuple[int, bytes | Tombstone]] = []
        size, after = 0, max(after, state.acked)
        expected = after + 1
        for seq, item in self._waiting(state.number, after):
            if seq != expected:
                raise SpoolLostError(f"the spool {self._path} misses records {expected}..{seq - 1} of stream {stream}")
            expected = item.last + 1 if isinstance(item, Tombstone) else seq + 1
            size += len(item) if isinstance(item, bytes) else 0
            if items and (len(items) == limit or size > limit_bytes):
                break
            items.append((seq, item))
        decoded = iter(decode_records([item for _, item in items if isinstance(item, bytes)]))
        found: list[tuple[int, Record]] = [
            (seq, item if isinstance(item, Tombstone) else next(decoded) or _unreadable(seq)) for seq, item in items
        ]
        if not found and after < state.last:
            raise SpoolLostError(f"the spool {self._path} misses all records after {after} of stream {stream}")
        for seq, record in found:
            if isinstance(record, Tombstone) and record == _unreadable(seq):
                with suppress(SpoolError), self._transaction():  # it goes out as one in any case
                    self._bury(stream, seq, seq, record.reason)
        return found

    def _waiting(self, number: int, after: int) -> Iterator[tuple[int, bytes | Tombstone]]:
        for run in self._database.runs(number, after + 1):
            first = max(run.first, after + 1)
            if run.reason is not None:
                yield first, Tombstone(first, run.last, run.reason)
                continue
            payloads = unpack(run.payload, run.last - run.first + 1)
            for seq in range(first, run.last + 1):
                yield seq, payloads[seq - run.first] or _unreadable(seq)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or none, in the books too."""
        self._draft = self.books.copy()
        with self._database.transaction():
            yield
        self.books = self._draft


def _unreadable(seq: int) -> Tombstone:
    return Tombstone(seq, seq, "unreadable in the spool")
