"""`tidegate rollout plan` against the local control plane and a lake: it tells, and changes nothing."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3
import pytest

import tidegate
from cloud.lake.delta import DeltaSink, create_lake
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.run import utc_us
from greengrass.component import build_model
from greengrass.groups import ensure_group
from greengrass.objects import S3Store
from greengrass.register import register
from greengrass.things import Description, write_description
from models.health import Health
from simulator.aws import Aws
from tests.cloud.lake.results import run_of
from tests.greengrass.world import make_package

MODEL, FLEET = "flange", "shop"
GATEWAYS = {
    "one": Description("rpi5", "north", "Europe/Berlin"),
    "two": Description("rpi5", "south", "Asia/Tokyo", ("dock",)),
    "three": Description("nuc", "south", "Asia/Tokyo"),
    "four": Description("rpi5", "south", "Asia/Tokyo"),
}
MINUTES = 100


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Four gateways in rings that run release 1, and an hour and a half of their health; release 2 is registered."""
    folder = tmp_path_factory.mktemp("shop")
    with Aws(folder / "control-plane") as local, pytest.MonkeyPatch.context() as patch:
        for name, value in {**local.environment, "TIDEGATE_LAKE": str(folder / "lake")}.items():
            patch.setenv(name, value)
        s3, iot = boto3.client("s3"), boto3.client("iot")
        s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        for name, description in GATEWAYS.items():
            iot.create_thing(thingName=name)
            write_description(name, description)
        ensure_group(FLEET, list(GATEWAYS))
        ensure_group("nobody")
        store = S3Store("artifacts", "components", client=s3)
        for release in (1, 2):
            package = make_package(folder / str(release), name=MODEL, release=release)
            register(build_model(package, folder / "out"), store)
        fleet = GreengrassFleet()
        for ring, names in enumerate((("two",), ("one",), ("three", "four"))):
            fleet.assign(f"shop_flange-ring-{ring}", names)
            fleet.deploy(f"shop_flange-ring-{ring}", MODEL, 1)
        create_lake(folder / "lake")
        sink, chance = DeltaSink(folder / "lake"), random.Random(0)
        now_us = utc_us()
        sink.commit(
            [
                run_of([_health(now_us - ago * 60_000_000, chance) for ago in range(MINUTES, 0, -1)], gateway=name)
                for name in ("one", "two", "four")
            ],
            at=datetime.now(UTC),
        )
        yield patch
        s3.close()
        iot.close()


def _health(at_us: int, chance: random.Random) -> Health:
    seen = chance.randint(180, 220)
    return Health(
        at_us=at_us,
        window_s=60.0,
        model=MODEL,
        release=1,
        digest="d" * 64,
        variant="fp32",
        frames_inferred=300,
        p50_ms=8.0 * chance.uniform(0.97, 1.03),
        p95_ms=10.0,
        memory_bytes=100_000_000,
        score_histogram=(0,) * 9 + (seen,),
        class_mix={"good": seen - 20, "defect": 20},
        detections=seen,
    )


def groups_of_things() -> dict[str, list[str]]:
    client = boto3.client("iot")
    groups = client.list_thing_groups()["thingGroups"]
    found = {
        group["groupName"]: client.list_things_in_thing_group(thingGroupName=group["groupName"])["things"]
        for group in groups
    }
    client.close()
    return found


def test_it_tells_what_would_be_and_changes_nothing(shop: object, capsys: pytest.CaptureFixture[str]) -> None:
    before = groups_of_things()
    words = ("--soak", "5m,2m", "--max-in-flight", "1", "--approve", "2", "--rehearsals", "3")

    assert tidegate.main(["rollout", "plan", "flange@2", "--fleet", FLEET, *words, "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["release"], document["incumbent"], document["gateways"]) == ("flange@2", 1, 4)
    assert [ring["gateways"] for ring in document["rings"]] == [["two"], ["one"], ["four", "three"]]
    assert [ring["waves"] for ring in document["rings"]] == [[1], [1], [1, 1]]
    assert document["rings"][2]["hardware"] == {"nuc": 1, "rpi5": 1}
    assert document["rings"][2]["away"] == ["three"]
    assert document["bytes_each"] > 100
    assert document["bytes_by_site"] == {"north": document["bytes_each"], "south": 3 * document["bytes_each"]}
    assert document["odds"] == {"trials": 3, "undone": 0, "stuck": 0, "examples": [], "why_not": ""} | {
        "at_most": pytest.approx(0.6316, abs=1e-3)
    }
    said = " | ".join(document["warnings"])
    assert "ring 0 has no gateway of nuc" in said
    assert "1 gateway (25%) not heard lately (three)" in said
    assert "1 gateway will move to other thing groups of flange" in said
    assert groups_of_things() == before


def test_a_person_reads_a_table(shop: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidegate.main(["rollout", "plan", "flange@2", "--fleet", FLEET, "--hours", "22:00-05:00"]) == 0

    told = capsys.readouterr().out
    for part in (
        "flange@2 in place of flange@1 on 4 gateways of shop",
        "canaries: two",
        "odds that a good release is undone: not known (not enough history:",
        "warning: ring 0 has no gateway of nuc",
        "nothing was changed",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("flange@2", "--fleet", "shops"), 1, "there is no thing group shops"),
        (("flange@2", "--fleet", "nobody", "--first"), 1, "the fleet has no gateway; add things to its thing group"),
        (("flange@1", "--fleet", FLEET), 1, "shop runs flange@1 already"),
        (("flange@9", "--fleet", FLEET), 1, "flange@9 is not registered as a component"),
        (("flange@2", "--fleet", FLEET, "--hours", "22-5"), 2, "hours must be given as 22:00-05:00, got '22-5'"),
        (("flange@2", "--fleet", FLEET, "--soak", "a day"), 2, "--soak takes a time such as 90s, 30m, 24h or 2d"),
        (("flange@2", "--fleet", FLEET, "--shadow", "soon"), 2, "--shadow takes a time such as"),
        (("flange@2", "--fleet", FLEET, "--approve", "7"), 2, "--approve 7: there are the rings 0 to 2"),
        (("flange@2", "--fleet", FLEET, "--approve", "one"), 2, "--approve takes numbers of rings such as 1,3"),
        (("flange@2", "--fleet", FLEET, "--max-in-flight", "0"), 2, "--max-in-flight must be 1 or more, got 0"),
        (("flange@2", "--fleet", FLEET, "--site-bytes", "5 parsec"), 2, "--site-bytes takes an amount such as"),
        (("flange@2", "--fleet", FLEET, "--site-bytes", "5B"), 2, "--site-bytes 5 B is less than what one gateway"),
        (("flange@2", "--fleet", FLEET, "--covered", "0%"), 2, "--covered takes a share such as 50%"),
        (("flange@2", "--fleet", FLEET, "--prefer", "tag=dock"), 2, "flange has its rings already, which are kept"),
        (("flange@2", "--fleet", FLEET, "--prefer", "dock"), 2, "--prefer takes hardware=CLASS, site=SITE or tag=TAG"),
        (("flange@2", "--fleet", FLEET, "--rehearsals", "-1"), 2, "--rehearsals must be 0 or more"),
    ],
)
def test_a_wrong_call_is_told_in_one_line_and_changes_nothing(
    shop: object, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    before = groups_of_things()

    assert tidegate.main(["rollout", "plan", *words]) == code

    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert groups_of_things() == before
