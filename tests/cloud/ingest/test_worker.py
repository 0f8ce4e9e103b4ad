"""The ingest loop without a broker: what it acknowledges is in the lake, and nobody can stop it."""

import contextlib
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.ingest.pictures import Pictures
from cloud.ingest.plan import plan
from cloud.ingest.quarantine import MAX_FILES_OF_A_GATEWAY, Quarantine
from cloud.ingest.worker import Ingest, arrival_of
from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from cloud.lake.runs import StreamKey
from greengrass.objects import DiskStore
from models import tidegate_pb2 as pb
from models.bounds import MAX_TIME_US
from models.mqtt import Message
from models.records import Record
from models.topics import results_topic, shard_of
from models.wire import MAX_BODY_BYTES, StreamAck, open_envelope, seal
from tests.cloud.ingest.world import BadNetwork, PlainLink
from tests.cloud.lake.results import (
    OTHER_STREAM,
    STREAM,
    bad_message,
    frame,
    frames_message,
    health,
    in_lake,
    message,
    seqs_in_lake,
)

KEY = StreamKey("gw-1", STREAM)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def link() -> PlainLink:
    return PlainLink()


@pytest.fixture
def ingest(lake: Path, link: PlainLink) -> Ingest:
    return worker(lake, link)


def worker(lake: Path, link: PlainLink, *, commit_s: float = 0.05) -> Ingest:
    quarantine, pictures = Quarantine(DiskStore(lake / "quarantine")), Pictures(DiskStore(lake / "objects"))
    return Ingest(link, DeltaSink(lake), quarantine, pictures, commit_s)


def sent(payload: bytes, *, gateway: str = "gw-1") -> Message:
    return Message(results_topic(gateway), payload)


def squeezed(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=True).compress(plain)


def test_what_comes_in_is_in_the_lake_and_then_acknowledged(ingest: Ingest, link: PlainLink, lake: Path) -> None:
    ingest.take_in([sent(frames_message(1, 3)), sent(frames_message(4, 5)), sent(frames_message(1, 2), gateway="gw-2")])

    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]
    assert link.told("gw-1") == [StreamAck(STREAM, 5)]
    assert link.told("gw-2") == [StreamAck(STREAM, 2)]


def test_a_repeat_is_acknowledged_again_without_a_commit(ingest: Ingest, link: PlainLink, lake: Path) -> None:
    ingest.take_in([sent(frames_message(1, 3))])

    ingest.take_in([sent(frames_message(1, 3))])

    assert link.told() == [StreamAck(STREAM, 3), StreamAck(STREAM, 3)]
    assert ingest.commits == 1


def test_a_gap_is_answered_with_where_to_go_on(ingest: Ingest, link: PlainLink, lake: Path) -> None:
    ingest.take_in([sent(frames_message(1, 3)), sent(frames_message(6, 8))])

    assert link.told() == [StreamAck(STREAM, 3)]
    assert seqs_in_lake(lake) == [1, 2, 3]


def test_a_bad_body_is_set_aside_acknowledged_as_refused_and_the_stream_goes_on(
    ingest: Ingest, link: PlainLink, lake: Path
) -> None:
    ingest.take_in([sent(frames_message(1, 3)), sent(bad_message(4, 6)), sent(frames_message(7, 8))])

    (ack,) = link.told()
    assert ack.last == 8
    assert [(stone.first, stone.last) for stone in ack.refused] == [(4, 6)]
    assert Lake(lake).query("SELECT first, last, reason[:8] AS why FROM losses").to_pylist() == [
        {"first": 4, "last": 6, "why": "refused:"}
    ]
    assert seqs_in_lake(lake) == list(range(1, 9))
    (kept,) = quarantined(lake, 4, 6)
    assert kept.read_bytes() == bad_message(4, 6)


def test_a_bad_body_of_an_older_gateway_is_set_aside_as_it_came(ingest: Ingest, lake: Path) -> None:
    message = seal(STREAM, 1, 3, b"this is not zstandard", version=1)

    ingest.take_in([sent(message)])

    (kept,) = quarantined(lake, 1, 3)
    assert kept.read_bytes() == message


