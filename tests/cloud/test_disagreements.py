"""What gateways saw differently comes out of the lake as a folder that labelling tools read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import tidegate
from cloud.boxes.coco import read_coco
from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink
from edge.analytics.analytics import Moment
from edge.candidates import Candidates, Disagreement
from greengrass.objects import DiskStore
from models.agreement import Sight
from models.detections import Detections
from models.mqtt import Message
from models.records import PicturePart, Record
from models.topics import results_topic
from tests.cloud.ingest.world import PlainLink
from tests.cloud.lake.results import CAPTURED_US, message, picture

SIZE = (2560, 1440)  # twice of what leaves


def disagreement(number: int, release: int) -> list[PicturePart]:
    """What a gateway sends of a frame on which release 1 saw a dog, and `release` a cat and a bicycle."""
    width, height = SIZE
    ours = Sight(Detections.of([[200, 100, 600, 500]], [0.9], [0]), ("dog",))
    theirs = Sight(Detections.of([[200, 100, 600, 500], [0, 0, 100, 100]], [0.8, 0.6], [0, 1]), ("cat", "bicycle"))
    image = np.full((height, width, 3), 90, np.uint8)
    moment = Moment(number, CAPTURED_US + number, 0.0, SIZE, "coco", 1)
    nothing = Sight(Detections.empty(), ())
    one = Disagreement("gate/1", moment, image, ours, theirs, ("coco", release), nothing, 0.9)
    return Candidates(99_999, blur={}).picture(one)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two disagreements with release 2, one with release 3, and a snapshot of an event."""
    lake = tmp_path / "lake"
    pictures = Pictures(DiskStore(lake / "objects"))
    worker = Ingest(PlainLink(), DeltaSink(lake), Quarantine(DiskStore(lake / "quarantine")), pictures, commit_s=0.05)
    records: list[Record] = [
        *disagreement(1, 2),
        *picture(9),
        *disagreement(2, 3),
        *disagreement(3, 2),
    ]
    worker.take_in([Message(results_topic("gw-1"), message(records, first=1))])
    return lake


def call(*words: object) -> int:
    return tidegate.main(["disagreements", *map(str, words), "--days", "36500"])


def test_pictures_come_with_both_answers(lake: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    assert call(out, "--lake", lake, "--model", "coco@2") == 0

    names = sorted(path.name for path in (out / "images").iterdir())
    assert [name.rpartition("_")[0] for name in names] == ["gw-1_gate-1_1", "gw-1_gate-1_3"]
    shown = cv2.imread(str(out / "images" / names[0]))
    assert shown is not None
    assert shown.shape == (720, 1280, 3)
    theirs = read_coco(out, [out / "annotations" / "theirs.json"])
    assert theirs.labels == ("bicycle", "cat", "dog")
    assert [[(theirs.labels[box.class_id], box.xyxy) for box in one.boxes] for one in theirs.pictures] == [
        [("cat", (100.0, 50.0, 300.0, 250.0)), ("bicycle", (0.0, 0.0, 50.0, 50.0))]
    ] * 2
    ours = json.loads((out / "annotations" / "ours.json").read_bytes())
    assert [row["score"] for row in ours["annotations"]] == [pytest.approx(0.9, abs=1e-3)] * 2


def test_the_newest_are_taken_and_what_cannot_be_had_is_said(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path / "newest", "--lake", lake, "--limit", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 1
    assert [path.name[:13] for path in (tmp_path / "newest" / "images").iterdir()] == ["gw-1_gate-1_3"]

    stored = [path for path in (lake / "objects").rglob("*") if path.is_file() and path.stat().st_size > 1_000]
    for path in stored[:2]:
        path.unlink()
    assert call(tmp_path / "rest", "--lake", lake, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["pictures"], len(said["missing"])) == (1, 2)


def test_a_folder_that_holds_something_is_left_alone(
    lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept.txt").write_text("mine")

    assert call(tmp_path, "--lake", lake) == 2

    assert "not empty" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()
