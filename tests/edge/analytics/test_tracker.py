"""The tracker on things whose identity is known."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.analytics.config import TrackerConfig
from edge.analytics.tracker import Followed, Tracker
from models.detections import Detections
from tests.edge.analytics.stage import Actor, Shown, perform

FRAME_S = 1 / 15


def follow(shown: list[Shown], *, config: TrackerConfig | None = None, step: int = 1) -> list[Followed]:
    tracker = Tracker(config or TrackerConfig())
    return [
        tracker.follow(frame.found, frame.found.class_ids.tolist(), frames=step, seconds=step * FRAME_S)
        for frame in shown[::step]
    ]


def numbers_of(shown: list[Shown], followed: list[Followed], *, step: int = 1) -> dict[int, list[int]]:
    """Each actor's track numbers in the order of the frames, those without a track left out."""
    numbers = defaultdict(list)
    for frame, answer in zip(shown[::step], followed, strict=True):
        for who, track in zip(frame.who.tolist(), answer.tracks.tolist(), strict=True):
            if who >= 0 and track:
                numbers[who].append(track)
    return numbers


def switches(numbers: list[int]) -> int:
    return sum(a != b for a, b in itertools.pairwise(numbers))


def box(x: float, y: float, width: float = 60, height: float = 120) -> Detections:
    return Detections.of([[x, y, x + width, y + height]], [0.8], [0])


def test_who_cross_each_others_way_keep_their_numbers() -> None:
    cast = [Actor(lambda t: (50 + 6 * t, 200)), Actor(lambda t: (590 - 6 * t, 220)), Actor(lambda t: (320, 240))]
    shown = list(perform(cast, 90, jitter=0.02, seed=1))
    numbers = numbers_of(shown, follow(shown))
    assert [set(numbers[who]) for who in range(3)] == [{numbers[0][0]}, {numbers[1][0]}, {numbers[2][0]}]
    assert len({numbers[0][0], numbers[1][0], numbers[2][0]}) == 3


@pytest.mark.parametrize(
    ("speed", "frames"),
    [(0, 25), (3, 25), (8, 12)],  # 8 pixels a frame: it moves its own width in 8 frames, and is hidden for 12
)
def test_what_was_hidden_is_known_again(speed: float, frames: int) -> None:
    actor = Actor(lambda t: (100 + speed * t, 200), hidden=range(20, 20 + frames))
    shown = list(perform([actor], 60, jitter=0.01, seed=2))
    assert set(numbers_of(shown, follow(shown))[0]) == {1}


def test_what_is_hidden_for_too_long_is_given_up_and_numbered_anew() -> None:
    shown = list(perform([Actor(lambda t: (100, 200), hidden=range(20, 60))], 70))
    followed = follow(shown)
    assert numbers_of(shown, followed)[0] == [1] * 20 + [2] * 10
    assert [number for answer in followed for number in answer.ended] == [1]


def test_in_a_file_that_is_read_at_full_speed_patience_is_counted_in_looks() -> None:
    tracker = Tracker(TrackerConfig(confirm=1))
    found = box(100, 100)
    tracker.follow(found, [0], frames=1, seconds=0.0)
    ended = [tracker.follow(Detections.empty(), [], frames=1, seconds=0.001).ended for _ in range(30)]
    assert ended == [()] * 29 + [(1,)]


def test_a_new_thing_that_is_missed_once_keeps_its_number() -> None:
    tracker = Tracker(TrackerConfig())
    numbers = [
        tracker.follow(found, [0] * len(found), frames=1, seconds=FRAME_S).tracks.tolist()
        for found in (
            box(100, 100),
            Detections.empty(),
            box(100, 100),
            Detections.empty(),
            Detections.empty(),
            box(100, 100),
        )
    ]
    assert numbers == [[1], [], [1], [], [], [2]]


def test_what_grew_is_hidden_at_the_size_that_it_had() -> None:
    tracker = Tracker(TrackerConfig())
    for number in range(20):
        grown = box(500 - 15 * number, 500 - 15 * number, 60 + 30 * number, 60 + 30 * number)
        tracker.follow(grown, [0], frames=1, seconds=FRAME_S)
    for _ in range(29):
        tracker.follow(Detections.empty(), [], frames=1, seconds=FRAME_S)
    assert tracker.follow(grown, [0], frames=1, seconds=FRAME_S).tracks.tolist() == [1]


