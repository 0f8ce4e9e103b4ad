"""What every sink promises, on each adapter: Delta tables in a folder, and on S3 as moto's server plays it."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.lake.delta import DeltaSink
from cloud.lake.place import Where
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
from tests.s3 import S3

KEY = StreamKey("gw-1", STREAM)

# By name: opens a sink in a place where `in_lake` can count what is kept.
ADAPTERS = ("delta on disk", "delta on s3")


@pytest.fixture(params=ADAPTERS)
def new_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Where]:
    """Places of which each is empty."""
    numbers = itertools.count()
    if request.param == "delta on disk":
        return lambda: tmp_path / f"lake-{next(numbers)}"
    s3: S3 = request.getfixturevalue("s3")
    bucket = s3.new_bucket()
    return lambda: f"s3://{bucket}/lake-{next(numbers)}"


@pytest.fixture
def lake(new_lake: Callable[[], Where]) -> Where:
    return new_lake()


def open_sink(lake: Where) -> Sink:
    return DeltaSink(lake)


def test_nothing_is_known_of_a_new_stream(lake: Where) -> None:
    assert open_sink(lake).last(KEY) == 0


def test_what_is_committed_is_there_for_the_next_worker(lake: Where) -> None:
    sink = open_sink(lake)

    sink.commit([frames_run(1, 3)], at=AT)
    sink.commit([frames_run(4, 5)], at=AT)

    assert sink.last(KEY) == 5
    assert open_sink(lake).last(KEY) == 5
    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]


def test_a_repeat_changes_nothing(lake: Where) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 5)], at=AT)

    for first, last in ((1, 5), (2, 4), (5, 5)):
        sink.commit([frames_run(first, last)], at=AT)
        open_sink(lake).commit([frames_run(first, last)], at=AT)

    assert sink.last(KEY) == 5
    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]


def test_of_an_overlap_only_the_new_part_is_kept(lake: Where) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 5)], at=AT)

    sink.commit([frames_run(3, 8)], at=AT)

    assert seqs_in_lake(lake) == list(range(1, 9))


def test_nothing_is_kept_past_a_gap_and_others_are(lake: Where) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 2)], at=AT)

    sink.commit([frames_run(4, 6), frames_run(1, 2, stream=OTHER_STREAM)], at=AT)

    assert sink.last(KEY) == 2
    assert seqs_in_lake(lake) == [1, 2]
    assert seqs_in_lake(lake, stream=OTHER_STREAM) == [1, 2]


def test_streams_of_two_gateways_are_apart_though_they_have_one_id(lake: Where) -> None:
    sink = open_sink(lake)

    sink.commit([frames_run(1, 4), frames_run(1, 2, gateway="gw-2")], at=AT)

    assert (sink.last(KEY), sink.last(StreamKey("gw-2", STREAM))) == (4, 2)


def test_all_kinds_of_records_advance_a_stream(lake: Where) -> None:
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


def test_a_huge_range_is_one_loss(lake: Where) -> None:
    sink = open_sink(lake)

    sink.commit([run_of([lost(1, 2**60)])], at=AT)

    assert sink.last(KEY) == 2**60
    assert sink.last(StreamKey("gw-2", STREAM)) == 0


def test_a_second_writer_of_the_same_stream_brings_no_repeat(lake: Where) -> None:
    one, other = open_sink(lake), open_sink(lake)

    one.commit([frames_run(1, 5)], at=AT)
    other.commit([frames_run(1, 7)], at=AT)  # has not seen the first, and must look again
    one.commit([run_of([lost(6, 9)], first=6)], at=AT)

    assert one.last(KEY) == 9
    assert seqs_in_lake(lake) == list(range(1, 10))
    assert open_sink(lake).last(KEY) == 9


def test_writers_of_other_streams_do_not_disturb(lake: Where) -> None:
    one, other = open_sink(lake), open_sink(lake)

    for first in (1, 3, 5):
        one.commit([frames_run(first, first + 1)], at=AT)
        other.commit([frames_run(first, first + 1, gateway="gw-2")], at=AT)

    assert (one.last(KEY), other.last(StreamKey("gw-2", STREAM))) == (6, 6)
    assert max(in_lake(lake).values()) == 1


def test_what_others_committed_is_known_after_a_refresh(lake: Where) -> None:
    one, other = open_sink(lake), open_sink(lake)
    one.commit([frames_run(1, 5)], at=AT)

    other.refresh()

    assert other.last(KEY) == 5
    other.commit([frames_run(6, 8)], at=AT)
    assert seqs_in_lake(lake) == list(range(1, 9))


def test_a_second_writer_is_noticed_after_commits_of_other_streams(lake: Where) -> None:
    one, other = open_sink(lake), open_sink(lake)
    other.commit([frames_run(1, 5)], at=AT)

    # takes the first one's handle past the other's commit without a conflict
    one.commit([frames_run(1, 2, stream=OTHER_STREAM)], at=AT)
    one.commit([frames_run(1, 6)], at=AT)

    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5, 6]


def test_a_failure_is_a_lake_error_and_the_next_commit_works(lake: Where, request: pytest.FixtureRequest) -> None:
    sink = open_sink(lake)
    sink.commit([frames_run(1, 2)], at=AT)
    with away(lake, request):
        with pytest.raises(LakeError):
            sink.commit([frames_run(3, 4)], at=AT)
        assert sink.last(KEY) == 2

    sink.commit([frames_run(3, 4)], at=AT)
    assert seqs_in_lake(lake) == [1, 2, 3, 4]


@contextlib.contextmanager
def away(lake: Where, request: pytest.FixtureRequest) -> Iterator[None]:
    """What is kept there is out of reach."""
    if isinstance(lake, Path):
        elsewhere = lake.with_name("away")
        lake.rename(elsewhere)
        lake.write_text("not a folder")
        yield
        lake.unlink()
        elsewhere.rename(lake)
    else:
        s3: S3 = request.getfixturevalue("s3")
        with s3.refusing():
            yield


_COMMITS = st.lists(
    st.tuples(st.sampled_from(["one", "other", "new worker"]), st.integers(1, 12), st.integers(0, 5)),
    min_size=1,
    max_size=8,
)


def test_any_two_writers_leave_each_record_once(lake: Where) -> None:
    numbers = itertools.count()

    @given(commits=_COMMITS)
    @settings(max_examples=15 if isinstance(lake, Path) else 2, deadline=None)
    def law(commits: list[tuple[str, int, int]]) -> None:
        key = StreamKey(f"any-{next(numbers)}", STREAM)
        sinks = {"one": open_sink(lake), "other": open_sink(lake)}
        reached = 0
        for writer, first, length in commits:
            sink = sinks.get(writer) or open_sink(lake)
            sink.refresh()
            assert sink.last(key) == reached
            sink.commit([frames_run(first, first + length, gateway=key.gateway)], at=AT)
            if first <= reached + 1:
                reached = max(reached, first + length)

        assert open_sink(lake).last(key) == reached
        assert seqs_in_lake(lake, gateway=key.gateway) == list(range(1, reached + 1))

    law()
