"""The Lambda function: results by AWS IoT's rule through Kinesis into the lake, and acknowledgements by the API."""

import itertools
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from moto.iotdata.models import iotdata_backends

from cloud.ingest.acks_by_api import AcksByApi
from cloud.ingest.aws_lambda import figures, open_ingest, take_in
from cloud.ingest.kinesis import KinesisIngest, Taken, received
from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink
from cloud.lake.runs import Run
from greengrass.objects import open_store
from models.errors import LakeError, UsageError
from models.mqtt import Message
from models.topics import results_topic
from models.wire import StreamAck, decode_acks
from simulator.kinesis_feed import EventSource, Rule
from tests.cloud.ingest.world import BadNetwork
from tests.cloud.lake.results import OTHER_STREAM, STREAM, bad_message, frames_message, in_lake, seqs_in_lake
from tests.s3 import S3

REGION: Final = "eu-central-1"
ACCOUNT = "123456789012"  # moto's
MINUTE_MS = 60_000


@dataclass
class Context:
    """Lambda's, with all the time in the world or none."""

    left_ms: int = MINUTE_MS

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@dataclass
class World:
    """Kinesis and S3 as moto plays them, and a lake."""

    lake: str
    stream: str
    kinesis: Any

    @property
    def rule(self) -> Rule:
        return Rule(self.kinesis, self.stream)

    def source(self, handler: Callable[[dict[str, Any]], dict[str, Any]] | None = None, **knobs: Any) -> EventSource:
        return EventSource(self.kinesis, self.stream, handler or (lambda event: take_in(event, Context())), **knobs)

    def send(self, *messages: Message) -> None:
        for message in messages:
            self.rule.publish(message)

    def told(self, gateway: str = "gw-1") -> list[StreamAck]:
        """All acknowledgements that were published to a gateway since the last time."""
        published = iotdata_backends[ACCOUNT][REGION].published_payloads
        mine = [item for item in published if item[0] == f"tidegate/v1/acks/{gateway}"]
        for item in mine:
            published.remove(item)
        return [ack for _, payload in mine for ack in decode_acks(payload)]


@pytest.fixture
def world(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """With the lake in a folder, which is faster."""
    kinesis = boto3.client("kinesis")
    stream = f"results-{uuid.uuid4()}"
    kinesis.create_stream(StreamName=stream, ShardCount=2)
    iotdata_backends[ACCOUNT][REGION].published_payloads.clear()
    open_ingest.cache_clear()
    monkeypatch.setenv("TIDEGATE_LAKE", str(tmp_path / "lake"))
    yield World(str(tmp_path / "lake"), stream, kinesis)
    open_ingest.cache_clear()
    kinesis.close()


@pytest.fixture
def world_on_s3(world: World, s3: S3, monkeypatch: pytest.MonkeyPatch) -> World:
    lake = f"s3://{s3.new_bucket()}/lake"
    monkeypatch.setenv("TIDEGATE_LAKE", f"{lake}/")
    return replace(world, lake=lake)


def frames(first: int, last: int, *, gateway: str = "gw-1", stream: str = STREAM) -> Message:
    return Message(results_topic(gateway), frames_message(first, last, stream=stream))


def test_results_get_into_the_lake_and_the_gateways_are_told(world_on_s3: World) -> None:
    world = world_on_s3
    world.send(frames(1, 3), frames(4, 5), frames(1, 2, gateway="gw-2", stream=OTHER_STREAM))

    world.source().poll()

    assert seqs_in_lake(world.lake) == [1, 2, 3, 4, 5]
    assert world.told("gw-1") == [StreamAck(STREAM, 5)]
    assert world.told("gw-2") == [StreamAck(OTHER_STREAM, 2)]


def test_what_comes_again_is_in_the_lake_once_and_acknowledged_again(world: World) -> None:
    world.send(frames(1, 3))
    source = world.source(again=True)

    source.poll()

    assert seqs_in_lake(world.lake) == [1, 2, 3]
    assert world.told() == [StreamAck(STREAM, 3), StreamAck(STREAM, 3)]


@pytest.mark.parametrize("seed", [2])
def test_bad_networks_and_a_bad_lake_lose_and_double_nothing(world: World, seed: int) -> None:
    chance = random.Random(seed)
    worker = _worker(world, fails=chance.sample(range(1, 60), 20))
    source = world.source(_handler(worker, []), batch=7, again=True)
    gateways = [BadNetwork(f"gw-{number}", 30, chance, stream=f"{number:016x}") for number in (1, 2, 3)]

    for _ in itertools.takewhile(lambda _: not all(gateway.done for gateway in gateways), range(200)):
        for gateway in gateways:
            world.send(*(gateway.burst() if not gateway.done else ()))
        source.poll()
        for gateway in gateways:
            for ack in world.told(gateway.gateway):
                gateway.told(ack)

    assert all(gateway.done for gateway in gateways)
    counts = in_lake(world.lake)
    assert set(counts.values()) == {1}
    assert len(counts) == 90


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"\xff\x00", frames_message(1, 1), b'{"data": "VEc=", "topic": "tidegate/v1/results/1/gw-1"}'],
    ids=["nothing", "no fields", "no text", "raw", "not an envelope"],
)
def test_what_is_no_message_of_ours_holds_nothing_up(world: World, data: bytes) -> None:
    world.send(frames(1, 2))
    world.kinesis.put_record(StreamName=world.stream, PartitionKey="gw-1", Data=data or b" ")
    world.send(frames(3, 4))
    source = world.source()

    source.poll()

    assert seqs_in_lake(world.lake) == [1, 2, 3, 4]
    assert source.given_up == []