def test_low_scores_continue_a_track_and_never_start_one() -> None:
    cast = [
        Actor(lambda t: (100 + 5 * t, 200), faint=range(10, 40)),
        Actor(lambda t: (400, 300), faint=range(60)),
    ]
    shown = list(perform(cast, 60, jitter=0.02, seed=3))
    numbers = numbers_of(shown, follow(shown))
    assert numbers[0] == [1] * 60
    assert numbers[1] == []


def test_a_crowd_with_misses_jitter_and_clutter() -> None:
    """Six actors that bounce about for 400 frames, one detection in ten missed, boxes 4 % off, a false one in two."""
    rng = np.random.default_rng(4)

    def bouncing(start: tuple[float, float], speed: tuple[float, float]) -> Actor:
        def path(t: int) -> tuple[float, float]:
            x, y = start[0] + speed[0] * t, start[1] + speed[1] * t
            return float(abs((x % 1200) - 600) + 20), float(abs((y % 600) - 300) + 30)

        return Actor(path, size=(50, 90))

    cast = [bouncing(tuple(rng.uniform(0, 600, 2)), tuple(rng.uniform(-5, 5, 2))) for _ in range(6)]
    shown = list(perform(cast, 400, jitter=0.04, missed=0.1, clutter=0.5, seed=5))
    numbers = numbers_of(shown, follow(shown))
    assert sum(switches(numbers[who]) for who in range(6)) <= 12
    own = sum(np.bincount(numbers[who]).max() for who in range(6))
    assert own / sum(len(frame.who[frame.who >= 0]) for frame in shown) >= 0.8


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_slow_gateway_follows_too(step: int) -> None:
    cast = [Actor(lambda t: (50 + 4 * t, 150)), Actor(lambda t: (600 - 4 * t, 160)), Actor(lambda t: (300, 40 + 3 * t))]
    shown = list(perform(cast, 120, jitter=0.02, seed=6))
    numbers = numbers_of(shown, follow(shown, step=step), step=step)
    assert sum(switches(numbers[who]) for who in range(3)) == 0


def test_what_moves_by_its_own_width_from_look_to_look_is_followed() -> None:
    shown = list(perform([Actor(lambda t: (50 + 10 * t, 150))], 60, jitter=0.02, seed=6))
    assert set(numbers_of(shown, follow(shown, step=6), step=6)[0]) == {1}


def test_what_comes_two_widths_from_where_another_went_is_another() -> None:
    cast = [Actor(lambda t: (100, 200), present=range(20)), Actor(lambda t: (250, 200), present=range(20, 60))]
    shown = list(perform(cast, 60, jitter=0.02, seed=7))
    numbers = numbers_of(shown, follow(shown))
    assert (set(numbers[0]), set(numbers[1])) == ({1}, {2})


def test_a_class_that_flickers_changes_neither_the_track_nor_its_class() -> None:
    tracker = Tracker(TrackerConfig())
    rng = np.random.default_rng(7)
    for number in range(50):
        kinds = [1 if number > 5 and rng.random() < 0.3 else 0]
        answer = tracker.follow(Detections.of([[100, 100, 160, 220]], [0.8], kinds), kinds, frames=1, seconds=FRAME_S)
        assert answer.tracks.tolist() == [1]
        assert answer.kinds == (0,)


def test_a_class_that_changes_for_good_is_believed() -> None:
    tracker = Tracker(TrackerConfig())
    for number in range(400):
        kinds = [int(number >= 300)]
        found = Detections.of([[100, 100, 160, 220]], [0.8], kinds)
        answer = tracker.follow(found, kinds, frames=1, seconds=FRAME_S)
    assert (answer.tracks.tolist(), answer.kinds) == ([1], (1,))


def test_two_classes_that_overlap_are_two_tracks() -> None:
    """Who rides a bicycle, and the bicycle."""
    cast = [
        Actor(lambda t: (100 + 4 * t, 200), kind=0),
        Actor(lambda t: (104 + 4 * t, 235), size=(90, 80), kind=1, score=0.6),
    ]
    shown = list(perform(cast, 60, jitter=0.02, missed=0.1, seed=8))
    numbers = numbers_of(shown, follow(shown))
    assert len(set(numbers[0])) == len(set(numbers[1])) == 1
    assert numbers[0][0] != numbers[1][0]


def test_one_thing_by_two_names_is_one_track_whichever_name_it_loses() -> None:
    cast = [
        Actor(lambda t: (100 + 4 * t, 200), kind=0, present=range(40)),
        Actor(lambda t: (101 + 4 * t, 201), kind=1, score=0.6, present=range(5, 60)),
    ]
    shown = list(perform(cast, 60, jitter=0.01, seed=9))
    followed = follow(shown)
    numbers = numbers_of(shown, followed)
    assert set(numbers[0]) == {1}
    assert numbers[1] == [1] * 20, "from when the first name is gone on"
    assert max(answer.tracks.max() for answer in followed) == 1


