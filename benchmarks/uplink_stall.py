"""From handing 20 KB to the AWS uplink until a subscriber has them, against the same library as it comes, with Nagle's
algorithm: one message after the other, in turns, MQTT 5 over TLS, a broker on this machine. Needs mosquitto."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from awscrt import mqtt5
from awscrt.io import ClientTlsContext, TlsContextOptions

from benchmarks.bar import Bar, report
from edge.config import UplinkConfig
from edge.uplink import open_uplink
from models.errors import UplinkError
from models.mqtt import Connection
from models.topics import results_filter, results_topic, shard_of
from simulator.authority import Authority, Identity
from simulator.broker import INGEST, LocalBroker

REQUIRED = 0.1
_BYTES = 20_000
_ROUNDS = 40
_OURS, _THEIRS = "line-1", "line-2"


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_known_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        authority = Authority(Path(folder) / "authority")
        broker = LocalBroker(Path(folder) / "broker", authority)
        if broker.kind != "mosquitto":
            print("the embedded broker knows no MQTT 5; install mosquitto", file=sys.stderr)
            return 1
        broker.start()
        stack.callback(broker.close)
        filters = [results_filter(shard_of(name)) for name in (_OURS, _THEIRS)]
        identity = authority.device(INGEST).broker(broker.host, broker.port)
        reader = stack.enter_context(Connection(identity, client_id=INGEST, subscriptions=filters))
        if not reader.wait_until_ready(20):
            raise UplinkError("the broker does not answer")
        ours = _uplink(stack, broker, authority.device(_OURS))
        ours(results_topic(_OURS), b"first")  # connected: what connects now keeps what it comes with
        reader.receive(10)
        theirs = _as_it_comes(stack, broker, authority.device(_THEIRS))
        times: dict[str, list[float]] = {_OURS: [], _THEIRS: []}
        for _ in range(_ROUNDS):
            for name, publish in ((_OURS, ours), (_THEIRS, theirs)):
                began = time.perf_counter()
                publish(results_topic(name), bytes(_BYTES))
                if reader.receive(10) is None:
                    raise UplinkError("a message did not arrive")
                times[name].append((time.perf_counter() - began) * 1e3)
                time.sleep(0.06)  # what is acknowledged late by the last one is not this one's
    ours_ms, theirs_ms = statistics.median(times[_OURS]), statistics.median(times[_THEIRS])
    measured = (
        f"{ours_ms:.2f} ms against {theirs_ms:.2f} ms, medians of {_ROUNDS} messages of {_BYTES:,} bytes in turns"
    )
    return report(Bar("time to hand 20 KB on to AWS IoT Core", ours_ms / theirs_ms, REQUIRED, "lower", "x", measured))


def _uplink(stack: ExitStack, broker: LocalBroker, own: Identity) -> Callable[[str, bytes], None]:
    config = UplinkConfig("aws", "localhost", broker.port, own.ca, own.certificate, own.key)
    uplink = open_uplink(config, gateway=_OURS)
    stack.callback(uplink.close)

    def publish(topic: str, payload: bytes) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                return uplink.publish(topic, payload)
            except UplinkError:  # not connected yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    return publish


def _as_it_comes(stack: ExitStack, broker: LocalBroker, own: Identity) -> Callable[[str, bytes], None]:
    connected: Future[None] = Future()
    options = TlsContextOptions.create_client_with_mtls_from_path(str(own.certificate), str(own.key))
    options.override_default_trust_store_from_path(None, str(own.ca))
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="localhost",
            port=broker.port,
            tls_ctx=ClientTlsContext(options),
            connect_options=mqtt5.ConnectPacket(client_id=_THEIRS),
            on_lifecycle_event_connection_success_fn=lambda event: connected.set_result(None),
        )
    )
    client.start()
    stack.callback(client.stop)
    connected.result(20)

    def publish(topic: str, payload: bytes) -> None:
        client.publish(mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE))

    return publish


if __name__ == "__main__":
    sys.exit(main())
