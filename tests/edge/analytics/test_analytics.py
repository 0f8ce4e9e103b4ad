"""Events and aggregates of things whose ways are known."""

import pickle
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig, LineConfig, TrackerConfig, ZoneConfig
from models.detections import Detections
from models.records import Aggregate, Event
from tests.edge.analytics.stage import Actor, perform

SIZE = (640, 480)
LABELS = ("person", "bottle")
FPS = 10
MINUTE_US = 60_000_000
START_US = 1_790_000_040_000_000  # a whole minute
QUIET = AnalyticsConfig(aggregate_s=0)

DOOR = LineConfig("door", (0.5, 1.0), (0.5, 0.0))  # upwards through the middle: to the left of it is what is left
YARD = ZoneConfig("yard", ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)), anchor="centre")


def moment(number: int, *, at_us: int | None = None, release: int = 1, whole: bool = False) -> Moment:
    when = START_US + number * 1_000_000 // FPS if at_us is None else at_us
    return Moment(number, when, number / FPS, SIZE, "coco", release, whole)


def watch(config: AnalyticsConfig, cast: list[Actor], frames: int, *, jitter: float = 0.0) -> list[Event]:
    """The events of a performance, the end of the camera included."""
    analytics = Analytics(config, camera="line-1")
    records: list[Event | Aggregate] = []
    for number, shown in enumerate(perform(cast, frames, jitter=jitter)):
        labels = tuple(LABELS[kind] for kind in shown.found.class_ids.tolist())
        records += analytics.see(moment(number), shown.found, labels).records
    return events_of([*records, *analytics.away()])


def events_of(records: Iterable[Event | Aggregate]) -> list[Event]:
    return [record for record in records if isinstance(record, Event)]


def told(events: list[Event]) -> list[tuple[str, str, int, int, float]]:
    return [(event.kind, event.label, event.track, event.frame, round(event.value, 3)) for event in events]


def test_every_detection_comes_back_in_its_place_with_its_track() -> None:
    analytics = Analytics(AnalyticsConfig(aggregate_s=60), camera="line-1")
    found = Detections.of([[0, 0, 50, 50], [300, 0, 350, 50]], [0.9, 0.3], [1, 0])
    seen = analytics.see(moment(0), found, ("bottle", "person"))
    assert seen.found.xyxy is found.xyxy
    assert seen.labels == ("bottle", "person")
    assert seen.found.tracks.tolist() == [1, 0]


def test_a_restarted_gateway_uses_no_number_again() -> None:
    numbers: set[int] = set()
    frame = 0
    for _ in range(3):
        analytics = Analytics(AnalyticsConfig(), camera="line-1")
        for _ in range(2):
            rng = np.random.default_rng(frame)
            corner = rng.uniform(0, 10_000, (300, 2))
            found = Detections.of(np.hstack((corner, corner + 20)), [0.9] * 300, [0] * 300)
            tracks = analytics.see(moment(frame), found, ("person",) * 300).found.tracks
            fresh = {track for track in tracks.tolist() if track} - numbers
            assert not numbers or min(fresh) > max(numbers)
            numbers |= fresh
            frame += 1
    assert len(numbers) > 1700


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (lambda t: (120 + 10 * t, 200), [1]),  # to the right
        (lambda t: (520 - 10 * t, 200), [-1]),  # to the left
        (lambda t: (120 + 10 * t if t < 30 else 720 - 10 * t, 200), [1, -1]),  # and back
        (lambda t: (120 + 4 * t, 200), []),  # comes near, and no farther
        (lambda t: (322 if t % 2 else 318, 200), []),  # stands on it
        (lambda t: (120 + 10 * t, 500), []),  # its feet pass below
    ],
)
def test_a_line_tells_who_crosses_and_which_way(path: object, values: list[float]) -> None:
    events = watch(AnalyticsConfig(lines=(DOOR,), aggregate_s=0), [Actor(path)], 50, jitter=0.01)  # type: ignore[arg-type]
    assert [(event.kind, event.rule, event.value) for event in events] == [("line", "door", value) for value in values]


