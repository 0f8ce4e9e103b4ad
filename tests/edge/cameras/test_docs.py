"""What docs/cameras.md shows works, and it leaves nothing out."""

import dataclasses
import json
import re
from pathlib import Path
from typing import get_args

from edge.cameras.config import CameraConfig, MotionConfig
from edge.figures import CameraState
from models.configuration import parse

PAGE = (Path(__file__).parents[3] / "docs" / "cameras.md").read_text()


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    camera = parse(CameraConfig, json.loads(example), where="docs/cameras.md")
    assert camera.motion == MotionConfig()


def test_every_setting_and_every_state_is_on_the_page() -> None:
    settings = {field.name for kind in (CameraConfig, MotionConfig) for field in dataclasses.fields(kind)}
    for word in (settings - {"name", "uri", "numbered", "analytics"}) | set(get_args(CameraState)):
        assert f"`{word}`" in PAGE, word
