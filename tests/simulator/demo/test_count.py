"""The demo's count tells loss, repeats, downtime and skipping apart."""

from simulator.demo.count import LakeFrame, count_frames, lost_at_swaps, releases_in_order
from simulator.witness import RecordedFrame


def recorded(*numbers: int, stream: str = "a") -> list[RecordedFrame]:
    return [RecordedFrame(stream, seq, "line", number) for seq, number in enumerate(numbers, start=1)]


def landed(rows: list[RecordedFrame], release: int = 1) -> list[LakeFrame]:
    return [LakeFrame(row.stream, row.seq, row.camera, row.frame, release) for row in rows]


def test_all_is_well_when_what_was_shown_is_recorded_and_landed() -> None:
    rows = recorded(*range(10))
    count = count_frames("g", shown=range(10), recorded=rows, lake=landed(rows), kills=0)
    assert (count.recorded, count.in_lake, count.lost, count.twice, count.unknown) == (10, 10, 0, 0, 0)
    assert (count.down, count.skipped) == (0, 0)


def test_a_recorded_frame_that_is_not_in_the_lake_is_lost() -> None:
    rows = recorded(0, 1, 2)
    assert count_frames("g", shown=range(3), recorded=rows, lake=landed(rows[:2]), kills=0).lost == 1


def test_a_frame_is_twice_whether_its_seq_or_its_number_repeats() -> None:
    rows = recorded(0, 1, 2)
    same_seq = landed(rows) + landed(rows[:1])
    assert count_frames("g", shown=range(3), recorded=rows, lake=same_seq, kills=0).twice == 1
    again = [*rows, RecordedFrame("b", 1, "line", 2)]
    assert count_frames("g", shown=range(3), recorded=again, lake=landed(again), kills=0).twice == 1


def test_a_row_that_nobody_recorded_is_unknown() -> None:
    rows = recorded(0, 1)
    stranger = LakeFrame("f", 9, "line", 7, 1)
    assert count_frames("g", shown=range(2), recorded=rows, lake=[*landed(rows), stranger], kills=0).unknown == 1


def test_the_widest_gap_is_the_kill_and_others_are_skipped() -> None:
    rows = recorded(0, 1, 3, 4, 20, 21)
    count = count_frames("g", shown=range(22), recorded=rows, lake=landed(rows), kills=1)
    assert (count.down, count.skipped) == (15, 1)


def test_a_swap_loses_the_numbers_missing_between_two_releases() -> None:
    before, after = landed(recorded(0, 1, 2), 1), landed(recorded(3, 4, stream="b"), 2)
    late = landed(recorded(7, 8, stream="c"), 1)
    assert lost_at_swaps([*late, *before, *after]) == [0, 2]


def test_releases_are_listed_in_the_order_in_which_they_answered() -> None:
    first, bad, back = landed(recorded(0, 1), 1), landed(recorded(2, 3), 2), landed(recorded(4, 5, stream="b"), 1)
    assert releases_in_order([*back, *first, *bad]) == [1, 2, 1]
    assert releases_in_order([]) == []
