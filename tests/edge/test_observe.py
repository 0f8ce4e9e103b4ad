"""What becomes of a camera's frames once the model has answered."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.analytics.analytics import Analytics
from edge.analytics.config import AnalyticsConfig, LineConfig, PictureConfig, ZoneConfig
from edge.analytics.snapshots import Snapshots
from edge.loading import LoadedModel
from edge.observe import Observer
from edge.polygons import Polygon
from edge.spool import Spool
from edge.vitals import Standing, Vitals
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.frame import Frame
from models.manifest import read_manifest
from models.records import Event, FrameResult, PicturePart, Record
from models.runner import open_runner
from tests.edge.lamp import HEIGHT, WIDTH, lamp_run

HERE = ZoneConfig("here", ((0, 0), (1, 0), (1, 1), (0, 1)), picture="snapshot")
CONFIG = AnalyticsConfig(zones=(HERE,), aggregate_s=0, pictures=PictureConfig(gap_s=0, quality=95))


class Site:
    """An observer, and all that it put into its spool."""

    def __init__(self, folder: Path, spool: Spool) -> None:
        run = lamp_run(folder)
        manifest = read_manifest(run)
        self._model = LoadedModel(manifest, open_runner(run, manifest), "fp32", "digest")
        self._spool = spool
        self._number = 0
        self.vitals = Vitals("lamp")
        self.vitals.add_camera("belt")

    def observer(
        self, config: AnalyticsConfig = CONFIG, *, regions: tuple[Polygon, ...] = (), blur: tuple[str, ...] = ()
    ) -> Observer:
        return Observer(
            "belt",
            regions=regions,
            analytics=Analytics(config, camera="belt"),
            snapshots=Snapshots(config, camera="belt", blur=blur),
            challenger=None,
            spool=self._spool,
            vitals=self.vitals,
        )

    def show(self, observer: Observer, image: UInt8, *boxes: tuple[float, float, float, float], times: int = 1) -> None:
        """Lamps in the next frames."""
        for _ in range(times):
            frame = Frame(image, self._number, 1_790_000_000_000_000_000 + self._number * 10**8, self._number * 10**8)
            self._number += 1
            observer.answered(frame, self._model, Detections.of(boxes, [0.9] * len(boxes), [0] * len(boxes)), 1.0)

    def fail(self, observer: Observer) -> None:
        """The model raises at the next frame."""
        frame = Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), self._number, 1, 1)
        self._number += 1
        observer.failed(frame, self._model, ModelError("it raised"))

    def records(self) -> list[Record]:
        self._spool.flush()
        return [
            record
            for stream in self._spool.streams()
            for _, record in self._spool.read(stream.name, after=0, limit=10_000)
        ]

    def pictures(self) -> list[UInt8]:
        parts = defaultdict(list)
        for record in self.records():
            if isinstance(record, PicturePart):
                parts[record.picture].append(record.data)
        jpegs = [np.frombuffer(b"".join(pieces), np.uint8) for pieces in parts.values()]
        return [np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8) for jpeg in jpegs]

    def events(self) -> list[tuple[str, int]]:
        return [(record.kind, record.track) for record in self.records() if isinstance(record, Event)]


def stripes(picture: UInt8, rows: slice) -> float:
    """How different a row is from the next where the stripes are, in the mean."""
    return float(np.abs(np.diff(picture[:, 110:130, 0].astype(int), axis=0))[rows].mean())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Spool(tmp_path / "spool.db") as spool:
        yield Site(tmp_path, spool)


def test_while_a_camera_is_frozen_or_dark_nothing_is_followed(site: Site) -> None:
    observer, image = site.observer(), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    lamp = (20.0, 20.0, 60.0, 60.0)
    site.show(observer, image, lamp, times=5)
    observer.shows(anything=False)
    site.show(observer, image, lamp, times=5)
    observer.shows(anything=True)
    site.show(observer, image, lamp, times=5)
    tracks = [record.detections.tracks.tolist() for record in site.records() if isinstance(record, FrameResult)]
    assert tracks == [[1]] * 5 + [[0]] * 5 + [[2]] * 5
    assert site.events() == [("enter", 1), ("leave", 1), ("enter", 2)]


def test_what_the_model_overlooks_in_just_one_frame_is_blurred_all_the_same(site: Site) -> None:
    observer = site.observer(blur=("lamp",))
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[::2, 100:140] = 250  # stripes, a pixel high
    site.show(observer, image, (100, 20, 140, 60), times=4)
    site.show(observer, image, (100, 20, 140, 60), (20, 20, 60, 60), times=2)
    site.show(observer, image, (20, 20, 60, 60))  # the other comes to count in the very frame
    pictures = site.pictures()
    assert len(pictures) == 2
    for picture in pictures:
        assert stripes(picture, slice(25, 55)) < 20


def test_what_cannot_be_blurred_keeps_pictures_in_and_is_said_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    observer = site.observer(blur=("lamp", "face"))
    site.show(observer, np.zeros((HEIGHT, WIDTH, 3), np.uint8), (20, 20, 60, 60), times=5)
    assert site.events() == [("enter", 1)]
    assert site.pictures() == []
    assert [record.message for record in caplog.records] == [
        "camera belt: lamp@0 knows no face: it can't be blurred, so no picture of an event leaves"
    ]


def test_a_class_that_the_model_does_not_know_is_said_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    config = AnalyticsConfig(lines=(LineConfig("door", (0, 0), (1, 1), labels=("lmap",)),), aggregate_s=0)
    site.show(site.observer(config), np.zeros((HEIGHT, WIDTH, 3), np.uint8), (20, 20, 60, 60), times=5)
    assert [record.message for record in caplog.records] == [
        "camera belt: lamp@0 knows no lmap: lines and zones that name only that tell nothing"
    ]


def test_what_is_outside_the_regions_is_no_event_but_blurred_on_every_picture(site: Site) -> None:
    left_half: tuple[Polygon, ...] = (((0, 0), (0.5, 0), (0.5, 1), (0, 1)),)
    observer = site.observer(regions=left_half, blur=("lamp",))
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[::2, 100:140] = 250  # stripes, a pixel high
    site.show(observer, image, (20, 20, 60, 60), (100, 20, 140, 60), times=4)
    assert site.events() == [("enter", 1)]
    (picture,) = site.pictures()
    assert stripes(picture, slice(80, None)) > 100
    assert stripes(picture, slice(25, 55)) < 20


def test_a_frame_that_is_answered_after_the_end_is_not_recorded(site: Site) -> None:
    observer = site.observer()
    site.show(observer, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    observer.end()
    site.show(observer, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert [record.frame for record in site.records() if isinstance(record, FrameResult)] == [0]


def test_health_tells_which_pictures_and_which_frames_there_are_none_of(site: Site) -> None:
    poor = AnalyticsConfig(zones=(HERE,), aggregate_s=0, pictures=PictureConfig(daily_bytes=24, gap_s=0))
    observer = site.observer(poor)
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for left in (10.0, 40.0, 70.0):
        site.show(observer, dark, (left, 10, left + 20, 30), times=5)
        site.show(observer, dark, times=40)
    site.fail(observer)
    observer.end()
    site.fail(observer)  # which the camera counts as skipped
    (health,) = site.vitals.cut(None, Standing(), at_us=1)
    assert len(site.pictures()) == 1, "the first is paid for by those after it"
    assert health.cameras[0].pictures_withheld == len([1 for kind, _ in site.events() if kind == "enter"]) - 1 > 0
    assert (health.cameras[0].failed, health.errors, health.last_error) == (1, 1, "it raised")
