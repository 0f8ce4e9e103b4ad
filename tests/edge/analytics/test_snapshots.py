"""Pictures of events: what they show, what they hide, and what they cost."""

import cv2
import numpy as np
import pytest

from edge.analytics.config import AnalyticsConfig, LineConfig, PictureConfig, PictureKind, ZoneConfig
from edge.analytics.snapshots import Snapshots
from models.detections import Detections, UInt8
from models.records import Event, PicturePart

BOX = (200.0, 100.0, 280.0, 220.0)
NOTHING = Detections.empty()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def config_of(kind: PictureKind, pictures: PictureConfig | None = None) -> AnalyticsConfig:
    zone = ZoneConfig("yard", ((0, 0), (1, 0), (1, 1)), count=2, picture=kind)
    line = LineConfig("door", (0, 0), (1, 1))
    return AnalyticsConfig(zones=(zone,), lines=(line,), pictures=pictures or PictureConfig(gap_s=0))


def scene() -> UInt8:
    """Noise, which compresses badly, and a red thing in the box."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    image[100:220, 200:280] = (0, 0, 255)
    return image


def event(*, frame: int = 7, kind: str = "enter", rule: str = "yard", alarm: bool = False, box: bool = True) -> Event:
    xyxy = BOX if box else (0.0, 0.0, 0.0, 0.0)
    return Event("line-1", frame, 1_790_000_000_000_000, kind, rule, "person", 3, alarm=alarm, xyxy=xyxy)


def picture_of(parts: list[PicturePart]) -> UInt8:
    assert [part.part for part in parts] == list(range(len(parts)))
    assert {part.parts for part in parts} == {len(parts)}
    assert len({part.picture for part in parts}) == 1
    jpeg = np.frombuffer(b"".join(part.data for part in parts), np.uint8)
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def test_a_snapshot_is_the_whole_frame_in_parts_that_fit_a_message() -> None:
    taken, parts = Snapshots(config_of("snapshot"), camera="line-1").take(scene(), event(), NOTHING, ())
    shown = picture_of(parts)
    assert shown.shape == (480, 640, 3)
    assert shown[160, 240, 2] > 200
    assert (taken.picture, parts[0].kind, parts[0].xyxy) == (parts[0].picture, "snapshot", (0, 0, 640, 480))
    assert (parts[0].camera, parts[0].frame, parts[0].at_us) == ("line-1", 7, 1_790_000_000_000_000)
    assert max(len(part.data) for part in parts) <= 4096
    assert len(parts) > 10


def test_a_crop_is_the_box_with_a_quarter_around_it() -> None:
    _, parts = Snapshots(config_of("crop"), camera="line-1").take(scene(), event(), NOTHING, ())
    assert (parts[0].kind, parts[0].xyxy) == ("crop", (180, 70, 300, 250))
    shown = picture_of(parts)
    assert shown.shape == (180, 120, 3)
    assert (shown[40:140, 30:90, 2] > 200).all()


def test_a_crop_of_several_things_is_a_snapshot() -> None:
    _, parts = Snapshots(config_of("crop"), camera="line-1").take(scene(), event(kind="count", box=False), NOTHING, ())
    assert parts[0].kind == "snapshot"


def test_a_large_picture_is_made_smaller() -> None:
    small = config_of("snapshot", PictureConfig(longest_px=160, gap_s=0))
    _, parts = Snapshots(small, camera="line-1").take(scene(), event(), NOTHING, ())
    assert picture_of(parts).shape == (120, 160, 3)
    assert parts[0].xyxy == (0, 0, 640, 480)


def test_classes_to_blur_are_unrecognisable_in_whatever_leaves() -> None:
    image = scene()
    image[100:220, 200:240] = 255  # half white, half red
    found = Detections.of([BOX], [0.3], [0])
    seen = image.copy()
    for kind in ("snapshot", "crop"):
        snapshots = Snapshots(config_of(kind), camera="line-1", blur=("face",))
        plain = picture_of(snapshots.take(image, event(), found, ("person",))[1]).astype(int)
        hidden = picture_of(snapshots.take(image, event(frame=8), found, ("face",))[1]).astype(int)
        rows, columns = (slice(110, 210), slice(210, 270)) if kind == "snapshot" else (slice(40, 140), slice(30, 90))
        assert np.abs(np.diff(plain[rows, columns, 0], axis=1)).max() > 150, "an edge between white and red"
        assert np.abs(plain[rows, columns] - hidden[rows, columns]).mean() > 5
        assert len(np.unique(hidden[rows, columns].reshape(-1, 3) // 32, axis=0)) < 40, "a few cells of one colour each"
    assert (image == seen).all(), "the camera's picture is left alone"


def test_no_picture_where_none_is_wanted() -> None:
    snapshots = Snapshots(config_of("crop"), camera="line-1")
    crossing = event(kind="line", rule="door")
    assert snapshots.take(scene(), crossing, NOTHING, ()) == (crossing, [])
    assert snapshots.withheld == 0


def test_two_events_of_a_frame_share_their_snapshot() -> None:
    snapshots = Snapshots(config_of("snapshot"), camera="line-1")
    first, parts = snapshots.take(scene(), event(), NOTHING, ())
    second, none = snapshots.take(scene(), event(kind="count", box=False), NOTHING, ())
    later, more = snapshots.take(scene(), event(frame=8), NOTHING, ())
    assert (first.picture, none) == (second.picture, [])
    assert later.picture != first.picture
    assert len(more) == len(parts)


def test_that_the_budget_is_used_up_is_said_once_and_that_it_is_not_any_more(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    budget = PictureConfig(daily_bytes=2_400_000, gap_s=0)
    snapshots = Snapshots(config_of("snapshot", budget), camera="line-1", clock=clock)
    with caplog.at_level("INFO"):
        for frame in range(10):
            snapshots.take(scene(), event(frame=frame), NOTHING, ())
        clock.now += 3600
        snapshots.take(scene(), event(frame=11), NOTHING, ())
    assert [record.message for record in caplog.records] == [
        "camera line-1: pictures are withheld, its daily_bytes (2400000) are used up",
        "camera line-1: there is room for pictures again",
    ]


def test_pictures_keep_to_their_budget_whatever_happens() -> None:
    clock = Clock()
    budget = PictureConfig(daily_bytes=2_400_000, gap_s=0)
    snapshots = Snapshots(config_of("snapshot", budget), camera="line-1", clock=clock)
    image, sent, taken = scene(), 0, 0
    for frame in range(600):  # an event every three minutes for thirty hours
        _, parts = snapshots.take(image, event(frame=frame, alarm=frame % 2 == 0), NOTHING, ())
        sent += sum(len(part.data) for part in parts)
        taken += bool(parts)
        clock.now += 180
    assert sent <= 2_400_000 * 30 / 24 + 100_000 + 200_000  # what was saved up at first, and one picture too many
    assert sent >= 0.8 * 2_400_000 * 30 / 24
    assert snapshots.withheld == 600 - taken


def test_at_most_an_hour_of_the_budget_is_saved_up() -> None:
    clock = Clock()
    snapshots = Snapshots(config_of("snapshot", PictureConfig(daily_bytes=4_800_000, gap_s=0)), camera="a", clock=clock)
    clock.now += 86_400
    taken = [snapshots.take(scene(), event(frame=frame), NOTHING, ())[1] for frame in range(20)]
    sent = sum(len(part.data) for parts in taken for part in parts)
    assert 200_000 <= sent <= 200_000 + 200_000  # and one picture too many


def test_pictures_come_apart_but_an_alarm_has_its_own() -> None:
    clock = Clock()
    snapshots = Snapshots(config_of("snapshot", PictureConfig(gap_s=10)), camera="line-1", clock=clock)
    taken = []
    for frame, (second, alarm) in enumerate([(0, False), (5, False), (6, True), (12, False), (17, False)]):
        clock.now = 1000.0 + second
        taken.append(bool(snapshots.take(scene(), event(frame=frame, alarm=alarm), NOTHING, ())[1]))
    assert taken == [True, False, True, False, True]


def test_no_budget_is_no_picture() -> None:
    snapshots = Snapshots(config_of("crop", PictureConfig(daily_bytes=0, gap_s=0)), camera="line-1")
    assert snapshots.take(scene(), event(alarm=True), NOTHING, ())[1] == []


def test_who_vanished_is_not_looked_for_in_the_frame_after() -> None:
    snapshots = Snapshots(config_of("crop"), camera="line-1")
    gone, here = event(frame=5, kind="leave"), event(frame=7)
    told = snapshots.illustrate(scene(), (gone, here), NOTHING, (), frame=7)
    assert told[0] == gone
    assert isinstance(told[1], Event)
    assert told[1].picture
    assert all(isinstance(record, PicturePart) and record.picture == told[1].picture for record in told[2:])
    assert len(told) > 2


def test_what_has_too_many_parts_is_withheld() -> None:
    huge = np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)
    config = config_of("snapshot", PictureConfig(longest_px=4096, quality=100, gap_s=0))
    snapshots = Snapshots(config, camera="line-1", part_bytes=256)
    assert snapshots.take(huge, event(), NOTHING, ())[1] == []
    assert snapshots.withheld == 1


@pytest.mark.parametrize(
    "box",
    [(-50.0, -50.0, 20.0, 20.0), (630.0, 470.0, 900.0, 900.0), (0.0, 0.0, 640.0, 480.0), (640.0, 10.0, 640.0, 10.0)],
)
def test_a_crop_stays_inside_the_picture(box: tuple[float, float, float, float]) -> None:
    there = Event("line-1", 7, 0, "enter", "yard", "person", 3, xyxy=box)
    _, parts = Snapshots(config_of("crop"), camera="line-1").take(scene(), there, NOTHING, ())
    left, top, right, bottom = parts[0].xyxy
    assert 0 <= left < right <= 640
    assert 0 <= top < bottom <= 480