def test_a_bad_body_that_comes_again_is_set_aside_once(ingest: Ingest, lake: Path) -> None:
    for _ in range(2):
        refusal = plan([arrival_of(sent(bad_message(1, 3)))], lambda _: 0).refusals[0]
        ingest.quarantine.put(refusal, at=datetime.now(UTC))

    assert len(quarantined(lake, 1, 3)) == 1


def quarantined(lake: Path, first: int, last: int) -> list[Path]:
    """The files in which a refused message of gw-1 was kept."""
    return list((lake / "quarantine" / "gateway-gw-1").glob(f"*-{STREAM}-{first}-{last}-*.bin"))


def _bombs() -> dict[str, bytes]:
    empty_health = b"\x32\x00"
    huge = MAX_BODY_BYTES * 64
    return {
        "a bomb": squeezed(bytes(huge)),
        "a bomb that hides its size": zstandard.ZstdCompressor(write_content_size=False).compress(bytes(huge)),
        "a million empty messages": squeezed(empty_health * (MAX_BODY_BYTES // 2)),
        "nothing": b"",
        "an empty body": squeezed(b""),
        "not zstandard": b"\xff" * 100,
        "half a body": open_envelope(frames_message(4, 6)).body[:-3],
        "other records than the envelope says": open_envelope(frames_message(5, 9)).body,
        "a time that no reader can show": squeezed(
            pb.Batch(
                box_scale=4,
                score_scale=255,
                cameras=["c"],
                models=[pb.Model(name="m", release=1)],
                frames=pb.FramesByTrack(
                    seq=[0, 1, 1],
                    camera=[0, 0, 0],
                    model=[0, 0, 0],
                    frame=[1, 1, 1],
                    captured_at_us=[MAX_TIME_US, 1, 1],
                    period_us=[0],
                ),
            ).SerializeToString()
        ),
        "counts that do not fit": squeezed(
            pb.Batch(
                health=[pb.Health(frames_seen=2**64 - 1)] * 3, health_seq=[4, 5, 6], box_scale=4, score_scale=255
            ).SerializeToString()
        ),
        "a tombstone beyond all numbers": squeezed(
            pb.Batch(
                tombstones=[pb.Tombstone(first=4, last=2**64 - 1)], box_scale=4, score_scale=255
            ).SerializeToString()
        ),
        "no scale": squeezed(pb.Batch(tombstones=[pb.Tombstone(first=4, last=6)]).SerializeToString()),
    }


BOMBS = _bombs()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_hostile_body_costs_its_own_records_and_nothing_else(
    ingest: Ingest, link: PlainLink, lake: Path, kind: str
) -> None:
    hostile = seal(STREAM, 4, 6, BOMBS[kind])

    ingest.take_in([sent(frames_message(1, 3)), sent(hostile), sent(frames_message(1, 2), gateway="gw-2")])
    ingest.take_in([sent(frames_message(7, 8))])

    assert [ack.last for ack in link.told("gw-1")] == [6, 8]
    assert link.told("gw-2") == [StreamAck(STREAM, 2)]
    assert Lake(lake).query("SELECT first, last FROM losses").to_pylist() == [{"first": 4, "last": 6}]
    assert seqs_in_lake(lake) == list(range(1, 9))
    Lake(lake).query("SELECT * FROM frames").to_pylist()  # every row can be read


def test_an_envelope_that_claims_a_huge_range_ends_only_its_own_stream(
    ingest: Ingest, link: PlainLink, lake: Path
) -> None:
    ingest.take_in([sent(frames_message(1, 3)), sent(bad_message(1, 2**60)), sent(frames_message(1, 2), gateway="gw")])
    ingest.take_in([sent(frames_message(1, 5, stream=OTHER_STREAM)), sent(frames_message(3, 4), gateway="gw")])

    assert [ack.last for ack in link.told("gw")] == [2, 4]
    assert [(ack.stream, ack.last) for ack in link.told("gw-1")] == [(STREAM, 2**60), (OTHER_STREAM, 5)]
    losses = Lake(lake).query("SELECT gateway, first, sum(last - first + 1) AS n FROM losses GROUP BY ALL").to_pylist()
    assert losses == [{"gateway": "gw-1", "first": 4, "n": 2**60 - 3}]


def _damaged(payload: bytes) -> bytes:
    return payload[:-1] + bytes([payload[-1] ^ 1])


@pytest.mark.parametrize(
    "garbage",
    [
        sent(b""),
        sent(b"TG"),
        sent(b"\x00" * 1000),
        sent(b"XX" + frames_message(1, 3)[2:]),
        sent(_damaged(frames_message(1, 3))),
        sent(seal(STREAM, 0, 3, b"")),
        sent(seal(STREAM, 5, 3, b"")),
        sent(seal(STREAM, 1, 2**63, b"")),
        Message("tidegate/v1/results/7/", frames_message(1, 3)),
        Message("tidegate/v1/results/99/gw-1", frames_message(1, 3)),
        Message(f"tidegate/v1/results/{(shard_of('gw-1') + 1) % 64}/gw-1", frames_message(1, 3)),
        Message("tidegate/v1/results/7/gw/../../etc", frames_message(1, 3)),
        Message("elsewhere", frames_message(1, 3)),
    ],
    ids=lambda value: f"{value.topic[-12:]} {len(value.payload)} bytes",
)
def test_garbage_is_ignored(ingest: Ingest, link: PlainLink, lake: Path, garbage: Message) -> None:
    ingest.take_in([garbage])
    assert link.sent == []
    assert ingest.commits == 0

    ingest.take_in([sent(frames_message(1, 2))])

    assert link.told() == [StreamAck(STREAM, 2)]


def test_ten_thousand_bad_messages_are_one_line_in_the_log(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        ingest.take_in([sent(b"garbage"), sent(bad_message(1, 9))])

    assert len(caplog.records) == 1
    assert "not taken in as they are" in caplog.text


def test_a_flood_of_one_gateway_leaves_the_others_alone(ingest: Ingest, link: PlainLink, lake: Path) -> None:
    flood = [sent(frames_message(1, 1, stream=f"{k:016x}"), gateway="flood") for k in range(1, 400)]

    ingest.take_in([*flood, sent(frames_message(1, 2))])

    assert link.told("gw-1") == [StreamAck(STREAM, 2)]
    opened = Lake(lake).query("SELECT count(DISTINCT stream) AS n FROM frames WHERE gateway = 'flood'").to_pylist()
    assert opened == [{"n": 64}]


def test_the_quarantine_is_bounded(ingest: Ingest, lake: Path) -> None:
    for k in range(MAX_FILES_OF_A_GATEWAY + 10):
        ingest.take_in([sent(bad_message(k + 1, k + 1)), sent(bad_message(k + 1, k + 1), gateway="..")])
        if k == 5:
            ingest.quarantine = Quarantine(DiskStore(lake / "quarantine"))  # restarted

    folders = {folder.name: len(list(folder.iterdir())) for folder in (lake / "quarantine").iterdir()}
    assert folders == {"gateway-gw-1": MAX_FILES_OF_A_GATEWAY, "gateway-..": MAX_FILES_OF_A_GATEWAY}
    assert len(quarantined(lake, 42, 42)) == 1


def test_who_fills_the_quarantine_loses_his_own_evidence(
    ingest: Ingest, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.ingest.quarantine.MAX_BYTES", 10_000)
    ingest.take_in([sent(bad_message(1, 1), gateway="modest")])

    for k in range(1, 20):
        ingest.take_in([sent(seal(STREAM, k, k, bytes(1_000)), gateway="greedy")])

    quarantine = lake / "quarantine"
    assert len(list((quarantine / "gateway-modest").iterdir())) == 1
    assert sum(file.stat().st_size for file in quarantine.rglob("*.bin")) <= 10_000


def test_nothing_is_acknowledged_while_the_lake_is_away(
    ingest: Ingest, link: PlainLink, lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    ingest.take_in([sent(frames_message(1, 2))])
    away = lake.with_name("away")
    lake.rename(away)
    lake.write_text("a file")
    with running(ingest):
        link.inbox.put(sent(frames_message(3, 4)))
        wait_until(lambda: "the lake cannot take anything in" in caplog.text)
    assert [ack.last for ack in link.told()] == [2]

    lake.unlink()
    away.rename(lake)
    ingest.take_in([sent(frames_message(3, 4))])

    assert [ack.last for ack in link.told()] == [2, 4]
    assert seqs_in_lake(lake) == [1, 2, 3, 4]


def test_an_acknowledgement_that_was_not_sent_is_sent_with_the_repeat(
    ingest: Ingest, link: PlainLink, lake: Path
) -> None:
    link.down = True
    ingest.take_in([sent(frames_message(1, 2))])
    link.down = False

    ingest.take_in([sent(frames_message(1, 2))])

    assert link.told() == [StreamAck(STREAM, 2)]
    assert seqs_in_lake(lake) == [1, 2]


def test_what_was_gathered_is_committed_before_the_end(lake: Path, link: PlainLink) -> None:
    slow = worker(lake, link, commit_s=60)
    for first in (1, 3, 5):
        link.inbox.put(sent(frames_message(first, first + 1)))

    with running(slow):
        wait_until(link.inbox.empty)

    assert link.told() == [StreamAck(STREAM, 6)]
    assert seqs_in_lake(lake) == list(range(1, 7))


def test_a_round_holds_no_more_than_fits_into_the_memory(
    lake: Path, link: PlainLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.ingest.worker.MAX_BODY_BYTES_OF_A_ROUND", 1)
    slow = worker(lake, link, commit_s=60)
    for first in (1, 3, 5):
        link.inbox.put(sent(frames_message(first, first + 1)))

    with running(slow):
        wait_until(lambda: len(link.told()) == 3)

    assert slow.commits == 3


def test_two_workers_on_two_shards_share_a_lake(lake: Path) -> None:
    links = [PlainLink(), PlainLink()]
    workers = [worker(lake, link) for link in links]
    networks = [BadNetwork(f"gw-{k}", 60, random.Random(k)) for k in range(2)]

    threads = [
        threading.Thread(target=_send_all, args=(worker, link, [network]))
        for worker, link, network in zip(workers, links, networks, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for network in networks:
        assert seqs_in_lake(lake, gateway=network.gateway) == list(range(1, 61))


def test_two_workers_on_the_same_stream_bring_no_repeat(lake: Path) -> None:
    links = [PlainLink(), PlainLink()]
    workers = [worker(lake, link) for link in links]

    threads = [
        threading.Thread(target=_send_all, args=(worker, link, [BadNetwork("gw-1", 60, random.Random(k))]))
        for k, (worker, link) in enumerate(zip(workers, links, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seqs_in_lake(lake) == list(range(1, 61))


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "lake"


@pytest.fixture(scope="module")
def shared_worker(shared_lake: Path) -> Ingest:
    return worker(shared_lake, PlainLink())


@given(
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=4),
    cut=st.integers(0, 40),
    extra=st.binary(max_size=40),
)
@settings(max_examples=60, deadline=None)
def test_no_body_stops_the_worker(shared_worker: Ingest, flips: list[tuple[int, int]], cut: int, extra: bytes) -> None:
    """A batch damaged inside its compression, under a right envelope: taken in or refused, and the lake readable."""
    gateway = f"gw-{next(_numbers)}"
    records: list[Record] = [frame(1), frame(2), health(class_mix={"a": 1}), frame(4)]
    plain = bytearray(zstandard.ZstdDecompressor().decompress(open_envelope(message(records)).body))
    for at, flip in flips:
        plain[at % len(plain)] ^= flip
    body = squeezed(bytes(plain[: len(plain) - cut]) + extra)

    shared_worker.take_in([sent(seal(STREAM, 1, 4, body), gateway=gateway)])

    assert shared_worker.sink.last(StreamKey(gateway, STREAM)) == 4


def test_the_lake_is_readable_after_all_that(shared_worker: Ingest, shared_lake: Path) -> None:
    folder = shared_lake
    assert shared_worker.commits

    Lake(folder).query("SELECT * FROM results").to_pylist()
    Lake(folder).health()
    assert set(in_lake(folder).values()) == {1}


@contextlib.contextmanager
def running(ingest: Ingest) -> Iterator[None]:
    """The worker's loop on a thread of its own, asked to stop when the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=ingest.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(3000):
        if condition():
            return
        tick.wait(0.02)
    raise AssertionError("it did not happen within 60 s")


def _send_all(ingest: Ingest, link: PlainLink, networks: list[BadNetwork]) -> None:
    for _ in range(200):
        for network in networks:
            ingest.take_in(network.burst())
            for ack in link.told(network.gateway):
                network.told(ack)
        if all(network.done for network in networks):
            return
    raise AssertionError(f"not everything was acknowledged: {networks}")
