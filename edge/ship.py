"""Shipping: what the spool holds goes out in batches until the cloud says that it is in the lake.

That a broker or a nucleus took a message means nothing here. A record leaves the spool when the lake's
acknowledgement comes; what is not acknowledged in time is sent again, from the first unacknowledged record on.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge.backoff import delays
from edge.cut import Cut, cut
from edge.spool import Lane, Spool, Stream
from edge.uplink import Uplink
from models.errors import SpoolError, UplinkError, WireError
from models.records import Record, Tombstone
from models.topics import results_topic
from models.wire import MAX_BODY_BYTES, StreamAck, decode_acks, decode_record

log = logging.getLogger(__name__)

IN_FLIGHT = 8  # messages without acknowledgement, of all streams together
IN_FLIGHT_STREAM = 4
RESEND_CEILING_S = 60.0
RETRY_S = (0.5, 5.0)  # first and longest wait when the uplink takes nothing; asking costs no byte on the network
OUTAGE_S = 30.0  # after that long without an answer, live results go on in streams of their own
_FIRST_GUESS = 200  # records in a message
_MOST_RECORDS = 5_000  # in one message, however well they compress: they are all in memory at once
_MOST_RAW_BYTES = MAX_BODY_BYTES // IN_FLIGHT  # as spooled, which is more than on the wire; ingest bounds bodies too
_IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Account:
    """What came in that should not have, and how many runs of records the cloud set aside, since the start."""

    ignored: int = 0
    last_ignored: str = ""
    refused: int = 0


@dataclass(frozen=True, slots=True)
class _Sent:
    last: int
    at: float


@dataclass(slots=True)
class _Course:
    """How far a stream has come: 1..acked are in the lake, `next` is to be sent next, up to `due` even if a message
    is not full. `sent` is the highest seq that was ever sent; of an `earlier` process' stream nobody remembers it, so
    any of its records may have been. `lake` is what the lake says it holds where that is less than it once
    acknowledged. `timeouts` counts those since the last progress."""

    acked: int
    next: int
    sent: int
    earlier: bool
    due: int = 0
    lake: int | None = None
    timeouts: int = 0
    in_flight: deque[_Sent] = field(default_factory=deque)


class Shipper:
    """Decides what to send and when. Any thread may call any method."""

    def __init__(
        self,
        spool: Spool,
        uplink: Uplink,
        *,
        gateway: str,
        ack_timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._topic = results_topic(gateway)
        self._limit_bytes = uplink.limit_bytes - len(self._topic)
        self._clock = clock
        self._news = threading.Condition(threading.RLock())
        self._courses: dict[str, _Course] = {}
        self._guesses: dict[Lane, int] = {}
        self._allowance = IN_FLIGHT
        self._ack_timeout_s = ack_timeout_s
        self._patience_s = ack_timeout_s
        self._patiences = delays(2 * ack_timeout_s, max(RESEND_CEILING_S, 2 * ack_timeout_s))
        self._silent_since: float | None = None
        self._retry_at = 0.0
        self._retries = delays(*RETRY_S)
        self._down = False
        self._account = Account()

    def run(self, stop: threading.Event) -> None:
        """Ship until told to stop."""
        troubled = False
        with self._news:  # given back while it waits
            while not stop.is_set():
                try:
                    self.step()
                except SpoolError as exc:
                    if not troubled:
                        log.error("%s; trying again", exc)
                    troubled = True
                else:
                    troubled = False
                self._news.wait(_IDLE_S)

    def listen(self) -> None:
        """Take acknowledgements from the uplink until it is closed."""
        for message in self._uplink.messages():
            self.acknowledged(message.payload)

    def tide(self) -> None:
        """What is recorded by now is due, whether it fills a message or not."""
        with self._news:
            for stream in self._spool.streams():
                self._course(stream).due = stream.last
            self._news.notify_all()

    def step(self) -> None:
        """Send what is due, or fills a message, as far as not too much is under way."""
        with self._news:
            now = self._clock()
            self._give_up_waiting(now)
            if now < self._retry_at:
                return
            try:
                for stream in sorted(self._spool.streams(), key=self._precedence):
                    self._send(stream, self._course(stream), now)
            except UplinkError as exc:
                self._retry_at = now + next(self._retries)
                self._silent_since = now if self._silent_since is None else self._silent_since
                if not self._down:
                    log.warning("results wait in the spool: %s", exc)
                self._down = True

    def acknowledged(self, payload: bytes) -> None:
        """Take a message from the ack topic; anybody may have written it."""
        with self._news:
            try:
                for ack in decode_acks(payload):
                    self._take(ack)
            except WireError as exc:
                self._ignore(str(exc))
            self._news.notify_all()

    @property
    def account(self) -> Account:
        return self._account

    def _course(self, stream: Stream) -> _Course:
        if stream.name not in self._courses:
            earlier = not stream.live
            sent = stream.last if earlier else 0
            self._courses[stream.name] = _Course(stream.acked, stream.acked + 1, sent, earlier)
        course = self._courses[stream.name]
        if not stream.live:
            course.due = stream.last  # it can't get any fuller
        return course

    def _precedence(self, stream: Stream) -> tuple[int, bool, bool]:
        # what the cloud does not answer stands back, so that one bad stream can't hold up the others;
        # then live before backlog, and health, which is small, before frames
        return self._course(stream).timeouts, not stream.live, stream.lane != "health"

    def _give_up_waiting(self, now: float) -> None:
        late = [c for c in self._courses.values() if c.in_flight and now - c.in_flight[0].at > self._patience_s]
        for course in late:
            course.in_flight.clear()
            course.next = course.acked + 1
            course.timeouts += 1
        if late:
            # one message asks whether anybody is there, before the rest follows
            self._allowance = 1
            self._patience_s = next(self._patiences)

    def _send(self, stream: Stream, course: _Course, now: float) -> None:
        while (
            course.next <= stream.last
            and len(course.in_flight) < IN_FLIGHT_STREAM
            and sum(len(other.in_flight) for other in self._courses.values()) < self._allowance
        ):
            due = course.next <= course.due
            if not due and stream.last - course.next + 1 < self._guess(stream):
                return
            piece = self._cut(stream, course)
            if piece is None or (not due and piece.last == stream.last):
                return
            self._uplink.publish(self._topic, piece.message)
            course.in_flight.append(_Sent(piece.last, now))
            course.next = piece.last + 1
            course.sent = max(course.sent, piece.last)
            self._silent_since = now if self._silent_since is None else self._silent_since
            if self._down:
                log.info("results go out again")
                self._down = False
                self._retries = delays(*RETRY_S)

    def _guess(self, stream: Stream) -> int:
        return self._guesses.get(stream.lane, _FIRST_GUESS)

    def _cut(self, stream: Stream, course: _Course) -> Cut | None:
        """The next message of the stream; None when the next record can't be sent, and a tombstone took its place."""
        guess = self._guess(stream)
        rows = self._spool.read(stream.name, after=course.next - 1, limit=guess + guess // 4 + 8)
        first, records = rows[0][0], _decode([payload for _, payload in rows])
        if not records:
            self._spool.bury(stream.name, first, first, "unreadable in the spool")
            return None
        if course.lake is not None and course.next == course.acked + 1:
            # only the lake can lose what it acknowledged; it is told so, or it would wait for those records for ever
            first = course.lake + 1
            records.insert(0, Tombstone(first, course.acked, "acknowledged, then lost by the lake"))
        try:
            piece = cut(stream.name, first, records, limit_bytes=self._limit_bytes, guess=guess)
        except WireError as exc:
            log.error("%s; dropped", exc)
            self._spool.bury(stream.name, rows[0][0], rows[0][0], "too large for the uplink")
            return None
        fitting = piece.records * self._limit_bytes // len(piece.message)
        self._guesses[stream.lane] = max(1, min(_MOST_RECORDS // 2, fitting))
        return piece

    def _take(self, ack: StreamAck) -> None:
        course = self._courses.get(ack.stream)
        if course is None or (ack.last > course.sent and not course.earlier):
            # one that answers the process before this one is no surprise; its records will be answered again
            if ack.last > self._spool.last_recorded(ack.stream):
                self._ignore(f"an acknowledgement of seq {ack.last} of stream {ack.stream}, which was never sent")
            return
        # the lake may hold more of an earlier stream than a spool that was restored, or that a power cut set back
        last = min(ack.last, course.sent)
        if last <= course.acked:
            course.lake = last if last < course.acked else None
            return
        self._spool.acknowledge(ack.stream, last)
        self._account = replace(self._account, refused=self._account.refused + len(ack.refused))
        course.acked, course.lake, course.timeouts = last, None, 0
        course.next = max(course.next, last + 1)
        while course.in_flight and course.in_flight[0].last <= last:
            course.in_flight.popleft()
        self._cloud_answers()

    def _cloud_answers(self) -> None:
        now = self._clock()
        if self._silent_since is not None and now - self._silent_since > OUTAGE_S:
            log.info("the cloud answers again after %.0f s", now - self._silent_since)
            self._spool.turn()
        waiting = any(course.in_flight for course in self._courses.values())
        self._silent_since = now if waiting else None
        self._allowance = min(IN_FLIGHT, self._allowance * 2)
        self._patience_s = self._ack_timeout_s
        self._patiences = delays(2 * self._ack_timeout_s, max(RESEND_CEILING_S, 2 * self._ack_timeout_s))

    def _ignore(self, what: str) -> None:
        if not self._account.ignored:
            log.warning("ignored: %s", what)
        self._account = replace(self._account, ignored=self._account.ignored + 1, last_ignored=what)


def _decode(payloads: list[bytes]) -> list[Record]:
    """The records, up to the first damaged one, or as many as one message may hold."""
    records: list[Record] = []
    raw_bytes = 0
    for payload in payloads:
        raw_bytes += len(payload)
        if records and raw_bytes > _MOST_RAW_BYTES:
            break
        try:
            records.append(decode_record(payload))
        except WireError:
            break
    return records
