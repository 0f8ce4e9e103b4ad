"""The ingest loop: messages from the broker into the lake, a commit every few seconds, and only then the
acknowledgements."""

import gc
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from cloud.ingest.fairness import RoundAllowance, StreamAllowance
from cloud.ingest.pictures import Pictures
from cloud.ingest.plan import Arrival, acknowledge, plan
from cloud.ingest.quarantine import Quarantine
from cloud.lake.sink import Sink
from models.errors import LakeError, UplinkError, WireError
from models.mqtt import Message
from models.topics import acks_topic, parse_results_topic
from models.wire import body_bytes, claimed_bytes, open_envelope

log = logging.getLogger(__name__)

MAX_MESSAGES_OF_A_ROUND = 2_048
MAX_BODY_BYTES_OF_A_ROUND = 32 << 20  # decompressed; as columns, and as rows of a table, it is several times that
_LOOK_UP_S = 0.2  # how long a request to stop may wait while nothing comes in
_SAY_EVERY_S = 60.0
_RETRY_S = 5.0


class Link(Protocol):
    """What ingest needs of a connection; models.mqtt.Connection is one."""

    def receive(self, timeout_s: float) -> Message | None:
        """The next message, or None when there was none in time."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message on, or raise UplinkError."""
        ...


@dataclass(slots=True)
class Ingest:
    """One worker. `commit_s`: how long messages are gathered into one commit. `refused`: messages in the quarantine."""

    link: Link
    sink: Sink
    quarantine: Quarantine
    pictures: Pictures
    commit_s: float
    commits: int = 0
    refused: int = 0
    _streams: StreamAllowance = field(default_factory=StreamAllowance)
    _complaints: "Complaints" = field(default_factory=lambda: Complaints())
    _failing: bool = False
    _worked_s: float = 0.0
    _round_began_s: float | None = None

    @property
    def worked_s(self) -> float:
        """How long rounds took so far, with the one under way; for other threads, which may see it a little late."""
        began_s = self._round_began_s
        return self._worked_s + (time.monotonic() - began_s if began_s is not None else 0.0)

    def run(self, stop: threading.Event) -> None:
        """Take in messages until asked to stop; what was gathered by then is committed and acknowledged."""
        while not stop.is_set():
            messages = self._gather(stop)
            if messages:
                self._round_began_s = began_s = time.monotonic()
                self._try(messages, stop)
                self._round_began_s = None
                self._worked_s += time.monotonic() - began_s

    def take_in(self, messages: Sequence[Message]) -> None:
        """One round: commit what these messages bring, then acknowledge. LakeError when nothing can be said to be
        in the lake; nothing is acknowledged then, and the gateways send again."""
        # a stream may have gone on by another worker, before it became ours
        self.sink.refresh()
        done = plan(self._admitted(messages), self.sink.last)
        now = datetime.now(UTC)
        for refusal in done.refusals:
            # before the commit: once it is acknowledged, this is the only copy
            self.quarantine.put(refusal, at=now)
            self.refused += 1
        if done.runs:
            self.sink.commit(self.pictures.keep(done.runs), at=now)
            self.commits += 1
            self._tidy()
        for refusal in done.refusals:
            stone = refusal.tombstone
            self._complaints.add(f"{refusal.arrival.key} {stone.first}..{stone.last} {stone.reason}")
        for gateway, payloads in acknowledge(done, self.sink.last).items():
            for payload in payloads:
                self._send(acks_topic(gateway), payload)
        self._complaints.say(time.monotonic())

    def _gather(self, stop: threading.Event) -> list[Message]:
        first = self.link.receive(_LOOK_UP_S)
        if first is None:
            return []
        messages, size = [first], claimed_bytes(first.payload)
        end = time.monotonic() + self.commit_s
        while (
            len(messages) < MAX_MESSAGES_OF_A_ROUND
            and size < MAX_BODY_BYTES_OF_A_ROUND
            and (left := end - time.monotonic()) > 0
            and not stop.is_set()
        ):
            if (message := self.link.receive(min(left, _LOOK_UP_S))) is not None:
                messages.append(message)
                size += claimed_bytes(message.payload)
        return messages

    def _try(self, messages: Sequence[Message], stop: threading.Event) -> None:
        try:
            self.take_in(messages)
        except LakeError as exc:
            # nothing was acknowledged, so nothing is lost: the gateways keep it and send it again
            if not self._failing:
                log.error("the lake cannot take anything in, trying again: %s", exc)
            self._failing = True
            stop.wait(_RETRY_S)
        else:
            if self._failing:
                log.info("the lake takes results in again")
            self._failing = False

    def _admitted(self, messages: Sequence[Message]) -> list[Arrival]:
        arrivals, allowance, opened = [], RoundAllowance(), set()
        for message in messages:
            try:
                arrival = arrival_of(message)
            except WireError as exc:
                self._complaints.add(f"ignored a message on {message.topic[:200]!r}: {exc}")
                continue
            if not allowance.take(arrival.gateway, _body_bytes(arrival)):
                self._complaints.add(f"{arrival.gateway} sends too much at once; it has to send again")
                continue
            opens = arrival.envelope.first == 1 and arrival.key not in opened and self.sink.last(arrival.key) == 0
            if opens and not self._streams.take(arrival.gateway, time.monotonic()):
                self._complaints.add(f"{arrival.gateway} opens too many streams; it has to send again")
                continue
            opened.add(arrival.key)
            arrivals.append(arrival)
        return arrivals

    def _tidy(self) -> None:
        try:
            self.pictures.tidy()
        except LakeError as exc:
            self._complaints.add(str(exc))  # they lie about, and harm nobody
        for complaint in self.pictures.complaints:
            self._complaints.add(complaint)
        self.pictures.complaints.clear()

    def _send(self, topic: str, payload: bytes) -> None:
        try:
            self.link.publish(topic, payload)
        except UplinkError as exc:
            # the gateway sends again, and is told again
            self._complaints.add(f"an acknowledgement was not sent: {exc}")


@dataclass(slots=True)
class Complaints:
    """What was wrong with messages, said once a minute at most: a gateway cannot fill the log."""

    _count: int = 0
    _last: str = ""
    _said_at_s: float = float("-inf")

    def add(self, complaint: str) -> None:
        self._count += 1
        self._last = complaint

    def say(self, now_s: float) -> None:
        """Log what came up since the last time, if that was long enough ago."""
        if self._count and now_s - self._said_at_s >= _SAY_EVERY_S:
            log.warning("%d message(s) were not taken in as they are; the last: %s", self._count, self._last)
            self._count, self._said_at_s = 0, now_s


def collect_rarely() -> None:
    """For a process that does nothing but ingest: a round makes a hundred thousand objects, none in a circle, and
    looking for circles among them took a fifth of its time."""
    gc.set_threshold(200_000, 50, 100)


def arrival_of(message: Message) -> Arrival:
    """Who sent what; WireError for what is none of ours."""
    return Arrival(parse_results_topic(message.topic).gateway, open_envelope(message.payload))


def _body_bytes(arrival: Arrival) -> int:
    try:
        return body_bytes(arrival.envelope)
    except WireError:
        return len(arrival.envelope.body)  # will be refused without being decompressed