@pytest.mark.parametrize(("height", "crossings"), [(50, 0), (240, 1), (430, 0)])  # the line is from 336 to 144
def test_who_passes_beyond_either_end_of_a_line_has_not_crossed_it(height: float, crossings: int) -> None:
    short = LineConfig("door", (0.5, 0.7), (0.5, 0.3), anchor="centre")
    actor = Actor(lambda t: (120 + 10 * t, height))
    assert len(watch(AnalyticsConfig(lines=(short,), aggregate_s=0), [actor], 50)) == crossings


def test_who_crosses_before_it_is_sure_is_told_once_it_is() -> None:
    actor = Actor(lambda t: (270 + 40 * t, 200), present=range(10))  # at 320 between the second and the third frame
    (event,) = watch(AnalyticsConfig(lines=(DOOR,), aggregate_s=0, tracker=TrackerConfig(confirm=4)), [actor], 10)
    assert (event.frame, event.value) == (3, 1)


def test_frames_that_were_skipped_count_as_time() -> None:
    analytics = Analytics(QUIET, camera="line-1")
    for number in [*range(10), 24, 25]:  # it moves by more than twice its width while nobody looks
        found = Detections.of([[10 * number, 100, 10 * number + 60, 220]], [0.8], [0])
        assert analytics.see(moment(number), found, ("person",)).found.tracks.tolist() == [1]


