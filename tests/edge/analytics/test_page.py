"""The questions of docs/analytics.md, asked of a lake that holds what a gateway's analytics told."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from cloud.lake.runs import Run, StoredPicture
from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig, ZoneConfig
from models.batch import batch_of
from models.records import Event, FrameResult, Record
from models.wire import decode_columns, encode_batch, open_envelope
from tests.edge.analytics.stage import Actor, perform

PAGE = Path(__file__).resolve().parents[3] / "docs" / "analytics.md"
QUESTIONS = re.findall(r'tidegate query "(.+)"', PAGE.read_text())
START_US = 1_790_000_040_000_000
SECOND = 1_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two minutes at one frame a second; somebody comes to the ramp after 20 s and stays for 60 s."""
    folder = tmp_path_factory.mktemp("lake") / "lake"
    ramp = ZoneConfig("ramp", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)), dwell_s=20)
    analytics = Analytics(AnalyticsConfig(zones=(ramp,)), camera="gate")
    records: list[Record] = []
    for number, shown in enumerate(perform([Actor(lambda t: (300, 300), present=range(20, 81))], 120)):
        at_us = START_US + number * SECOND
        moment = Moment(number, at_us, float(number), (640, 480), "coco", 1)
        seen = analytics.see(moment, shown.found, ("person",) * len(shown.found))
        records += [
            FrameResult.of("gate", number, at_us * 1000, "coco", 1, seen.found, seen.labels),
            *seen.records,
        ]
    records += analytics.away()
    entry, event = next((place, record) for place, record in enumerate(records) if isinstance(record, Event))
    records[entry] = replace(event, picture="00000000000000aa")
    columns = decode_columns(open_envelope(encode_batch(batch_of("00000000000000a1", 1, records))))
    picture = StoredPicture("00000000000000aa", "gate", 22, START_US, "crop", (0, 0, 1, 1), 1, "file:///picture.jpg")
    DeltaSink(folder).commit([Run("g1", (columns,), ((entry + 1, picture),))], at=datetime.now(UTC))
    return Lake(folder)


def ask(lake: Lake, about: str) -> list[dict[str, object]]:
    (question,) = [question for question in QUESTIONS if about in question]
    return list(lake.query(question).to_pylist())


def test_who_has_been_there_for_long(lake: Lake) -> None:
    (dwelling,) = ask(lake, "dwell")
    assert (dwelling["rule"], dwelling["label"], dwelling["value"]) == ("ramp", "person", 20)


def test_how_many_there_are_in_the_mean(lake: Lake) -> None:
    rows = ask(lake, "FROM aggregates")
    means = {(row["started_at"].minute, row["zone"], row["label"]): row["mean"] for row in rows}  # type: ignore[attr-defined]
    first = datetime.fromtimestamp(START_US / SECOND, UTC).minute
    assert means == {
        (first, "", ""): 40 / 60,
        (first, "", "person"): 40 / 60,
        (first, "ramp", "person"): 40 / 60,
        (first + 1, "", ""): 21 / 60,
        (first + 1, "", "person"): 21 / 60,
        (first + 1, "ramp", "person"): 21 / 60,
    }


def test_how_long_each_was_in_the_picture(lake: Lake) -> None:
    (stay,) = ask(lake, "seconds")
    assert (stay["track"], stay["label"], stay["seconds"]) == (1, "person", 60)


def test_which_picture_goes_with_an_event(lake: Lake) -> None:
    (entry,) = ask(lake, "JOIN pictures")
    assert (entry["rule"], entry["label"], entry["uri"]) == ("ramp", "person", "file:///picture.jpg")
