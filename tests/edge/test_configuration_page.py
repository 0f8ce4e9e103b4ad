"""docs/configuration.md names every setting with its default, and says what a change of it takes."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

import tidegate
from edge.analytics.config import AnalyticsConfig, LineConfig, PictureConfig, TrackerConfig, ZoneConfig
from edge.byte_budget import ByteBudget
from edge.cameras.config import CameraConfig, MotionConfig
from edge.config import GatewayConfig, UplinkConfig
from edge.config_changes import Changes, differences
from tests.edge.test_config_changes import CONFIG, OTHER

PAGE = (Path(tidegate.__file__).parent / "docs" / "configuration.md").read_text()
SECTIONS: dict[str, type] = {
    "The gateway": GatewayConfig,
    "`[uplink]`": UplinkConfig,
    "`[byte_budget]`": ByteBudget,
    "`[[cameras]]`": CameraConfig,
    "`[cameras.motion]`": MotionConfig,
    "`[cameras.analytics]`": AnalyticsConfig,
    "`[cameras.analytics.tracker]`": TrackerConfig,
    "`[[cameras.analytics.lines]]`": LineConfig,
    "`[[cameras.analytics.zones]]`": ZoneConfig,
    "`[cameras.analytics.pictures]`": PictureConfig,
}
WORDS = {
    "everything": "anew",
    "uplink": "the uplink",
    "shipping": "at once",
    "trial": "at once",
    "reporting": "at once",
    "challenger": "the challenger",
    "left": "the cameras that differ",
}


def rows(section: str) -> dict[str, list[str]]:
    """The cells of the section's table, by setting."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (found,) = [part for part in text if part.splitlines()[0] == section]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`"): row[1:] for row in cells}


def default(field: "dataclasses.Field[object]") -> str:
    """As the page has it; empty where there is none, or a table of its own."""
    value = field.default
    if field.default_factory is not dataclasses.MISSING or value in (dataclasses.MISSING, None):
        return ""
    return f"`{value}`" if isinstance(value, Path) else f"`{json.dumps(value)}`"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_there_with_its_default(section: str) -> None:
    told = {name: cells[0] for name, cells in rows(section).items()}
    assert told == {field.name: default(field) for field in dataclasses.fields(SECTIONS[section])}


def test_what_a_change_takes_is_what_is_said() -> None:
    for name, cells in rows("The gateway").items():
        before = dataclasses.replace(CONFIG, package=Path("first")) if name == "allow_unsigned" else CONFIG
        changes = differences(before, dataclasses.replace(before, **{name: OTHER[name]}))
        changed = [field.name for field in dataclasses.fields(Changes) if getattr(changes, field.name)]
        assert cells[-1] == WORDS[changed[0]], name
