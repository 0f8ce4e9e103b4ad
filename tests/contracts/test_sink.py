"""What every sink promises."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.lake.delta import DeltaSink
from cloud.lake.runs import StreamKey
from cloud.lake.sink import Sink
from models.errors import LakeError
from tests.cloud.lake.results import (
    AT,
    OTHER_STREAM,
    STREAM,
    aggregate,
    event,
    frame,
    frames_run,
    health,
    in_lake,
    lost,
    run_of,
    seqs_in_lake,
)

KEY = StreamKey("gw-1", STREAM)

# By name: opens a sink on what is kept in a folder, where `in_lake` can count it. One on S3 will join.
ADAPTERS: dict[str, Callable[[Path], Sink]] = {"delta on disk": DeltaSink}


@pytest.fixture(params=ADAPTERS)
def open_sink(request: pytest.FixtureRequest) -> Callable[[Path], Sink]:
    return ADAPTERS[request.param]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_nothing_is_known_of_a_new_stream(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    assert open_sink(lake).last(KEY) == 0


def test_what_is_committed_is_there_for_the_next_worker(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)

    sink.commit([frames_run(1, 3)], at=AT)
    sink.commit([frames_run(4, 5)], at=AT)

    assert sink.last(KEY) == 5
    assert open_sink(lake).last(KEY) == 5
    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]


def test_a_repeat_changes_nothing(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 5)], at=AT)

    for first, last in ((1, 5), (2, 4), (5, 5)):
        sink.commit([frames_run(first, last)], at=AT)
        open_sink(lake).commit([frames_run(first, last)], at=AT)

    assert sink.last(KEY) == 5
    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]


def test_of_an_overlap_only_the_new_part_is_kept(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 5)], at=AT)

    sink.commit([frames_run(3, 8)], at=AT)

    assert seqs_in_lake(lake) == list(range(1, 9))


def test_nothing_is_kept_past_a_gap_and_others_are(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 2)], at=AT)

    sink.commit([frames_run(4, 6), frames_run(1, 2, stream=OTHER_STREAM)], at=AT)

    assert sink.last(KEY) == 2
    assert seqs_in_lake(lake) == [1, 2]
    assert seqs_in_lake(lake, stream=OTHER_STREAM) == [1, 2]


def test_streams_of_two_gateways_are_apart_though_they_have_one_id(
    open_sink: Callable[[Path], Sink], lake: Path
) -> None:
    sink = open_sink(lake)

    sink.commit([frames_run(1, 4), frames_run(1, 2, gateway="gw-2")], at=AT)

    assert (sink.last(KEY), sink.last(StreamKey("gw-2", STREAM))) == (4, 2)


def test_all_kinds_of_records_advance_a_stream(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)

    sink.commit([run_of([lost(1, 4)])], at=AT)
    assert sink.last(KEY) == 4
    sink.commit([run_of([health(), health()], first=5)], at=AT)
    assert sink.last(KEY) == 6
    sink.commit([run_of([frame(7), lost(8, 9), health()], first=7)], at=AT)
    assert sink.last(KEY) == 10
    sink.commit([run_of([event(), event(2, alarm=True), aggregate()], first=11)], at=AT)
    assert sink.last(KEY) == 13

    assert seqs_in_lake(lake) == list(range(1, 14))


def test_a_huge_range_is_one_loss(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)

    sink.commit([run_of([lost(1, 2**60)])], at=AT)

    assert sink.last(KEY) == 2**60
    assert sink.last(StreamKey("gw-2", STREAM)) == 0


def test_a_second_writer_of_the_same_stream_brings_no_repeat(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    one, other = open_sink(lake), open_sink(lake)

    one.commit([frames_run(1, 5)], at=AT)
    other.commit([frames_run(1, 7)], at=AT)  # has not seen the first, and must look again
    one.commit([run_of([lost(6, 9)], first=6)], at=AT)

    assert one.last(KEY) == 9
    assert seqs_in_lake(lake) == list(range(1, 10))
    assert open_sink(lake).last(KEY) == 9


def test_writers_of_other_streams_do_not_disturb(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    one, other = open_sink(lake), open_sink(lake)

    for first in (1, 3, 5):
        one.commit([frames_run(first, first + 1)], at=AT)
        other.commit([frames_run(first, first + 1, gateway="gw-2")], at=AT)

    assert (one.last(KEY), other.last(StreamKey("gw-2", STREAM))) == (6, 6)
    assert max(in_lake(lake).values()) == 1


def test_what_others_committed_is_known_after_a_refresh(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    one, other = open_sink(lake), open_sink(lake)
    one.commit([frames_run(1, 5)], at=AT)

    other.refresh()

    assert other.last(KEY) == 5
    other.commit([frames_run(6, 8)], at=AT)
    assert seqs_in_lake(lake) == list(range(1, 9))


def test_a_second_writer_is_noticed_after_commits_of_other_streams(
    open_sink: Callable[[Path], Sink], lake: Path
) -> None:
    one, other = open_sink(lake), open_sink(lake)
    other.commit([frames_run(1, 5)], at=AT)

    # takes the first one's handle past the other's commit without a conflict
    one.commit([frames_run(1, 2, stream=OTHER_STREAM)], at=AT)
    one.commit([frames_run(1, 6)], at=AT)

    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5, 6]


def test_a_failure_is_a_lake_error_and_the_next_commit_works(open_sink: Callable[[Path], Sink], lake: Path) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 2)], at=AT)
    away = lake.with_name("away")
    lake.rename(away)
    lake.write_text("not a folder")

    with pytest.raises(LakeError):
        sink.commit([frames_run(3, 4)], at=AT)
    assert sink.last(KEY) == 2

    lake.unlink()
    away.rename(lake)
    sink.commit([frames_run(3, 4)], at=AT)
    assert seqs_in_lake(lake) == [1, 2, 3, 4]


_COMMITS = st.lists(
    st.tuples(st.sampled_from(["one", "other", "new worker"]), st.integers(1, 12), st.integers(0, 5)),
    min_size=1,
    max_size=8,
)


@given(commits=_COMMITS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_two_writers_leave_each_record_once(
    open_sink: Callable[[Path], Sink], tmp_path_factory: pytest.TempPathFactory, commits: list[tuple[str, int, int]]
) -> None:
    lake = tmp_path_factory.mktemp("any") / "lake"
    sinks = {"one": open_sink(lake), "other": open_sink(lake)}
    reached = 0
    for writer, first, length in commits:
        sink = sinks.get(writer) or open_sink(lake)
        sink.refresh()
        assert sink.last(KEY) == reached
        sink.commit([frames_run(first, first + length)], at=AT)
        if first <= reached + 1:
            reached = max(reached, first + length)

    assert open_sink(lake).last(KEY) == reached
    assert seqs_in_lake(lake) == list(range(1, reached + 1))
