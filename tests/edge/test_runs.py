"""Runs give back the records that they were made of, and know which are damaged."""

from hypothesis import given
from hypothesis import strategies as st

from edge.runs import MAX_BYTES, MAX_RECORDS, pack, part, split, unpack

RECORDS = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=30)


@given(records=RECORDS)
def test_a_run_gives_back_its_records(records: list[bytes]) -> None:
    assert unpack(pack(records), len(records)) == records


@given(records=RECORDS, data=st.data())
def test_a_part_of_a_run_is_a_run(records: list[bytes], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(records) - 1))
    end = data.draw(st.integers(begin + 1, len(records)))
    assert unpack(part(pack(records), len(records), begin, end), end - begin) == records[begin:end]


@given(records=RECORDS, data=st.data())
def test_a_damaged_record_is_known_and_none_is_made_up(records: list[bytes], data: st.DataObject) -> None:
    run = bytearray(pack(records))
    place = data.draw(st.integers(0, len(run) - 1))
    run[place] ^= data.draw(st.integers(1, 255))
    found = unpack(bytes(run), len(records))
    assert len(found) == len(records)
    assert all(got is None or got == record for got, record in zip(found, records, strict=True))
    # and it stays so in what is cut out of it
    half = len(records) // 2 + 1
    assert unpack(part(bytes(run), len(records), 0, half), half) == found[:half]


@given(garbage=st.binary(max_size=300), count=st.integers(1, 20))
def test_garbage_is_damaged_records(garbage: bytes, count: int) -> None:
    assert len(unpack(garbage, count)) == count


@given(records=st.lists(st.binary(max_size=3), max_size=400))
def test_portions_are_bounded_and_in_order(records: list[bytes]) -> None:
    portions = list(split(records))
    assert [record for portion in portions for record in portion] == records
    assert all(0 < len(portion) <= MAX_RECORDS for portion in portions)


def test_a_large_record_is_a_portion_of_its_own() -> None:
    large = bytes(MAX_BYTES + 1)
    assert [len(portion) for portion in split([b"a", large, large, b"b", b"c"])] == [1, 1, 1, 2]
