"""SIGKILL of ingest at any point: every record once in the lake, and no acknowledgement ahead of it."""

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from models.mqtt import Broker, Connection, Message
from models.topics import acks_topic
from models.wire import StreamAck, decode_acks
from simulator import processes
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from tests.cloud.ingest.piped_ingest import read_message, write_message
from tests.cloud.ingest.world import BadNetwork
from tests.cloud.lake.results import seqs_in_lake

RECORDS = 100
ROOT = Path(__file__).parents[3]


@dataclass
class Gateways:
    """Some gateways behind bad networks, and what they were told."""

    networks: dict[str, BadNetwork]
    lock: threading.Lock = field(default_factory=threading.Lock)
    answers: int = 0

    @classmethod
    def several(cls, count: int, seed: int) -> "Gateways":
        return cls({f"gw-{k}": BadNetwork(f"gw-{k}", RECORDS, random.Random(seed + k)) for k in range(count)})

    def told(self, gateway: str, acks: tuple[StreamAck, ...]) -> None:
        with self.lock:
            self.answers += 1
            for ack in acks:
                self.networks[gateway].told(ack)

    def bursts(self) -> list[Message]:
        with self.lock:
            return [message for network in self.networks.values() for message in network.burst()]

    def done(self) -> bool:
        with self.lock:
            return all(network.done for network in self.networks.values())

    def advanced(self, *, by: int) -> Callable[[], bool]:
        """Whether so many more records are acknowledged than now."""
        wanted = min(sum(self.acked().values()) + by, RECORDS * len(self.networks))
        return lambda: sum(self.acked().values()) >= wanted

    def acked(self) -> dict[str, int]:
        with self.lock:
            return {gateway: network.acked for gateway, network in self.networks.items()}


def assert_never_ahead(gateways: Gateways, lake: Path) -> None:
    """Whatever was acknowledged by now is in the lake, and nothing twice. (Health messages and losses of a commit that
    was cut off may be there before they are acknowledged.)"""
    for gateway, acked in gateways.acked().items():
        seqs = seqs_in_lake(lake, gateway=gateway) if acked else []
        assert seqs[:acked] == list(range(1, acked + 1)), gateway
        assert len(seqs) == len(set(seqs)), gateway


def assert_each_once(gateways: Gateways, lake: Path) -> None:
    for gateway in gateways.networks:
        assert seqs_in_lake(lake, gateway=gateway) == list(range(1, RECORDS + 1)), gateway


def test_kills_of_a_worker_without_a_broker(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    lake, gateways, kills = tmp_path / "lake", Gateways.several(2, seed), 0
    command = [sys.executable, "-m", "tests.cloud.ingest.piped_ingest", str(lake)]

    while not gateways.done():
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        assert worker.stdin is not None
        assert worker.stdout is not None
        listener = threading.Thread(target=_listen, args=(worker.stdout, gateways))
        listener.start()
        due = gateways.advanced(by=chance.randint(1, 30))
        with contextlib.suppress(BrokenPipeError):
            while not gateways.done() and (kills >= 5 or not due()):
                messages = gateways.bursts()
                answered = gateways.answers + len(messages)
                for message in messages:
                    write_message(worker.stdin, message)
                while gateways.answers < answered and not due() and worker.poll() is None:
                    time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.05))  # somewhere within a commit
        worker.kill()
        worker.wait()
        kills += 1
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()
        listener.join()
        worker.stdout.close()
        assert_never_ahead(gateways, lake)

    assert kills > 3
    assert_each_once(gateways, lake)


def _listen(pipe: IO[bytes], gateways: Gateways) -> None:
    while (message := read_message(pipe)) is not None:
        gateways.told(message.topic.rpartition("/")[2], decode_acks(message.payload))


@dataclass
class World:
    """A broker, the real `tidegate ingest`, and gateways that are connected."""

    folder: Path
    broker: LocalBroker
    authority: Authority
    gateways: Gateways
    connections: dict[str, Connection]
    ingest: subprocess.Popen[bytes] | None = None

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def log(self) -> str:
        return (self.folder / "ingest.log").read_text()

    def start_ingest(self) -> None:
        identity = self.authority.device(INGEST)
        command = [sys.executable, "-m", "tidegate", "ingest", "--lake", str(self.lake), "--commit-s", "0.1"]
        command += ["--broker", f"{self.broker.host}:{self.broker.port}", "--ca", str(identity.ca)]
        command += ["--certificate", str(identity.certificate), "--key", str(identity.key)]
        said = self.log.count("taking in shards") if self.ingest else 0
        self.ingest = processes.start(command, log=self.folder / "ingest.log", folder=ROOT)
        wait_until(lambda: self.log.count("taking in shards") > said)

    def kill_ingest(self) -> None:
        assert self.ingest is not None
        processes.kill(self.ingest)

    def send(self, *, until: Callable[[], bool], timeout_s: float = 60) -> None:
        """The gateways send and hear until the condition holds."""
        deadline = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < deadline, f"not within {timeout_s} s; ingest said:\n{self.log}"
            for message in self.gateways.bursts():
                gateway = message.topic.rpartition("/")[2]
                if self.connections[gateway].connected:
                    self.connections[gateway].publish(message.topic, message.payload)
            pause_until = time.monotonic() + 0.15
            while (left := pause_until - time.monotonic()) > 0:
                for gateway, connection in self.connections.items():
                    if (message_in := connection.receive(left / len(self.connections))) is not None:
                        self.gateways.told(gateway, decode_acks(message_in.payload))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority(tmp_path / "ca")
    broker = LocalBroker(tmp_path / "broker", authority)
    broker.start()
    gateways = Gateways.several(3, random.randrange(2**32))
    with contextlib.ExitStack() as stack:
        stack.callback(broker.close)
        connections = {}
        for name in gateways.networks:
            identity = authority.device(name)
            at = Broker(broker.host, broker.port, identity.ca, identity.certificate, identity.key)
            connections[name] = stack.enter_context(Connection(at, client_id=name, subscriptions=[acks_topic(name)]))
            assert connections[name].wait_until_ready(20)
        world = World(tmp_path, broker, authority, gateways, connections)
        yield world
        if world.ingest is not None and world.ingest.poll() is None:
            processes.stop(world.ingest)


def test_kills_of_the_real_process_behind_a_real_broker(world: World) -> None:
    chance = random.Random()
    for _ in range(4):
        world.start_ingest()
        world.send(until=world.gateways.advanced(by=chance.randint(1, 60)))
        time.sleep(chance.uniform(0, 0.2))
        world.kill_ingest()
        assert_never_ahead(world.gateways, world.lake)
    world.start_ingest()

    world.send(until=world.gateways.done)

    assert_each_once(world.gateways, world.lake)


def test_a_broker_that_goes_away_and_a_clean_end(world: World) -> None:
    world.start_ingest()
    world.send(until=world.gateways.advanced(by=50))
    world.broker.kill()
    world.broker.start()

    world.send(until=world.gateways.done)

    assert world.ingest is not None
    assert processes.stop(world.ingest) == 0
    assert_each_once(world.gateways, world.lake)
    assert "Traceback" not in world.log


def wait_until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