def test_a_body_that_cannot_be_read_goes_to_the_quarantine(world_on_s3: World) -> None:
    world = world_on_s3
    bad = bad_message(1, 3)
    world.send(Message(results_topic("gw-1"), bad), frames(4, 5))

    world.source().poll()

    store = open_store(f"{world.lake}/quarantine")
    (key,) = store.list("gateway-gw-1/")
    assert store.get(key) == bad
    (ack,) = world.told()
    assert (ack.last, [(stone.first, stone.last) for stone in ack.refused]) == (5, [(1, 3)])


class FlakySink(DeltaSink):
    """A lake that takes nothing in at the times that `fails` names."""

    def __init__(self, where: str, fails: Sequence[int]) -> None:
        super().__init__(where)
        self.fails, self.tried = fails, 0

    def commit(self, runs: Sequence[Run], *, at: datetime) -> None:
        self.tried += 1
        if self.tried in self.fails:
            raise LakeError("the disk is full")
        super().commit(runs, at=at)


def _worker(world: World, *, fails: Sequence[int] = ()) -> KinesisIngest:
    """A worker whose rounds are two messages."""
    acks = AcksByApi()
    quarantine = Quarantine(open_store(f"{world.lake}/quarantine"))
    pictures = Pictures(open_store(f"{world.lake}/objects"))
    return KinesisIngest(Ingest(acks, FlakySink(world.lake, fails), quarantine, pictures, 0), acks, 2)


def _handler(worker: KinesisIngest, taken: list[Taken], left_s: float = 60.0) -> Callable[[Any], dict[str, Any]]:
    def handle(event: dict[str, Any]) -> dict[str, Any]:
        taken.append(worker.take_in(received(event), left_s=lambda: left_s))
        return taken[-1].answer()

    return handle


def test_only_what_the_lake_did_not_take_comes_again(world: World) -> None:
    world.send(*(frames(number, number) for number in range(1, 7)))
    taken: list[Taken] = []
    source = world.source(_handler(_worker(world, fails=[2]), taken))

    source.poll()

    assert [(batch.messages, batch.lake_failures, batch.commits) for batch in taken] == [(2, 1, 1), (4, 0, 2)]
    assert seqs_in_lake(world.lake) == [1, 2, 3, 4, 5, 6]
    assert [ack.last for ack in world.told()] == [2, 4, 6]
    assert source.given_up == []


def test_a_lake_that_stays_away_costs_nothing_but_time(world: World) -> None:
    world.send(frames(1, 1), frames(2, 2))
    taken: list[Taken] = []
    source = world.source(_handler(_worker(world, fails=range(1, 4)), taken))

    source.poll()

    assert len(source.given_up) == 2
    assert world.told() == []

    world.send(frames(1, 2))  # nobody told the gateway, so it sends again
    source.poll()

    assert seqs_in_lake(world.lake) == [1, 2]
    assert world.told() == [StreamAck(STREAM, 2)]


def test_what_there_is_no_time_for_comes_again(world: World) -> None:
    world.send(*(frames(number, number) for number in range(1, 6)))
    taken: list[Taken] = []
    source = world.source(_handler(_worker(world), taken, left_s=5.0))

    source.poll()

    assert [batch.messages for batch in taken] == [2, 2, 1]
    assert seqs_in_lake(world.lake) == [1, 2, 3, 4, 5]


def test_a_function_that_dies_after_the_commit_does_it_again(world: World) -> None:
    world.send(frames(1, 2), frames(3, 4))
    deaths = iter([True, False])

    def handle(event: dict[str, Any]) -> dict[str, Any]:
        batch = received(event)
        worker = _worker(world)
        if next(deaths, False):
            worker.ingest.take_in([record.message for record in batch if record.message])
            raise MemoryError
        return worker.take_in(batch, left_s=lambda: 60.0).answer()

    source = world.source(handle)
    source.poll()

    assert seqs_in_lake(world.lake) == [1, 2, 3, 4]
    assert world.told()[-1] == StreamAck(STREAM, 4)
    assert source.given_up == []


def test_a_process_that_goes_on_after_an_error_starts_anew(world: World) -> None:
    class Broken(DeltaSink):
        def refresh(self) -> None:
            raise MemoryError

    open_ingest(world.lake).ingest.sink = Broken(world.lake)
    world.send(frames(1, 2))
    source = world.source()

    source.poll()

    assert seqs_in_lake(world.lake) == [1, 2]
    assert source.given_up == []


def test_acknowledgements_that_cannot_be_sent_fail_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_IOT_DATA_PLANE", "http://127.0.0.1:9")
    world.send(frames(1, 2))
    taken: list[Taken] = []
    worker = _worker(world)

    world.source(_handler(worker, taken)).poll()
    worker.acks.close()

    assert seqs_in_lake(world.lake) == [1, 2]
    assert [(batch.untold, batch.failed_from) for batch in taken] == [(1, None)]


def test_the_figures_become_metrics() -> None:
    line = figures(Taken(messages=7, refused=1, failed_from="123"), at_ms=1_795_000_000_000)

    (about,) = line["_aws"]["CloudWatchMetrics"]
    named = {metric["Name"] for metric in about["Metrics"]}
    assert {name: line[name] for name in named} == {
        "messages": 7,
        "strange": 0,
        "commits": 0,
        "refused": 1,
        "untold": 0,
        "lake_failures": 0,
    }


def test_a_function_without_its_variables_says_which(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEGATE_LAKE")

    with pytest.raises(UsageError, match="TIDEGATE_LAKE is not set: expected s3://BUCKET/PREFIX"):
        take_in({"Records": []}, Context())
