"""What every `Fleet` promises, on each adapter."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import boto3
import pytest

from cloud.rollout.fleet import GROUPS_OF_A_THING, Fleet
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.plan import Gateway
from greengrass.component import build_model
from greengrass.groups import ensure_group
from greengrass.objects import S3Store
from greengrass.register import register
from greengrass.things import Description, write_description
from models.errors import DeployError
from simulator.aws import Aws
from simulator.light.cloud import LightCloud
from simulator.light.fleet import LightFleet
from simulator.light.gateway import Model
from simulator.light.rollout import LightGroups
from simulator.light.scenario import Gateways, Scenario
from simulator.rollout_fleet import Behaviour, RolloutFleet
from tests.greengrass.world import make_package

MODEL = "coco"
RING, WAVE = "fleet_coco-ring-0", "fleet_coco-ring-0-wave-1"
FLEET = "fleet"
GATEWAYS = ONE, TWO, THREE = "light-0001", "light-0002", "light-0003"
DESCRIBED = Gateway(ONE, "rpi5", "north", "Europe/Berlin", ("dock",))


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("control-plane")) as local:
        yield local


@pytest.fixture(params=["greengrass", "memory", "light"])
def fleet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Fleet]:
    """Three gateways in the group FLEET; releases 1 and 2 can be deployed. ONE is described."""
    if request.param == "memory":
        memory = RolloutFleet(GATEWAYS, group=FLEET, model=MODEL, behaviours={1: Behaviour(), 2: Behaviour()})
        memory.described[ONE] = DESCRIBED
        yield memory
        return
    if request.param == "light":
        scenario = Scenario("contract", "a fleet that does nothing", "1m", Gateways(len(GATEWAYS)))
        # nothing is sent, so that there need be no cloud
        light = LightGroups(LightFleet(scenario, cast(LightCloud, None), seed=0))
        light.register(Model(2))
        light.described[ONE] = DESCRIBED
        yield light
        return
    local: Aws = request.getfixturevalue("local_cloud")
    local.forget()
    for name, value in local.environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    iot = boto3.client("iot")
    for thing in GATEWAYS:
        iot.create_thing(thingName=thing)
    write_description(ONE, Description("rpi5", "north", "Europe/Berlin", ("dock",)))
    ensure_group(FLEET, GATEWAYS)
    store = S3Store("artifacts", "components", client=s3)
    for release in (1, 2):
        register(build_model(make_package(tmp_path / str(release), release=release), tmp_path / "out"), store)
    yield GreengrassFleet()
    s3.close()
    iot.close()


def test_a_group_that_nobody_made_is_none_at_all(fleet: Fleet) -> None:
    assert fleet.things(RING) is None
    assert fleet.things(FLEET) == (ONE, TWO, THREE)


def test_assigning_makes_the_group_and_may_be_repeated(fleet: Fleet) -> None:
    fleet.assign(RING, (TWO, ONE))
    fleet.assign(RING, (TWO,))

    assert fleet.things(RING) == (ONE, TWO)


def test_only_what_is_registered_can_be_deployed(fleet: Fleet) -> None:
    assert fleet.registered(MODEL, 2)
    assert not fleet.registered(MODEL, 3)
    assert not fleet.registered("flange", 1)


def test_a_ring_is_given_a_release_and_another(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
    assert fleet.release_of(RING, MODEL) is None

    first = fleet.deploy(RING, MODEL, 1)
    assert fleet.release_of(RING, MODEL) == 1

    second = fleet.deploy(RING, MODEL, 2)
    assert fleet.release_of(RING, MODEL) == 2
    assert first != second


def test_the_same_again_is_the_same_deployment(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
    first = fleet.deploy(RING, MODEL, 1)

    assert fleet.deploy(RING, MODEL, 1) == first
    second = fleet.deploy(RING, MODEL, 1, instead_of=first)
    assert second != first
    assert fleet.deploy(RING, MODEL, 1, instead_of=first) == second


def test_an_earlier_release_can_be_given_back(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
    deployments = [fleet.deploy(RING, MODEL, release) for release in (1, 2, 1)]

    assert len(set(deployments)) == 3
    assert fleet.release_of(RING, MODEL) == 1


def test_a_model_can_be_taken_away(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
    fleet.deploy(RING, MODEL, 1)

    fleet.deploy(RING, MODEL, None)

    assert fleet.release_of(RING, MODEL) is None


def test_a_release_looks_on_beside_the_one_that_answers(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
    answers = fleet.deploy(RING, MODEL, 1)

    looks_on = fleet.shadow(RING, MODEL, 2)

    assert looks_on not in ("", answers)
    assert fleet.shadow(RING, MODEL, 2) == looks_on
    looks_on = fleet.shadow(RING, MODEL, 2, instead_of=looks_on)
    assert fleet.release_of(RING, MODEL) == 1
    assert fleet.progress(looks_on, (ONE,)) == {ONE: "pending"}


def test_a_shadow_is_taken_away_or_ends_where_a_release_is_given(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))
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
    fleet.assign(RING, (ONE,))

    with pytest.raises(DeployError, match=r"is not registered"):
        fleet.shadow(RING, MODEL, 3)


def test_what_has_just_been_deployed_is_pending(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE, TWO))
    deployment = fleet.deploy(RING, MODEL, 1)

    assert fleet.progress(deployment, (ONE, TWO)) == {ONE: "pending", TWO: "pending"}
    assert fleet.progress(deployment, ()) == {}


def test_a_group_that_is_not_there_cannot_be_deployed_to(fleet: Fleet) -> None:
    with pytest.raises(DeployError, match=r"there is no thing group"):
        fleet.deploy("shop-coco-ring-7", MODEL, 1)


def test_gateways_are_as_their_attributes_say(fleet: Fleet) -> None:
    assert fleet.describe((TWO, ONE)) == (Gateway(TWO), DESCRIBED)
    assert fleet.describe(()) == ()


def test_a_gateway_moves_from_group_to_group(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE, TWO))
    fleet.assign(WAVE, ())
    before = fleet.count_groups(ONE)

    for _ in range(2):  # repeating it changes nothing
        fleet.move(ONE, into=WAVE, out_of=(RING,))
        assert (fleet.things(RING), fleet.things(WAVE)) == ((TWO,), (ONE,))
        assert fleet.count_groups(ONE) == before

    fleet.move(ONE, into=None, out_of=(WAVE,))
    assert fleet.things(WAVE) == ()
    assert fleet.count_groups(ONE) == before - 1


def test_nobody_moves_to_a_group_that_is_not_there(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE,))

    with pytest.raises(DeployError):
        fleet.move(ONE, into="nowhere", out_of=(RING,))
    assert fleet.things(RING) == (ONE,)


def test_nobody_is_in_more_groups_than_allowed(fleet: Fleet) -> None:
    for number in range(GROUPS_OF_A_THING - fleet.count_groups(ONE)):
        fleet.assign(f"group-{number}", (ONE,))

    assert fleet.count_groups(ONE) == GROUPS_OF_A_THING
    with pytest.raises(DeployError):
        fleet.assign(RING, (ONE,))


def test_a_group_is_given_what_another_one_is_given(fleet: Fleet) -> None:
    fleet.assign(RING, (ONE, TWO))
    fleet.assign(WAVE, ())
    fleet.copy(RING, WAVE)
    assert fleet.release_of(WAVE, MODEL) is None, "there was nothing to give"
    first = fleet.deploy(RING, MODEL, 1)

    fleet.copy(RING, WAVE)

    assert fleet.release_of(WAVE, MODEL) == 1
    copied = fleet.deploy(WAVE, MODEL, 1)
    assert copied != first
    fleet.copy(RING, WAVE)
    assert fleet.deploy(WAVE, MODEL, 1) == copied, "repeating it makes no second deployment"
    fleet.move(ONE, into=WAVE, out_of=(RING,))
    assert fleet.progress(copied, (ONE,)) == {ONE: "pending"}


def test_what_a_release_downloads_is_known_or_nought(fleet: Fleet) -> None:
    assert fleet.download_bytes(MODEL, 1) >= 0
