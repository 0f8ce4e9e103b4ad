"""Listening on the broker beside ingest and the gateways: what is sent, and when the cloud says that it has it."""

import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from models.errors import WireError
from models.mqtt import Connection
from models.topics import SHARDS, acks_topic, parse_results_topic, results_filter
from models.wire import StreamAck, decode_acks, open_envelope
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from simulator.light.link import Traffic

_READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An acknowledgement of the cloud, and when (monotonic) it was heard."""

    at_s: float
    gateway: str
    acks: tuple[StreamAck, ...]


class Listeners:
    """A connection that reads all results, and one for each gateway's acknowledgements, each with a thread of its own,
    until `close`. `traffic` is what was sent so far; `answers` hands on what was acknowledged."""

    def __init__(self, broker: LocalBroker, authority: Authority, gateways: Iterable[str]) -> None:
        self.traffic = Traffic()
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._sent: dict[tuple[str, str], int] = {}  # by gateway and stream, the last record so far
        everything = [results_filter(shard) for shard in range(SHARDS)]
        results = Connection(
            authority.device(INGEST).broker(broker.host, broker.port), client_id="listener", subscriptions=everything
        )
        self._connections = [results]
        self._threads = [threading.Thread(target=self._weigh, args=(results,), name="listener", daemon=True)]
        for gateway in gateways:
            connection = Connection(
                # what a gateway may read, it alone may: so with its certificate
                authority.device(gateway).broker(broker.host, broker.port),
                client_id=f"listener-{gateway}",
                subscriptions=[acks_topic(gateway)],
            )
            self._connections.append(connection)
            hear = threading.Thread(target=self._hear, args=(gateway, connection), name="listener", daemon=True)
            self._threads.append(hear)
        for thread in self._threads:
            thread.start()
        for connection in self._connections:
            connection.wait_until_ready(_READY_S)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _weigh(self, connection: Connection) -> None:
        for message in connection.messages():
            try:
                gateway = parse_results_topic(message.topic).gateway
                envelope = open_envelope(message.payload)
            except WireError:
                continue  # ingest's business
            self.traffic.messages += 1
            self.traffic.bytes += len(message.topic) + len(message.payload)
            key = gateway, envelope.stream
            self.traffic.resent += envelope.first <= self._sent.get(key, 0)
            self._sent[key] = max(envelope.last, self._sent.get(key, 0))

    def _hear(self, gateway: str, connection: Connection) -> None:
        for message in connection.messages():
            try:
                self.answers.put(Answer(time.monotonic(), gateway, decode_acks(message.payload)))
            except WireError:
                continue  # the gateway's business