def test_what_came_to_rest_while_nobody_looked_keeps_its_number() -> None:
    tracker = Tracker(TrackerConfig())
    for number in range(20):
        tracker.follow(box(100 + 5 * number, 100), [0], frames=1, seconds=FRAME_S)
    assert tracker.follow(box(200, 100), [0], frames=9000, seconds=600).tracks.tolist() == [1]
    for _ in range(25):
        tracker.follow(Detections.empty(), [], frames=1, seconds=FRAME_S)
    assert tracker.follow(box(200, 100), [0], frames=1, seconds=FRAME_S).tracks.tolist() == [1], "it is still at rest"


def test_time_in_which_nobody_looked_is_no_time_in_which_nothing_was_found() -> None:
    tracker = Tracker(TrackerConfig())
    for _ in range(5):
        tracker.follow(box(100, 100), [0], frames=1, seconds=FRAME_S)
    tracker.follow(Detections.empty(), [], frames=9000, seconds=600)
    for _ in range(3):
        tracker.follow(Detections.empty(), [], frames=1, seconds=FRAME_S)
    assert tracker.follow(box(100, 100), [0], frames=1, seconds=FRAME_S).tracks.tolist() == [1]


def test_a_track_is_sure_from_the_confirming_detection_on() -> None:
    shown = list(perform([Actor(lambda t: (100, 100))], 5))
    assert [answer.sure for answer in follow(shown, config=TrackerConfig(confirm=3))] == [
        (False,),
        (False,),
        (True,),
        (True,),
        (True,),
    ]
    assert follow(shown, config=TrackerConfig(confirm=1))[0].sure == (True,)


def test_the_end_gives_up_all() -> None:
    tracker = Tracker(TrackerConfig(confirm=2))
    two = Detections.of([[0, 0, 50, 50], [200, 0, 250, 50]], [0.8, 0.8], [0, 0])
    tracker.follow(two.where(np.array([0])), [0], frames=1, seconds=FRAME_S)
    tracker.follow(two, two.class_ids.tolist(), frames=1, seconds=FRAME_S)
    assert tracker.end() == (1, 2)
    assert tracker.follow(two, two.class_ids.tolist(), frames=1, seconds=FRAME_S).tracks.tolist() == [3, 4]


@st.composite
def odd_frames(draw: st.DrawFn) -> tuple[Detections, int, float]:
    """Boxes of any shape, also empty, inside out, huge, and on top of each other."""
    edge = st.sampled_from([0.0, 1.0, 5.0, 100.0, 101.0, 640.0, 1e6, -1e6])
    boxes = draw(st.lists(st.tuples(edge, edge, edge, edge), max_size=6))
    scores = [draw(st.sampled_from([0.0, 0.3, 0.4, 0.9, 1.0])) for _ in boxes]
    classes = [draw(st.integers(0, 2)) for _ in boxes]
    frames, seconds = draw(st.sampled_from([(1, 0.0), (1, 0.1), (3, 0.2), (100, 1.0), (2**40, 3e7)]))
    return Detections.of(boxes, scores, classes), frames, seconds


@settings(max_examples=150, deadline=None)
@given(st.lists(odd_frames(), max_size=30))
def test_whatever_is_found_keeps_the_laws(sequence: list[tuple[Detections, int, float]]) -> None:
    tracker = Tracker(TrackerConfig(confirm=2))
    known: set[int] = set()
    gone: set[int] = set()
    for found, frames, seconds in sequence:
        answer = tracker.follow(found, found.class_ids.tolist(), frames=frames, seconds=seconds)
        assert len(answer.tracks) == len(answer.sure) == len(answer.kinds) == len(found)
        numbers = [number for number in answer.tracks.tolist() if number]
        assert len(set(numbers)) == len(numbers), "a track is in one place at a time"
        assert not gone & set(numbers), "what was given up stays so"
        assert all(number > max(known, default=0) for number in set(numbers) - known), "numbers count up"
        assert all(found.scores[row] >= 0.4 for row in range(len(found)) if answer.tracks[row] not in known | {0})
        assert all(answer.tracks[row] for row in range(len(found)) if answer.sure[row])
        known |= set(numbers)
        gone |= set(answer.ended)
