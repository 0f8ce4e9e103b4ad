"""Settings are understood or refused, by name."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.configuration import document, parse, understood
from models.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Camera:
    name: str
    fps: float | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    cameras: tuple[Camera, ...]
    window_s: float = 60.0
    retries: int = 3
    keep: bool = False
    kind: Literal["ipc", "mqtt"] = "ipc"
    state: Path = Path("state")
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    rest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    made: str = dataclasses.field(default="here", init=False)

    def __post_init__(self) -> None:
        if not 0.1 <= self.window_s <= 3600:
            raise ValueError(f"window_s must be in 0.1..3600, got {self.window_s}")


CAMERAS = [{"name": "belt", "fps": 15}]


def test_settings_are_understood() -> None:
    settings = parse(
        Settings,
        {
            "cameras": [{"name": "belt", "fps": 15}, {"name": "door", "fps": None}],
            "window_s": 5,
            "retries": 4.0,
            "state": "/var/lib/tidegate",
            "weights": {"a": 1},
            "notes": {"any": [None, {"thing": 1}]},
            "rest": {"x": None},
        },
        where="gateway.toml",
    )
    assert settings.cameras == (Camera("belt", 15.0), Camera("door"))
    assert isinstance(settings.cameras[0].fps, float)
    assert (settings.window_s, settings.retries, settings.state) == (5.0, 4, Path("/var/lib/tidegate"))
    assert isinstance(settings.retries, int)
    assert (settings.weights, settings.notes["any"], settings.rest) == ({"a": 1.0}, [None, {"thing": 1}], {"x": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windw_s": 5}, "unknown key 'windw_s'; did you mean 'window_s'?"),
        ({"zzz": 5}, "unknown key 'zzz'; known keys: cameras, window_s"),
        ({5: 5}, "unknown key '5'"),
        ({"made": "there"}, "unknown key 'made'"),
        ({"window_s": "5"}, "window_s must be a number, got '5'"),
        ({"window_s": True}, "window_s must be a number, got True"),
        ({"window_s": 10**400}, "window_s must be a number"),
        ({"window_s": float("nan")}, "window_s must be in 0.1..3600, got nan"),
        ({"window_s": -5}, "window_s must be in 0.1..3600, got -5"),
        ({"window_s": None}, "window_s must be a number, got None"),
        ({"retries": 1.5}, "retries must be a whole number, got 1.5"),
        ({"retries": float("inf")}, "retries must be a whole number, got inf"),
        ({"retries": True}, "retries must be a whole number, got True"),
        ({"keep": 1}, "keep must be true or false, got 1"),
        ({"kind": "http"}, "kind must be one of ipc, mqtt, got 'http'"),
        ({"kind": ["ipc"]}, "kind must be one of ipc, mqtt, got ['ipc']"),
        ({"state": 5}, "state must be a path, got 5"),
        ({"cameras": "belt"}, "cameras must be a list, got 'belt'"),
        ({"cameras": {"name": "belt"}}, "cameras must be a list"),
        ({"cameras": ["belt"]}, "cameras[0]: expected a table of settings, got 'belt'"),
        ({"cameras": [{"fps": 1}]}, "cameras[0]: missing key 'name'"),
        ({"cameras": [{"name": "a"}, {"name": "b", "rate": 1}]}, "cameras[1]: unknown key 'rate'"),
        ({"weights": {"a": "x"}}, "weights.a must be a number, got 'x'"),
        ({"weights": [1]}, "weights must be a table, got [1]"),
        ({"rest": "x" * 100}, "rest must be a table, got 'xxxxx"),
    ],
)
def test_what_is_not_understood_is_named(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Settings, {"cameras": CAMERAS} | change, where="gateway.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("gateway.toml: ")
    assert len(str(caught.value)) < 250


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^gateway.toml: missing key 'cameras'$"):
        parse(Settings, {}, where="gateway.toml")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@given(st.one_of(JSON, st.fixed_dictionaries(dict.fromkeys(Settings.__dataclass_fields__, JSON))))
def test_no_input_ends_in_another_error(data: object) -> None:
    with contextlib.suppress(ConfigError):
        parse(Settings, data, where="x")


CAMERA = st.builds(Camera, st.text(max_size=5), st.none() | st.floats(0, 30))
SETTINGS = st.builds(
    Settings,
    st.lists(CAMERA, max_size=3).map(tuple),
    window_s=st.floats(1, 60),
    retries=st.integers(),
    keep=st.booleans(),
    kind=st.sampled_from(["ipc", "mqtt"]),
    state=st.sampled_from([Path("state"), Path("/var/lib/tidegate")]),
    weights=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False), max_size=2),
)


@given(SETTINGS)
def test_what_is_written_down_is_read_again(settings: Settings) -> None:
    written = json.loads(json.dumps(document(settings)))
    assert parse(Settings, written, where="x") == settings


@given(SETTINGS, st.text(max_size=3).filter(lambda key: key not in Settings.__dataclass_fields__), JSON)
def test_what_another_version_knew_can_be_left_out(settings: Settings, key: str, value: Any) -> None:
    newer = document(settings) | {key: value}
    for camera in newer["cameras"]:
        camera["zoom"] = value
    with pytest.raises(ConfigError, match="unknown key"):
        parse(Settings, newer, where="x")
    assert parse(Settings, understood(Settings, newer), where="x") == settings