def test_what_was_given_up_is_forgotten() -> None:
    """Nothing is kept of tracks that are over, or a gateway that runs for months would run full."""
    config = AnalyticsConfig(zones=(YARD,), lines=(DOOR,), aggregate_s=0, tracker=TrackerConfig(confirm=1, lost_s=0.1))
    analytics = Analytics(config, camera="line-1")
    sizes = []
    for number in range(2000):
        x = 100 + 200 * (number // 5 % 3)  # something else every five frames
        found = Detections.empty() if number % 5 else Detections.of([[x, 180, x + 60, 300]], [0.8], [0])
        analytics.see(moment(number), found, ("person",) * len(found))
        if number % 500 == 499:
            sizes.append(len(pickle.dumps(analytics)))
    assert max(sizes) - min(sizes) < 200


def test_a_crossing_says_when_where_who_and_by_which_model() -> None:
    line = LineConfig("door", DOOR.start, DOOR.end, labels=("bottle",), alarm=True)
    cast = [Actor(lambda t: (120 + 10 * t, 200), kind=1), Actor(lambda t: (100 + 10 * t, 380), kind=0)]
    (event,) = watch(AnalyticsConfig(lines=(line,), aggregate_s=0), cast, 50)
    assert (event.camera, event.rule, event.label, event.track, event.alarm) == ("line-1", "door", "bottle", 1, True)
    assert (event.model, event.release, round(event.score, 3)) == ("coco", 1, 0.8)
    assert event.at_us == START_US + event.frame * 100_000
    assert event.frame == 21  # at 320 in frame 20, and clearly beyond it in the next
    assert event.xyxy == (300, 140, 360, 260)


def test_who_crosses_while_hidden_has_crossed() -> None:
    actor = Actor(lambda t: (220 + 8 * t, 200), hidden=range(10, 16))
    assert len(watch(AnalyticsConfig(lines=(DOOR,), aggregate_s=0), [actor], 40)) == 1


def test_a_zone_tells_who_comes_dwells_and_goes() -> None:
    zone = ZoneConfig("yard", YARD.polygon, anchor="centre", dwell_s=2.0, alarms=("dwell",))
    actor = Actor(lambda t: (64 + 8 * t, 240))  # within from frame 12 on, on its edge in frame 52
    events = watch(AnalyticsConfig(zones=(zone,), aggregate_s=0), [actor], 70)
    # out is 2 % of the picture's height out, two frames later
    assert told(events) == [
        ("enter", "person", 1, 12, 0.0),
        ("dwell", "person", 1, 32, 2.0),
        ("leave", "person", 1, 54, 4.2),
    ]
    assert [event.alarm for event in events] == [False, True, False]


def test_who_vanishes_within_a_zone_left_when_last_seen() -> None:
    actor = Actor(lambda t: (320, 240), present=range(20))
    events = watch(AnalyticsConfig(zones=(YARD,), aggregate_s=0), [actor], 60)
    assert told(events) == [("enter", "person", 1, 2, 0.0), ("leave", "person", 1, 19, 1.7)]


def test_who_is_within_when_the_camera_goes_left_when_last_seen() -> None:
    events = watch(AnalyticsConfig(zones=(YARD,), aggregate_s=0), [Actor(lambda t: (320, 240))], 20)
    assert told(events)[-1] == ("leave", "person", 1, 19, 1.7)


def test_who_trembles_on_the_edge_enters_once() -> None:
    actor = Actor(lambda t: (160 + 3 * (-1) ** t, 240))
    events = watch(AnalyticsConfig(zones=(YARD,), aggregate_s=0), [actor], 60, jitter=0.01)
    assert [event.kind for event in events] == ["enter", "leave"]


def test_a_zone_tells_when_it_is_full_and_again_after_it_was_not() -> None:
    zone = ZoneConfig("yard", YARD.polygon, anchor="centre", enter=False, leave=False, count=2)
    cast = [Actor(lambda t: (250, 240)), Actor(lambda t: (400, 240) if t < 20 or t >= 40 else (550, 240))]
    jump = AnalyticsConfig(zones=(zone,), aggregate_s=0, tracker=TrackerConfig(lost_s=0.2))
    events = watch(jump, cast, 60)
    assert [(event.kind, event.value, event.track, event.xyxy) for event in events] == [
        ("count", 2.0, 0, (0, 0, 0, 0))
    ] * 2


def test_only_wanted_labels_are_told() -> None:
    zone = ZoneConfig("yard", YARD.polygon, labels=("bottle",), anchor="centre")
    cast = [Actor(lambda t: (250, 240), kind=0), Actor(lambda t: (400, 240), kind=1)]
    assert {event.label for event in watch(AnalyticsConfig(zones=(zone,), aggregate_s=0), cast, 20)} == {"bottle"}


def test_a_glimpse_is_no_event() -> None:
    actor = Actor(lambda t: (320, 240), present=range(5, 7))
    assert watch(AnalyticsConfig(zones=(YARD,), lines=(DOOR,), aggregate_s=0), [actor], 30) == []


def test_a_new_release_that_sorts_its_labels_otherwise_changes_no_track() -> None:
    analytics = Analytics(AnalyticsConfig(zones=(YARD,), aggregate_s=0), camera="line-1")
    records: list[Event | Aggregate] = []
    for number in range(20):
        release = 1 if number < 10 else 2
        found = Detections.of([[290, 180, 350, 300]], [0.8], [0 if release == 1 else 7])
        seen = analytics.see(moment(number, release=release), found, ("person",))
        assert seen.found.tracks.tolist() == [1]
        records += seen.records
    assert told(events_of(records)) == [("enter", "person", 1, 2, 0.0)]


def test_a_picture_of_another_size_has_its_zones_in_the_same_place() -> None:
    analytics = Analytics(AnalyticsConfig(zones=(YARD,), aggregate_s=0, tracker=TrackerConfig(confirm=1)), camera="a")
    small = Moment(0, START_US, 0.0, (320, 240), "coco", 1)
    found = Detections.of([[100, 60, 130, 120]], [0.8], [0])  # its centre is within a yard of 80..240, 60..180
    assert [event.kind for event in events_of(analytics.see(small, found, ("person",)).records)] == ["enter"]


def test_who_is_cut_off_by_the_pictures_edge_is_in_a_zone_that_reaches_there() -> None:
    zone = ZoneConfig("floor", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)))
    config = AnalyticsConfig(zones=(zone,), aggregate_s=60, tracker=TrackerConfig(confirm=1))
    analytics = Analytics(config, camera="line-1")
    found = Detections.of([[600, 300, 640, 480]], [0.8], [0])
    assert [event.kind for event in events_of(analytics.see(moment(0), found, ("person",)).records)] == ["enter"]
    assert (0, "floor", "person", 1, 1, 1, 1) in rows_of(analytics.away())


def test_a_classifier_is_not_followed_but_counted() -> None:
    analytics = Analytics(AnalyticsConfig(aggregate_s=60), camera="line-1")
    found = Detections.of([[0, 0, *SIZE]], [0.9], [0])
    for number in range(5):
        seen = analytics.see(moment(number, whole=True), found, ("good",))
        assert seen.found.tracks.tolist() == [0]
    everything, good = analytics.away()
    assert isinstance(everything, Aggregate)
    assert isinstance(good, Aggregate)
    assert (everything.label, everything.frames, everything.detections) == ("", 5, 5)
    assert (good.label, good.detections, good.tracks, good.most) == ("good", 5, 0, 1)


