"""A small cloud behind a real broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import UplinkError
from models.mqtt import Broker, Connection
from models.topics import results_filter, shard_of
from simulator.broker import INGEST
from simulator.small_cloud import SmallCloud


@contextmanager
def answering(ingest: Broker, gateway: str) -> Iterator[SmallCloud]:
    """A cloud that keeps what this gateway sends, and says so; `ingest` is how it connects."""
    cloud = SmallCloud()
    connection = Connection(ingest, client_id=INGEST, subscriptions=[results_filter(shard_of(gateway))])

    def answer() -> None:
        for message in connection.messages():
            reply = cloud.take(message.topic, message.payload)
            if reply is not None:
                try:
                    connection.publish(reply.topic, reply.payload)
                except UplinkError:
                    continue

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        assert connection.wait_until_ready(20)
        yield cloud
    finally:
        connection.close()
        thread.join()
