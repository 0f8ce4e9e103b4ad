"""Shipping: what the spool holds goes out in batches until the cloud says that it is in the lake.

That a broker or a nucleus took a message means nothing here. A record leaves the spool when the lake's
acknowledgement comes; what is not acknowledged in time is sent again, from the first unacknowledged record on. In time
is what acknowledgements take lately (patience.py). While they take longer than `ack_timeout_s` the cloud is behind, and
the backlog goes out a message at a time.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge.backoff import delays
from edge.byte_budget import LEAST_BYTES, ByteBudget, next_thin, period_of
from edge.cut import Cut, Cutter, cut
from edge.lanes import Lane, is_backlog, precedence
from edge.outbox import Outbox
from edge.pace import Pace
from edge.patience import Patience
from edge.spool import Stream
from edge.uplink import Uplink
from models.errors import SpoolError, UplinkError, WireError
from models.records import Tombstone
from models.topics import results_topic
from models.wire import MAX_BODY_BYTES, StreamAck, decode_acks

log = logging.getLogger(__name__)

IN_FLIGHT = 8  # messages without acknowledgement, of all streams together
IN_FLIGHT_STREAM = 4
IN_FLIGHT_BACKLOG = 6  # so that what is live always finds a place
BACKLOG_BYTES_PER_S = 64 << 10  # a fleet that comes back from an outage must not drown the cloud, nor its own link
RETRY_S = (0.5, 5.0)  # first and longest wait when the uplink takes nothing; asking costs no byte on the network
OUTAGE_S = 30.0  # after that long without an answer, live results go on in streams of their own
_FIRST_GUESS = 200  # records in a message
_MOST_RECORDS = 5_000  # in one message, however well they compress: they are all in memory at once
_MOST_RAW_BYTES = MAX_BODY_BYTES // IN_FLIGHT  # as spooled, which is more than on the wire; ingest bounds bodies too
_IDLE_S = 1.0
_BACKLOG = 2  # messages
_THIN_S = 30.0  # between two changes: what the last one did must show first
_COURSES = 64  # remembered beyond those in use
_AT_ONCE: tuple[Lane, ...] = ("alarms", "health")  # a health message is a window's, or says that something changed


@dataclass(frozen=True, slots=True)
class Account:
    """Since the start: what came in that should not have, how many runs of records the cloud set aside, and what was
    sent, in bytes with topics. `held`: records that wait now because the byte budget has no room for them, of which
    `held_parts` are parts of pictures; then one in `thin` frames goes first."""

    ignored: int = 0
    last_ignored: str = ""
    refused: int = 0
    bytes_sent: int = 0
    held: int = 0
    held_parts: int = 0
    thin: int = 1


@dataclass(frozen=True, slots=True)
class _Sent:
    last: int
    at: float
    again: bool  # something of it was sent before


@dataclass(frozen=True, slots=True)
class _CutAs:
    """Where a message begins, and what else it depends on."""

    stream: str
    acked: int
    next: int
    lake: int | None
    limit_bytes: int


@dataclass(slots=True)
class _Course:
    """How far a stream has come: 1..acked are in the lake, `next` is to be sent next, up to `due` even if a message
    is not full. `sent` is the highest seq that was ever sent; of an `earlier` process' stream nobody remembers it, so
    any of its records may have been. `lake` is what the lake says it holds where that is less than it once
    acknowledged. `timeouts` counts those since the last progress. `held`: there is something to send, and no room in
    the byte budget. `backlog`: it stands back behind what is live."""

    acked: int
    next: int
    sent: int
    earlier: bool
    due: int = 0
    lake: int | None = None
    timeouts: int = 0
    held: bool = False
    backlog: bool = False
    in_flight: deque[_Sent] = field(default_factory=deque)


class Shipper:
    """Decides what to send and when. Any thread may call any method."""

    def __init__(
        self,
        spool: Outbox,
        uplink: Uplink,
        *,
        gateway: str,
        ack_timeout_s: float = 10.0,
        budget: ByteBudget | None = None,
        clock: Callable[[], float] = time.monotonic,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        cutter: Cutter = cut,
    ) -> None:
        self._spool = spool
        self._uplink = uplink
        self._gateway = gateway
        self._topic = results_topic(gateway)
        self._limit_bytes = uplink.limit_bytes - len(self._topic)
        self._budget = budget
        self._clock = clock
        self._now_us = now_us
        self._cutter = cutter
        self._lock = threading.RLock()
        self._wake = spool.urgent
        self._tide_asked = threading.Event()
        self._pace = Pace(BACKLOG_BYTES_PER_S)
        self._thinned_at = clock()
        self._courses: dict[str, _Course] = {}
        self._guesses: dict[Lane, int] = {}
        self._unsent: dict[_CutAs, Cut] = {}  # at most one
        self._allowance = IN_FLIGHT
        self._backlog_allowance = 1  # to be found out
        self._patience = Patience(ack_timeout_s)
        self._silent_since: float | None = None
        self._retry_at = 0.0
        self._retries = delays(*RETRY_S)
        self._down = False
        self._unanswered = False
        self._account = Account()
        self._held_told = ""  # in which period

    def run(self, stop: threading.Event) -> None:
        """Ship until told to stop, by `stop` and then `tide`; what is due by then is offered to the uplink once."""
        troubled = leaving = False
        while not leaving:
            leaving = stop.is_set()
            try:
                self.step()
            except SpoolError as exc:
                if not troubled:
                    log.error("%s; trying again", exc)
                troubled = True
            else:
                troubled = False
            if not leaving:
                self._wake.wait(_IDLE_S)
                self._wake.clear()

    def listen(self) -> None:
        """Take acknowledgements from the uplink until it is closed."""
        for message in self._uplink.messages():
            self.acknowledged(message.payload)

    def change(self, *, uplink: Uplink, ack_timeout_s: float, budget: ByteBudget | None) -> None:
        """Go on with these; what another uplink took and nobody acknowledged is sent again when its time is over."""
        with self._lock:
            self._uplink = uplink
            self._limit_bytes = uplink.limit_bytes - len(self._topic)
            self._patience = Patience(ack_timeout_s)
            self._budget = budget
            if budget is None and self._account.thin > 1:
                self._spool.thin(1)
                self._account = replace(self._account, thin=1)
            for course in self._courses.values():
                course.held = False
            self._retry_at = 0.0
        self._wake.set()

    def tide(self) -> None:
        """What is recorded by now is due, whether it fills a message or not. Never waits for what is being sent."""
        self._tide_asked.set()
        self._wake.set()

    def step(self) -> None:
        """Send what is due, or fills a message, as far as not too much is under way."""
        with self._lock:
            now = self._clock()
            self._give_up_waiting(now)
            if now < self._retry_at:
                return
            streams = sorted(self._spool.streams(), key=self._precedence)
            if self._tide_asked.is_set():
                self._tide_asked.clear()
                self._let_go(streams)
            try:
                for stream in streams:
                    self._send(stream, self._course(stream), now)
            except UplinkError as exc:
                self._retry_at = now + next(self._retries)
                self._silent_since = now if self._silent_since is None else self._silent_since
                if not self._down:
                    log.warning("results wait in the spool: %s", exc)
                self._down = True
            held, held_parts = self._held(streams), self._held([one for one in streams if one.lane == "pictures"])
            self._account = replace(self._account, held=held, held_parts=held_parts)
            self._tell_held()
            self._forget_courses(streams)

    def acknowledged(self, payload: bytes) -> None:
        """Take a message from the ack topic; anybody may have written it."""
        with self._lock:
            try:
                for ack in decode_acks(payload):
                    self._take(ack)
            except WireError as exc:
                self._ignore(str(exc))
        self._wake.set()

    @property
    def account(self) -> Account:
        return self._account

    def _course(self, stream: Stream) -> _Course:
        if stream.name not in self._courses:
            earlier = not stream.live
            sent = stream.last if earlier else 0
            self._courses[stream.name] = _Course(stream.acked, stream.acked + 1, sent, earlier)
        course = self._courses[stream.name]
        course.backlog = is_backlog(stream.lane, live=stream.live)
        if stream.lane in _AT_ONCE or not stream.live:
            course.due = stream.last  # those of before can't get any fuller
        return course

    def _let_go(self, streams: list[Stream]) -> None:
        if self._budget is not None:
            self._thin(streams)
        for stream in streams:
            course = self._course(stream)
            course.due = stream.last
            course.held = False

    def _forget_courses(self, streams: list[Stream]) -> None:
        waiting = {stream.name for stream in streams}
        if len(self._courses) > len(waiting) + _COURSES:
            idle = [name for name in self._courses if name not in waiting and not self._spool.is_live(name)]
            for name in idle[: len(idle) // 2]:
                del self._courses[name]

    def _precedence(self, stream: Stream) -> tuple[int, int]:
        # what the cloud does not answer stands back, so that one bad stream can't hold up the others
        return self._course(stream).timeouts, precedence(stream.lane, live=stream.live)

    def _give_up_waiting(self, now: float) -> None:
        late = [c for c in self._courses.values() if c.in_flight and now - c.in_flight[0].at > self._patience.seconds]
        for course in late:
            course.in_flight.clear()
            course.next = course.acked + 1
            course.timeouts += 1
        if late:
            # one message asks whether anybody is there, before the rest follows
            self._allowance = self._backlog_allowance = 1
            self._patience.unanswered()
            self._say_unanswered(now)

    def _send(self, stream: Stream, course: _Course, now: float) -> None:
        if course.held:
            return  # until the next window: room comes slowly, and many small messages would use it up
        while course.next <= stream.last and self._has_place(stream, course, now):
            due = course.next <= course.due
            if not due and stream.last - course.next + 1 < self._guess(stream):
                return
            limit_bytes = self._room(stream)
            if limit_bytes < min(LEAST_BYTES, self._limit_bytes):
                course.held = True
                return
            cut_as = _CutAs(stream.name, course.acked, course.next, course.lake, limit_bytes)
            # what a link did not take is offered again as it is: cutting is most of the work
            piece = self._unsent.get(cut_as) or self._cut(stream, course, limit_bytes)
            if piece is None or (not due and piece.last == stream.last):
                return
            self._unsent = {cut_as: piece}
            self._uplink.publish(self._topic, piece.message)
            self._unsent = {}
            self._count(stream, len(self._topic) + len(piece.message))
            course.in_flight.append(_Sent(piece.last, now, again=piece.first <= course.sent))
            course.next = piece.last + 1
            course.sent = max(course.sent, piece.last)
            self._silent_since = now if self._silent_since is None else self._silent_since
            if self._down:
                log.info("results go out again")
                self._down = False
                self._retries = delays(*RETRY_S)

    def _has_place(self, stream: Stream, course: _Course, now: float) -> bool:
        """Whether one more message of the stream may be under way."""
        if len(course.in_flight) >= IN_FLIGHT_STREAM:
            return False
        if stream.lane == "alarms":
            return True
        under_way = sum(len(other.in_flight) for other in self._courses.values())
        if not course.backlog:
            return under_way < self._allowance
        of_backlog = sum(len(other.in_flight) for other in self._courses.values() if other.backlog)
        has_place = under_way < min(self._allowance, IN_FLIGHT_BACKLOG) and of_backlog < self._backlog_allowance
        return has_place and self._pace.allows(now)

    def _room(self, stream: Stream) -> int:
        """Bytes that a message of the stream may have."""
        if self._budget is None:
            return self._limit_bytes
        period = period_of(self._budget.per, self._now_us())
        spent = self._spool.spent(period.name)
        room = self._budget.room(stream.lane, live=stream.live, spent=spent, elapsed=period.elapsed)
        return int(min(self._limit_bytes, room - len(self._topic)))

    def _count(self, stream: Stream, size: int) -> None:
        self._account = replace(self._account, bytes_sent=self._account.bytes_sent + size)
        if is_backlog(stream.lane, live=stream.live):
            self._pace.take(size)
        if self._budget is not None:
            self._spool.spend(period_of(self._budget.per, self._now_us()).name, size)

    def _held(self, streams: list[Stream]) -> int:
        return sum(stream.last - stream.acked for stream in streams if self._course(stream).held)

    def _tell_held(self) -> None:
        """Once a period, for the budget gives room again and again."""
        if self._budget is None or not self._account.held:
            return
        period = period_of(self._budget.per, self._now_us()).name
        if period != self._held_told:
            self._held_told = period
            log.info("the byte budget has no room now for %d records; they wait until it has", self._account.held)

    def _thin(self, streams: list[Stream]) -> None:
        """Fit what is recorded from now on to what the budget had room for."""
        now = self._clock()
        if now - self._thinned_at < _THIN_S:
            return
        self._thinned_at = now
        behind = [stream for stream in streams if self._course(stream).held]
        live = [stream for stream in behind if stream.live and stream.lane == "frames"]
        thin = next_thin(self._account.thin, frames_held=bool(live), anything_held=bool(behind))
        if thin != self._account.thin:
            what = f"one in {thin} frames goes first" if thin > 1 else "all frames go again"
            log.info("%s, as the byte budget has it", what)
            self._spool.thin(thin)
            self._account = replace(self._account, thin=thin)

    def _guess(self, stream: Stream) -> int:
        return self._guesses.get(stream.lane, _FIRST_GUESS)

    def _cut(self, stream: Stream, course: _Course, limit_bytes: int) -> Cut | None:
        """The next message of the stream; None when the next record can't be sent, and a tombstone took its place, or
        when it has to wait for more room in the budget."""
        guess = max(1, self._guess(stream) * limit_bytes // self._limit_bytes)
        rows = self._spool.read(
            stream.name, after=course.next - 1, limit=guess + guess // 4 + 8, limit_bytes=_MOST_RAW_BYTES
        )
        if not rows:
            return None  # they have been acknowledged, or made room for others, since they were asked for
        first, records = rows[0][0], [record for _, record in rows]
        if course.lake is not None and course.next == course.acked + 1:
            # only the lake can lose what it acknowledged; it is told so, or it would wait for those records for ever
            first = course.lake + 1
            records.insert(0, Tombstone(first, course.acked, "acknowledged, then lost by the lake"))
        try:
            piece = self._cutter(stream.name, first, records, limit_bytes=limit_bytes, guess=guess)
        except WireError as exc:
            if limit_bytes < self._limit_bytes:
                course.held = True
                return None
            log.error("%s; dropped", exc)
            self._spool.bury(stream.name, rows[0][0], rows[0][0], "too large for the uplink")
            return None
        fitting = piece.records * self._limit_bytes // len(piece.message)
        self._guesses[stream.lane] = max(1, min(_MOST_RECORDS // 2, fitting))
        return piece

    def _take(self, ack: StreamAck) -> None:
        course = self._courses.get(ack.stream)
        if course is None:
            # a late answer to a stream that is done, or an early one to a stream of the process before this one
            if self._spool.last_recorded(ack.stream) == 0 or self._spool.is_live(ack.stream):
                self._ignore(f"an acknowledgement of seq {ack.last} of stream {ack.stream}, which was never sent")
            return
        if ack.last > course.sent and not course.earlier:
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
        now = self._clock()
        took_s: float | None = None  # the longest
        while course.in_flight and course.in_flight[0].last <= last:
            sent = course.in_flight.popleft()
            if took_s is None and not sent.again:
                took_s = now - sent.at
        self._cloud_answers(now, took_s)

    def _cloud_answers(self, now: float, took_s: float | None) -> None:
        if self._silent_since is not None and now - self._silent_since > OUTAGE_S:
            log.info("the cloud answers again after %.0f s", now - self._silent_since)
            # only where there is a backlog to wait for: the lake remembers each stream for a year
            waiting = [stream for stream in self._spool.streams() if stream.live]
            self._spool.turn(
                {stream.lane for stream in waiting if stream.last - stream.acked > _BACKLOG * self._guess(stream)}
            )
        under_way = any(course.in_flight for course in self._courses.values())
        self._silent_since = now if under_way else None
        self._unanswered = False
        self._allowance = min(IN_FLIGHT, self._allowance * 2)
        keeps_up = self._patience.answered(took_s)
        self._backlog_allowance = min(IN_FLIGHT_BACKLOG, self._backlog_allowance * 2) if keeps_up else 1

    def _say_unanswered(self, now: float) -> None:
        silent_s = 0.0 if self._silent_since is None else now - self._silent_since
        if silent_s < OUTAGE_S or self._down or self._unanswered:
            return
        # brokers drop what their rules forbid without a word, so a wrong name looks like a cloud that is away
        log.warning(
            "results wait in the spool: the broker takes them, but nobody has acknowledged any for %.0f s; does "
            "`tidegate ingest` run, and does the broker let this gateway be %s?",
            silent_s,
            self._gateway,
        )
        self._unanswered = True

    def _ignore(self, what: str) -> None:
        if not self._account.ignored:
            log.warning("ignored: %s", what)
        self._account = replace(self._account, ignored=self._account.ignored + 1, last_ignored=what)