def rows_of(records: Iterable[Event | Aggregate]) -> list[tuple[int, str, str, int, int, int, int]]:
    return [
        ((it.start_us - START_US) // MINUTE_US, it.zone, it.label, it.frames, it.detections, it.tracks, it.most)
        for it in records
        if isinstance(it, Aggregate)
    ]


def test_a_window_adds_up_by_class_and_zone() -> None:
    analytics = Analytics(AnalyticsConfig(zones=(YARD,), aggregate_s=60), camera="line-1")
    cast = [
        Actor(lambda t: (320, 240), kind=1),
        Actor(lambda t: (560, 240), present=range(100)),
        Actor(lambda t: (80, 240), present=range(50, 150)),
    ]
    records: list[Event | Aggregate] = []
    for number, shown in enumerate(perform(cast, 650)):
        labels = tuple(LABELS[kind] for kind in shown.found.class_ids.tolist())
        records += analytics.see(moment(number), shown.found, labels).records
    assert rows_of(records) == [
        (0, "", "", 600, 800, 3, 3),
        (0, "", "bottle", 600, 600, 1, 1),
        (0, "", "person", 600, 200, 2, 2),
        (0, "yard", "bottle", 600, 600, 1, 1),
    ]
    assert rows_of(analytics.away()) == [
        (1, "", "", 50, 50, 1, 1),
        (1, "", "bottle", 50, 50, 1, 1),
        (1, "yard", "bottle", 50, 50, 1, 1),
    ]


def test_an_empty_scene_is_told_from_none() -> None:
    analytics = Analytics(AnalyticsConfig(aggregate_s=60), camera="line-1")
    for number in range(10):
        analytics.see(moment(number), Detections.empty(), ())
    assert rows_of(analytics.away()) == [(0, "", "", 10, 0, 0, 0)]
    assert analytics.away() == ()


def test_a_clock_that_jumps_ends_a_window_and_no_track() -> None:
    analytics = Analytics(AnalyticsConfig(zones=(YARD,), aggregate_s=60), camera="line-1")
    jumps = {10: -1440 * MINUTE_US, 20: 525_600 * MINUTE_US}  # back by a day, forward by a year
    records: list[Event | Aggregate] = []
    offset = 0
    for number in range(30):
        offset += jumps.get(number, 0)
        found = Detections.of([[290, 180, 350, 300]], [0.8], [0])
        seen = analytics.see(moment(number, at_us=START_US + offset + number * 100_000), found, ("person",))
        records += seen.records
    records += analytics.away()
    assert [row[3] for row in rows_of(records) if row[2] == ""] == [10, 10, 10]
    assert [event.kind for event in events_of(records)] == ["enter", "leave"]
    assert events_of(records)[-1].value == pytest.approx(2.7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 90)), max_size=60))
def test_who_leaves_has_entered_and_nothing_is_counted_twice(frames: list[tuple[int, int, int]]) -> None:
    config = AnalyticsConfig(
        zones=(YARD,), lines=(DOOR,), aggregate_s=10, tracker=TrackerConfig(confirm=1, start_score=0.0)
    )
    analytics = Analytics(config, camera="line-1")
    records: list[Event | Aggregate] = []
    number = total = 0
    for seed, count, step in frames:
        number += step
        rng = np.random.default_rng(seed)
        corner = rng.uniform(0, 400, (count, 2))
        found = Detections.of(np.hstack((corner, corner + rng.uniform(5, 200, (count, 2)))), [0.9] * count, [0] * count)
        total += count
        records += analytics.see(moment(number), found, ("person",) * count).records
    records += analytics.away()
    inside: set[int] = set()
    for event in events_of(records):
        if event.kind == "enter":
            assert event.track not in inside
            inside.add(event.track)
        elif event.kind == "leave":
            inside.remove(event.track)
            assert event.value >= 0
    assert not inside
    everything = [row for row in rows_of(records) if row[1] == row[2] == ""]
    assert sum(row[3] for row in everything) == len(frames)
    assert sum(row[4] for row in everything) == total
    assert total == sum(row[4] for row in rows_of(records) if row[1] == "" and row[2])
