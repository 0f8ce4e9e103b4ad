"""What the nucleus tells the gateway component, by the simulated one's IPC."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.nucleus import SETTLE_S, Nucleus, recheck_ms
from models.errors import UplinkError
from models.mqtt import Broker
from simulator.authority import Authority
from simulator.broker import LocalBroker
from simulator.nucleus.personality import JAVA, LITE, PERSONALITIES, Personality
from tests.simulator.nucleus.rig import THING, Rig, rig

Eventually = Callable[..., None]
Start = Callable[[Personality], AbstractContextManager[Rig]]
DEEP = {"x": 1, "y": {"z": "end"}}
BOTH = pytest.mark.parametrize("personality", PERSONALITIES.values(), ids=PERSONALITIES)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    local = LocalBroker(tmp_path_factory.mktemp("broker"), authority)
    local.start()
    yield authority.device(THING).broker(local.host, local.port)
    local.close()


@pytest.fixture
def start(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """A nucleus that has started this process as its component `talker`."""

    @contextmanager
    def started(personality: Personality) -> Iterator[Rig]:
        with rig(tmp_path, broker, personality) as found:
            monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(found.server.path))
            monkeypatch.setenv("SVCUID", found.token("talker"))
            yield found

    return started


def change(found: Rig, **values: object) -> None:
    with closing(found.client("talker")) as client:
        client.update_configuration(key_path=["deep"], value_to_merge=values)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@BOTH
def test_a_change_is_told_when_no_more_of_it_follows(
    start: Start, personality: Personality, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with start(personality) as found, closing(Nucleus("deep", busy=threading.Event(), clock=clock)) as nucleus:
        assert nucleus.read() == DEEP
        assert nucleus.news() is None
        change(found, x=2)
        eventually(lambda: nucleus._changed_at is not None)
        assert nucleus.news() is None, "more may follow"
        clock.now += SETTLE_S
        assert nucleus.news() == {**DEEP, "x": 2}
        assert nucleus.news() is None
    assert not caplog.records, "that lite gives no notice of updates is expected"


@BOTH
def test_a_nucleus_that_was_away_is_asked_again(start: Start, personality: Personality, eventually: Eventually) -> None:
    clock = Clock()
    with start(personality):
        nucleus = Nucleus("deep", busy=threading.Event(), clock=clock)
        assert nucleus.read() == DEEP
    with closing(nucleus):
        eventually(nucleus._lost.is_set)
        assert nucleus.news() is None
        with pytest.raises(UplinkError, match="the nucleus does not answer"):
            nucleus.read()
        with start(personality) as found:
            change(found, x=3)
            assert nucleus.news() is None, "not before some seconds are over"
            clock.now += 60
            assert nucleus.news() == {**DEEP, "x": 3}
            change(found, x=4)
            eventually(lambda: nucleus._changed_at is not None)
            clock.now += SETTLE_S
            assert nucleus.news() == {**DEEP, "x": 4}, "and it tells of changes again"


@BOTH
def test_without_a_configuration_it_is_empty(start: Start, personality: Personality) -> None:
    with start(personality), closing(Nucleus("shallow", busy=threading.Event())) as nucleus:
        assert nucleus.read() == {}


def test_an_update_waits_while_a_window_is_written(start: Start) -> None:
    busy = threading.Event()
    with start(JAVA) as found, closing(Nucleus("deep", busy=busy)) as nucleus:
        nucleus.read()

        def updating(deployment: str) -> threading.Thread:
            notices, post, off = found.services.notices, found.server.post, threading.Event()
            thread = threading.Thread(target=lambda: notices.ask(deployment, timeout_s=60, post=post, off=off))
            thread.start()
            return thread

        updating("first").join(20)
        busy.set()
        waiting = updating("second")
        waiting.join(0.3)
        assert waiting.is_alive()
        busy.clear()
        waiting.join(20)
        assert not waiting.is_alive()


@pytest.mark.parametrize(
    ("busy", "waiting_s", "wait_ms"),
    [
        (False, 0.0, 0),
        (True, 0.0, 500),
        (True, 4.9, 500),
        (True, 5.0, 0),  # long enough: a record is safe a second after it was made, whatever hangs
        (False, 9.0, 0),
    ],
)
def test_an_update_is_put_off_for_some_seconds_at_most(busy: bool, waiting_s: float, wait_ms: int) -> None:
    assert recheck_ms(busy=busy, waiting_s=waiting_s) == wait_ms


def test_where_the_nucleus_does_not_tell_it_is_asked_now_and_then(start: Start) -> None:
    quiet, clock = replace(LITE, operations=LITE.operations - {"SubscribeToConfigurationUpdate"}), Clock()
    with start(quiet) as found, closing(Nucleus("deep", busy=threading.Event(), clock=clock)) as nucleus:
        assert nucleus.read() == DEEP
        change(found, x=2)
        assert nucleus.news() is None
        for x in (2, 3):
            change(found, x=x)
            clock.now += 30
            assert nucleus.news() == {**DEEP, "x": x}
            assert nucleus.news() is None
