"""What two models said of a picture is found in the picture again, and the picture is the same."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.both_answers import Answer, BothAnswers, Found, answers_in, with_answers
from models.errors import DataError

_JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 120, np.uint8))[1].tobytes()
EDGES = st.integers(0, 40_000).map(lambda tenths: tenths / 10)
FOUND = st.builds(
    Found, st.text(max_size=20), st.integers(0, 10_000).map(lambda n: n / 10_000), st.tuples(*[EDGES] * 4)
)
ANSWERS = st.builds(Answer, st.text(max_size=20), st.integers(0, 999), st.lists(FOUND, max_size=5).map(tuple))
BOTH = st.builds(BothAnswers, st.tuples(st.integers(1, 9999), st.integers(1, 9999)), ANSWERS, ANSWERS)


@given(both=BOTH)
def test_what_was_said_is_read_back(both: BothAnswers) -> None:
    jpeg = with_answers(_JPEG, both)

    assert answers_in(jpeg) == both
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert (shown == 120).all()


def test_of_more_than_a_segment_holds_the_surest_stay() -> None:
    found = tuple(
        Found("a label of some length " * 16, round(1 - n / 1000, 3), (0.0, 0.0, 1.0, 1.0)) for n in range(300)
    )
    both = BothAnswers((64, 48), Answer("coco", 1, found), Answer("coco", 2, found[:1]))

    read = answers_in(with_answers(_JPEG, both))

    assert read is not None
    assert 100 < len(read.ours.found) < 300
    assert read.ours.found == found[: len(read.ours.found)]
    assert read.theirs == both.theirs


def test_a_picture_without_answers_has_none() -> None:
    assert answers_in(_JPEG) is None
    another = b"\xff\xd8\xff\xfe\x00\x07hello" + _JPEG[2:]
    assert answers_in(another) is None


@pytest.mark.parametrize(
    "comment",
    [
        b'{"tidegate": "both answers 1"}',
        b'{"tidegate": "both answers 1", "size": [1, 2], "ours": {"found": [[]]}, "theirs": {}}',
        b'{"tidegate": "both answers 1", "size": 7}',
        b'{"tidegate": "both answers 1", "size": [1, 2], "ours": {"found": [["x", NaN, 0, 0, 0, 0]]}}',
    ],
)
def test_answers_that_make_no_sense_are_refused(comment: bytes) -> None:
    jpeg = b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + _JPEG[2:]
    with pytest.raises(DataError):
        answers_in(jpeg)


@given(st.binary(max_size=200))
def test_what_is_no_jpeg_is_said_or_holds_nothing(garbage: bytes) -> None:
    for jpeg in (garbage, b"\xff\xd8" + garbage, _JPEG[:20] + garbage):
        try:
            assert answers_in(jpeg) is None
        except DataError:
            continue
