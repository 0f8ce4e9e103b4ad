"""What a change of the configuration opens again, and what it does not."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.analytics.config import AnalyticsConfig, ZoneConfig
from edge.byte_budget import ByteBudget
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig, UplinkConfig
from edge.config_changes import Changes, changed_keys, differences

DOOR, YARD = CameraConfig("door", "rtsp://user:secret@192.0.2.7/"), CameraConfig("yard", "usb:0", fps=5)
ZONES = AnalyticsConfig(zones=(ZoneConfig("gate", ((0, 0), (1, 0), (1, 1))),))
PICTURES = AnalyticsConfig(zones=(ZoneConfig("gate", ((0, 0), (1, 0), (1, 1)), picture="crop"),))
CONFIG = GatewayConfig("coco", (DOOR, YARD))
OTHER: dict[str, Any] = {
    "model": "parts",
    "cameras": (DOOR,),
    "window_s": 5.0,
    "trust": Path("elsewhere"),
    "state": Path("elsewhere"),
    "pointers": Path("elsewhere"),
    "package": Path("package"),
    "allow_unsigned": True,
    "uplink": UplinkConfig("mqtt", "broker"),
    "spool_limit_bytes": 1 << 30,
    "keep_s": 5.0,
    "latency_budget_ms": 50.0,
    "max_slowdown": 3.0,
    "memory_limit_bytes": 1 << 30,
    "challenger": "other",
    "challenger_cpu": 0.5,
    "challenger_pictures": 3,
    "shadow_pictures": 30,
    "ack_timeout_s": 5.0,
    "byte_budget": ByteBudget(1 << 30),
    "workers": 2,
    "metrics_port": 9464,
}


def test_what_is_the_same_changes_nothing() -> None:
    assert differences(CONFIG, replace(CONFIG)) == Changes()
    assert differences(CONFIG, replace(CONFIG, cameras=(YARD, DOOR))) == Changes(), "nor does the cameras' order"


@pytest.mark.parametrize("name", [field.name for field in fields(GatewayConfig)])
def test_no_setting_changes_in_vain(name: str) -> None:
    before = replace(CONFIG, package=Path("first")) if name == "allow_unsigned" else CONFIG
    after = replace(before, **{name: OTHER[name]})
    assert differences(before, after) != Changes()
    assert changed_keys(before, after) == [name]


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"window_s": 5.0}, Changes(reporting=True)),
        ({"byte_budget": ByteBudget(1 << 30)}, Changes(shipping=True)),
        ({"max_slowdown": 3.0}, Changes(trial=True)),
        ({"uplink": UplinkConfig("mqtt", "broker")}, Changes(uplink=True, challenger=True)),  # larger parts of pictures
        ({"challenger": "other"}, Changes(challenger=True)),
        ({"cameras": (DOOR,)}, Changes(left=("yard",))),
        ({"cameras": (DOOR, replace(YARD, fps=1))}, Changes(left=("yard",), came=(replace(YARD, fps=1),))),
        # the stream stays open
        ({"cameras": (replace(DOOR, analytics=ZONES), YARD)}, Changes(retold=(replace(DOOR, analytics=ZONES),))),
        ({"cameras": (DOOR, replace(YARD, name="back"))}, Changes(left=("yard",), came=(replace(YARD, name="back"),))),
    ],
)
def test_only_what_must_is_opened_again(change: dict[str, Any], changes: Changes) -> None:
    assert differences(CONFIG, replace(CONFIG, **change)) == changes


def test_pictures_are_cut_to_fit_the_messages_of_another_uplink() -> None:
    before = replace(CONFIG, cameras=(replace(DOOR, analytics=PICTURES), YARD))
    changes = differences(before, replace(before, uplink=UplinkConfig(limit_bytes=2_000)))
    assert changes == Changes(uplink=True, challenger=True, retold=(replace(DOOR, analytics=PICTURES),))


def test_what_must_be_blurred_holds_for_candidates_too() -> None:
    before = replace(CONFIG, challenger="other", challenger_pictures=9)
    after = replace(before, cameras=(replace(DOOR, blur=("person",)), YARD))
    assert differences(before, after).challenger


CAMERAS = st.lists(
    st.builds(
        CameraConfig,
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["usb:0", "usb:1"]),
        fps=st.sampled_from([None, 5.0]),
        analytics=st.sampled_from([AnalyticsConfig(), ZONES, PICTURES]),
        blur=st.sampled_from([(), ("person",)]),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda camera: camera.name,
)


@given(CAMERAS, CAMERAS, st.booleans())
def test_closing_opening_and_retelling_lead_from_one_to_the_other(
    old: list[CameraConfig], new: list[CameraConfig], smaller: bool
) -> None:
    before = GatewayConfig("coco", tuple(old))
    after = GatewayConfig("coco", tuple(new), uplink=UplinkConfig(limit_bytes=1_000 if smaller else None))
    changes = differences(before, after)
    open_now = {camera.name: camera for camera in old if camera.name not in changes.left}
    assert not {camera.name for camera in changes.came} & open_now.keys()
    assert {camera.name for camera in changes.retold} <= open_now.keys()
    open_now |= {camera.name: camera for camera in (*changes.came, *changes.retold)}
    assert open_now == {camera.name: camera for camera in new}
