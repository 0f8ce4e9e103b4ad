"""Deploying: beside what runs already, once, and with a straight answer on how it went."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengrass.component import BuiltComponent, build_model
from greengrass.deploy import (
    Component,
    Pin,
    cancel,
    current_deployment,
    current_pins,
    deploy,
    deployment_status,
    merge_components,
)
from greengrass.devices import progress, wait_deployed
from greengrass.groups import ensure_group, things_in
from greengrass.register import register
from models.errors import DeployError
from tests.greengrass.world import Cloud, make_package

GATEWAY = "tidegate.Gateway"
MODEL = "tidegate.Model.coco"


@pytest.fixture
def shop(cloud: Cloud, gateway: BuiltComponent, tmp_path: Path) -> Cloud:
    """A fleet of two gateways in two rings; the gateway and releases 1 and 2 of a model are registered."""
    cloud.add_group("shop", "one", "two")
    ensure_group("shop-coco-ring-0", ["one"])
    ensure_group("shop-coco-ring-1", ["two"])
    register(gateway, cloud.store)
    for release in (1, 2):
        register(build_model(make_package(tmp_path / str(release), release=release), tmp_path / "out"), cloud.store)
    return cloud


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_deployment_keeps_what_the_group_runs_already(shop: Cloud) -> None:
    deploy("shop", {GATEWAY: Pin("0.1.0", {"gateway": {"window_s": 5}})})

    deploy("shop", {MODEL: Pin("1.0.0")})

    assert current_pins("shop") == {GATEWAY: Pin("0.1.0", {"gateway": {"window_s": 5}}), MODEL: Pin("1.0.0")}


def test_deploying_the_same_again_makes_no_second_deployment(shop: Cloud) -> None:
    first = deploy("shop", {GATEWAY: Pin("0.1.0"), MODEL: Pin("1.0.0")})

    assert deploy("shop", {MODEL: Pin("1.0.0")}) == first
    assert deploy("shop", {}) == first
    assert current_deployment("shop") == first
    assert deploy("shop", {MODEL: Pin("1.0.0")}, again=True) != first


def test_what_is_removed_is_left_out_and_the_rest_stays(shop: Cloud) -> None:
    deploy("shop", {GATEWAY: Pin("0.1.0"), MODEL: Pin("1.0.0")})

    removed = deploy("shop", {}, remove=[MODEL])

    assert current_pins("shop") == {GATEWAY: Pin("0.1.0")}
    assert deploy("shop", {}, remove=[MODEL]) == removed


def test_what_somebody_else_has_set_stays(shop: Cloud) -> None:
    arn = shop.iot.describe_thing_group(thingGroupName="shop")["thingGroupArn"]
    shop.aws.greengrass.create_deployment(
        targetArn=arn, components={GATEWAY: {"componentVersion": "0.1.0", "runWith": {"posixUser": "camera"}}}
    )

    deployment = deploy("shop", {GATEWAY: Pin("0.1.0", {"gateway": {}}), MODEL: Pin("2.0.0")})

    components = shop.aws.greengrass.get_deployment(deploymentId=deployment)["components"]
    assert components[GATEWAY]["runWith"] == {"posixUser": "camera"}


def test_a_merge_is_kept_changed_or_taken_away(shop: Cloud) -> None:
    deploy("shop", {GATEWAY: Pin("0.1.0", {"gateway": {"window_s": 5}})})
    assert current_pins("shop")[GATEWAY].merge == {"gateway": {"window_s": 5}}

    deploy("shop", {GATEWAY: Pin("0.1.0")})
    assert current_pins("shop")[GATEWAY].merge == {"gateway": {"window_s": 5}}

    deploy("shop", {GATEWAY: Pin("0.1.0", {})})
    assert current_pins("shop")[GATEWAY].merge is None


def test_a_component_that_is_not_registered_is_not_deployed(shop: Cloud) -> None:
    with pytest.raises(DeployError, match=r"tidegate.Model.coco 9.0.0 is not registered \(registered: 2.0.0, 1.0.0\)"):
        deploy("shop", {MODEL: Pin("9.0.0")})
    with pytest.raises(DeployError, match=r"tidegate.Model.x 1.0.0 is not registered \(registered: none\)"):
        deploy("shop", {"tidegate.Model.x": Pin("1.0.0")})
    assert current_deployment("shop") is None


def test_a_group_that_is_not_there_is_named(shop: Cloud) -> None:
    with pytest.raises(DeployError, match="there is no thing group 'store'"):
        deploy("store", {GATEWAY: Pin("0.1.0")})
    assert things_in("store") is None


def test_a_device_gets_its_fleets_and_its_rings_components(shop: Cloud) -> None:
    deploy("shop", {GATEWAY: Pin("0.1.0")})
    deploy("shop-coco-ring-0", {MODEL: Pin("2.0.0")})
    deploy("shop-coco-ring-1", {MODEL: Pin("1.0.0")})

    one = [json.loads(shop.report("one"))["components"] for _ in range(2)]
    two = [json.loads(shop.report("two"))["components"] for _ in range(2)]

    assert one == [{GATEWAY: {"version": "0.1.0"}}, {MODEL: {"version": "2.0.0"}}]
    assert two == [{GATEWAY: {"version": "0.1.0"}}, {MODEL: {"version": "1.0.0"}}]


def test_waiting_ends_when_every_device_has_it(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    clock = Clock()

    def time_passes(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now == 3:
            shop.report("one")
        if clock.now == 5:
            shop.report("two")

    wait_deployed(deployment, ["one", "two"], 60, clock=clock, sleep=time_passes)

    assert clock.now == 5
    assert deployment_status(deployment) == "COMPLETED"
    assert progress(deployment, ["one", "two", "unheard-of"]) == {
        "one": "succeeded", "two": "succeeded", "unheard-of": "pending",
    }  # fmt: skip


def test_waiting_ends_when_a_device_fails_and_says_why(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    shop.report("two", "FAILED", deployment_failure_cause="digest of tidegate.zip does not match")
    clock = Clock()

    with pytest.raises(DeployError, match=r"failed on two: digest of tidegate\.zip does not match"):
        wait_deployed(deployment, ["one", "two"], 60, clock=clock, sleep=clock.sleep)
    assert clock.now == 0
    assert progress(deployment, ["one", "two"]) == {"one": "pending", "two": "failed"}


def test_waiting_ends_when_time_is_up_and_names_who_is_missing(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    shop.report("one")
    clock = Clock()

    with pytest.raises(DeployError, match="is not on two after 3 s"):
        wait_deployed(deployment, ["one", "two"], 3, clock=clock, sleep=clock.sleep)


def test_waiting_for_a_deployment_that_was_superseded_ends(shop: Cloud) -> None:
    deployment = deploy("shop", {MODEL: Pin("1.0.0")})
    deploy("shop", {MODEL: Pin("2.0.0")})
    clock = Clock()

    with pytest.raises(DeployError, match="a newer one took its place"):
        wait_deployed(deployment, ["one", "two"], 60, clock=clock, sleep=clock.sleep)


def test_after_a_cancellation_the_earlier_components_are_deployed_anew(shop: Cloud) -> None:
    first = deploy("shop", {MODEL: Pin("1.0.0")})
    second = deploy("shop", {MODEL: Pin("2.0.0"), GATEWAY: Pin("0.1.0")})
    cancel(second)

    assert current_pins("shop") == {MODEL: Pin("1.0.0")}
    assert current_deployment("shop") is None
    third = deploy("shop", {MODEL: Pin("1.0.0")})

    # some devices may have had time to take the second
    assert third not in (first, second)
    assert json.loads(shop.report("one"))["deploymentId"] == third


def test_groups_are_made_once_and_keep_who_is_in_them(shop: Cloud) -> None:
    ensure_group("ring", ["one"])
    ensure_group("ring", ["two", "one"])
    ensure_group("ring")

    assert things_in("ring") == ("one", "two")


def test_a_thing_that_is_not_there_cannot_join(shop: Cloud) -> None:
    with pytest.raises(DeployError, match="no thing 'three' to put into group ring"):
        ensure_group("ring", ["three"])


def test_a_cloud_that_is_away_is_one_line(shop: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greengrass.aws.ATTEMPTS", 2)  # six take half a minute
    for service in ("IOT", "GREENGRASSV2"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "http://127.0.0.1:1")

    with pytest.raises(DeployError, match=r"thing group shop: AWS cannot be reached.*127.0.0.1:1"):
        deploy("shop", {})


NAMES = st.sampled_from(["a", "b", "c", "d"])
VERSIONS = st.sampled_from(["1.0.0", "2.0.0"])
PINS = st.dictionaries(
    NAMES, st.builds(Pin, VERSIONS, st.sampled_from([None, {}, {"x": 1}]), st.sampled_from([(), ("",)]))
)


@given(current=st.dictionaries(NAMES, VERSIONS), pins=PINS, remove=st.sets(NAMES))
def test_merging_loses_nothing_that_was_not_asked_away_and_is_idempotent(
    current: dict[str, str], pins: dict[str, Pin], remove: set[str]
) -> None:
    before = {name: Component(componentVersion=version) for name, version in current.items()}

    after = merge_components(before, pins, remove)

    assert set(after) == (set(current) - remove) | set(pins)
    assert all(after[name]["componentVersion"] == pin.version for name, pin in pins.items())
    assert all(after[name] == before[name] for name in set(after) - set(pins))
    assert merge_components(after, pins, remove - set(pins)) == after
