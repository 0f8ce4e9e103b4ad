"""What every `Fleet` promises, on each adapter."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from cloud.rollout.fleet import Fleet
from cloud.rollout.greengrass_fleet import GreengrassFleet
from greengrass.component import build_model
from greengrass.groups import ensure_group
from greengrass.objects import S3Store
from greengrass.register import register
from models.errors import DeployError
from simulator.aws import Aws
from simulator.rollout_fleet import Behaviour, RolloutFleet
from tests.greengrass.world import make_package

MODEL = "coco"
RING = "shop-coco-ring-0"


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("control-plane")) as local:
        yield local


@pytest.fixture(params=["greengrass", "memory"])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fleet]:
    """Gateways `one`, `two` and `three` in the group `shop`; releases 1 and 2 can be deployed."""
    if request.param == "memory":
        yield RolloutFleet(["one", "two", "three"], model=MODEL, behaviours={1: Behaviour(), 2: Behaviour()})
        return
    local: Aws = request.getfixturevalue("local_cloud")
    local.forget()
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    iot = boto3.client("iot")
    for thing in ("one", "two", "three"):
        iot.create_thing(thingName=thing)
    ensure_group("shop", ["one", "two", "three"])
    store = S3Store("artifacts", "components", client=s3)
    for release in (1, 2):
        register(build_model(make_package(tmp_path / str(release), release=release), tmp_path / "out"), store)
    yield GreengrassFleet()
    s3.close()
    iot.close()


def test_a_group_that_nobody_made_is_none_at_all(fleet: Fleet) -> None:
    assert fleet.things(RING) is None
    assert fleet.things("shop") == ("one", "three", "two")


def test_assigning_makes_the_group_and_may_be_repeated(fleet: Fleet) -> None:
    fleet.assign(RING, ("two", "one"))
    fleet.assign(RING, ("two",))

    assert fleet.things(RING) == ("one", "two")


def test_only_what_is_registered_can_be_deployed(fleet: Fleet) -> None:
    assert fleet.registered(MODEL, 2)
    assert not fleet.registered(MODEL, 3)
    assert not fleet.registered("flange", 1)


def test_a_ring_is_given_a_release_and_another(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    assert fleet.release_of(RING, MODEL) is None

    first = fleet.deploy(RING, MODEL, 1)
    assert fleet.release_of(RING, MODEL) == 1

    second = fleet.deploy(RING, MODEL, 2)
    assert fleet.release_of(RING, MODEL) == 2
    assert first != second


def test_the_same_again_is_the_same_deployment(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    first = fleet.deploy(RING, MODEL, 1)

    assert fleet.deploy(RING, MODEL, 1) == first
    second = fleet.deploy(RING, MODEL, 1, instead_of=first)
    assert second != first
    assert fleet.deploy(RING, MODEL, 1, instead_of=first) == second


def test_an_earlier_release_can_be_given_back(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    deployments = [fleet.deploy(RING, MODEL, release) for release in (1, 2, 1)]

    assert len(set(deployments)) == 3
    assert fleet.release_of(RING, MODEL) == 1


def test_a_model_can_be_taken_away(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    fleet.deploy(RING, MODEL, 1)

    fleet.deploy(RING, MODEL, None)

    assert fleet.release_of(RING, MODEL) is None


def test_a_release_looks_on_beside_the_one_that_answers(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    answers = fleet.deploy(RING, MODEL, 1)

    looks_on = fleet.shadow(RING, MODEL, 2)

    assert looks_on not in ("", answers)
    assert fleet.shadow(RING, MODEL, 2) == looks_on
    looks_on = fleet.shadow(RING, MODEL, 2, instead_of=looks_on)
    assert fleet.release_of(RING, MODEL) == 1
    assert fleet.progress(looks_on, ("one",)) == {"one": "pending"}


def test_a_shadow_is_taken_away_or_ends_where_a_release_is_given(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))
    answers = fleet.deploy(RING, MODEL, 1)
    assert fleet.shadow(RING, MODEL, None) == answers, "there was none"
    fleet.shadow(RING, MODEL, 2)

    ended = fleet.shadow(RING, MODEL, None)

    assert fleet.shadow(RING, MODEL, None) == ended
    assert fleet.deploy(RING, MODEL, 1) == ended
    looks_on = fleet.shadow(RING, MODEL, 2)
    given_back = fleet.deploy(RING, MODEL, 1)
    assert given_back != looks_on, "else it would go on looking"
    assert fleet.deploy(RING, MODEL, 1) == given_back


def test_only_what_is_registered_can_look_on(fleet: Fleet) -> None:
    fleet.assign(RING, ("one",))

    with pytest.raises(DeployError, match=r"is not registered"):
        fleet.shadow(RING, MODEL, 3)


def test_what_has_just_been_deployed_is_pending(fleet: Fleet) -> None:
    fleet.assign(RING, ("one", "two"))
    deployment = fleet.deploy(RING, MODEL, 1)

    assert fleet.progress(deployment, ("one", "two")) == {"one": "pending", "two": "pending"}
    assert fleet.progress(deployment, ()) == {}


def test_a_group_that_is_not_there_cannot_be_deployed_to(fleet: Fleet) -> None:
    with pytest.raises(DeployError, match=r"there is no thing group"):
        fleet.deploy("shop-coco-ring-7", MODEL, 1)
