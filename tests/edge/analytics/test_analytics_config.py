"""What the configuration of analytics refuses, and what it says."""

import json
from pathlib import Path
from typing import Any

import pytest

from edge.analytics.config import AnalyticsConfig, PictureConfig, TrackerConfig
from edge.cameras.config import CameraConfig
from models.configuration import parse
from models.errors import ConfigError

SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]


def test_a_configuration_is_read_from_a_table() -> None:
    config = parse(
        AnalyticsConfig,
        {
            "lines": [{"name": "door", "start": [0.5, 1], "end": [0.5, 0], "labels": ["person"], "alarm": True}],
            "zones": [{"name": "yard", "polygon": SQUARE, "dwell_s": 5, "alarms": ["dwell"], "picture": "crop"}],
            "tracker": {"start_score": 0.5},
            "aggregate_s": 30,
        },
        where="gateway.toml",
    )
    assert config.lines[0].start == (0.5, 1.0)
    assert config.zones[0].polygon[2] == (0.9, 0.9)
    assert config.zones[0].alarms == ("dwell",)
    assert config.aggregate_s == 30.0


def test_the_example_of_the_documentation_is_understood() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "analytics.md"
    example = page.read_text().split("```json")[1].split("```")[0]
    camera = parse(CameraConfig, json.loads(example), where="docs/analytics.md")
    assert camera.analytics.zones[0].alarms == ("dwell",)
    assert camera.analytics.pictures == PictureConfig()
    assert camera.analytics.tracker == TrackerConfig()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"lines": [{"name": "door", "start": [0.5, 1], "end": [0.5, 1]}]}, "start and end must differ"),
        ({"lines": [{"name": "door", "start": [320, 0], "end": [0.5, 1]}]}, r"parts of the picture \(0..1\), got"),
        ({"lines": [{"name": "door", "start": [0.5], "end": [0.5, 1]}]}, "a point is x and y"),
        ({"lines": [{"name": "front door", "start": [0, 0], "end": [1, 1]}]}, "line name must be"),
        ({"zones": [{"name": "yard", "polygon": [[0, 0], [1, 1]]}]}, "must have at least 3 points, got 2"),
        ({"zones": [{"name": "yard", "polygon": [[0, 0], [0.5, 0.5], [1, 1]]}]}, "must enclose an area"),
        (
            {"zones": [{"name": "yard", "polygon": SQUARE, "alarms": ["dwell"]}]},
            "'dwell', which the zone does not tell",
        ),
        ({"zones": [{"name": "yard", "polygon": SQUARE, "alarms": ["fire"]}]}, "must be one of enter, leave"),
        ({"zones": [{"name": "yard", "polygon": SQUARE, "dwell_s": 0}]}, "dwell_s must be in"),
        ({"zones": [{"name": "yard", "polygon": SQUARE, "count": 0}]}, "count must be in"),
        ({"zones": [{"name": "a", "polygon": SQUARE}] * 2}, "must have different names"),
        ({"zones": [{"name": "a", "polygon": SQUARE}], "track": False}, "leaves nothing to cross a"),
        ({"aggregate_s": 0.5}, "aggregate_s must be 0 or in"),
        ({"tracker": {"start_score": 2}}, "start_score must be in"),
        ({"tracker": {"confirm": 0}}, "confirm must be in"),
        ({"tracker": {"lost_s": 0}}, "lost_s must be in"),
        ({"pictures": {"quality": 0}}, "quality must be in"),
        ({"pictures": {"daily_bytes": -1}}, "daily_bytes must be in"),
        ({"pictures": {"longest_px": 1}}, "longest_px must be in"),
        ({"pictures": {"gap_s": -1}}, "gap_s must be in"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_reason(data: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(AnalyticsConfig, data, where="gateway.toml")
