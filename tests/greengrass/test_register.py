"""A version is registered once, whatever happens on the way, and never means two things."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from greengrass.component import BuiltComponent, build_gateway, build_model
from greengrass.objects import DiskStore, S3Store
from greengrass.recipe import with_artifact_uris
from greengrass.register import is_registered, register, register_challenger, versions_of
from models.errors import DeployError, StoreError
from tests.greengrass.world import Cloud, make_package


def test_a_registered_component_has_its_artifact_where_the_recipe_says(cloud: Cloud, gateway: BuiltComponent) -> None:
    arn = register(gateway, cloud.store)

    assert arn.endswith(":components:tidegate.Gateway:versions:0.1.0")
    content = gateway.artifacts[0].read_bytes()
    key = f"tidegate.Gateway/sha256-{hashlib.sha256(content).hexdigest()}/tidegate.zip"
    assert cloud.store.get(key) == content
    recipe = cloud.aws.greengrass.get_component(arn=arn)["recipe"]
    assert f"s3://artifacts/components/{key}".encode() in recipe


def test_registering_again_changes_nothing(cloud: Cloud, gateway: BuiltComponent) -> None:
    assert register(gateway, cloud.store) == register(gateway, cloud.store)
    assert versions_of("tidegate.Gateway") == ("0.1.0",)


def test_the_same_version_with_other_content_is_refused(cloud: Cloud, gateway: BuiltComponent, tmp_path: Path) -> None:
    register(gateway, cloud.store)
    (key,) = cloud.store.list("")
    before = cloud.store.get(key)

    other = build_gateway(tmp_path / "other", version="0.1.0", configuration={"model": "other"}, python="python3")

    with pytest.raises(DeployError, match="registered with other content"):
        register(other, cloud.store)
    with pytest.raises(DeployError, match="registered with other content"):
        is_registered(other)
    assert cloud.store.get(key) == before


def test_versions_stand_side_by_side(cloud: Cloud, tmp_path: Path) -> None:
    for release in (1, 2, 10):
        register(build_model(make_package(tmp_path / str(release), release=release), tmp_path / "out"), cloud.store)

    assert versions_of("tidegate.Model.coco") == ("10.0.0", "2.0.0", "1.0.0")
    assert versions_of("tidegate.Model.unheard-of") == ()


def test_a_release_looks_on_with_the_artifact_that_it_answers_with(cloud: Cloud, tmp_path: Path) -> None:
    model = register(build_model(make_package(tmp_path / "7", release=7), tmp_path / "out"), cloud.store)

    challenger = register_challenger("coco", 7)

    assert register_challenger("coco", 7) == challenger
    assert versions_of("tidegate.Challenger.coco") == ("7.0.0",)
    recipes = [json.loads(cloud.aws.greengrass.get_component(arn=arn)["recipe"]) for arn in (model, challenger)]
    artifacts = [recipe["Manifests"][0]["Artifacts"] for recipe in recipes]
    assert artifacts[0] == artifacts[1], "the digest too"
    with pytest.raises(DeployError, match=r"tidegate\.Model\.coco 8\.0\.0 is not registered"):
        register_challenger("coco", 8)


def test_what_is_uploaded_already_is_not_uploaded_again(cloud: Cloud, gateway: BuiltComponent, tmp_path: Path) -> None:
    class Counting(S3Store):
        puts = 0

        def put(self, key: str, data: bytes) -> None:
            self.puts += 1
            super().put(key, data)

    store = Counting("artifacts", "components")
    register(gateway, store)
    # the same code under another version: an artifact of the same bytes
    register(
        build_gateway(tmp_path / "newer", version="0.2.0", configuration={"model": "coco"}, python="python3"), store
    )

    assert store.puts == 1
    assert versions_of("tidegate.Gateway") == ("0.2.0", "0.1.0")


def test_a_version_that_was_refused_can_be_registered_later(cloud: Cloud, gateway: BuiltComponent) -> None:
    class Forgetful(S3Store):
        def put(self, key: str, data: bytes) -> None:
            """As if the bucket had lost it, or Greengrass may not read it."""

    with pytest.raises(DeployError, match=r"was refused: s3://.*tidegate.zip: Specified artifact resource cannot be"):
        register(gateway, Forgetful("artifacts", "elsewhere"))
    assert not is_registered(gateway)

    register(gateway, cloud.store)
    assert is_registered(gateway)


def test_artifacts_on_a_disk_are_of_no_use_to_devices(cloud: Cloud, gateway: BuiltComponent, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"s3://BUCKET/PREFIX, got file:///"):
        register(gateway, DiskStore(tmp_path / "disk"))
    assert versions_of("tidegate.Gateway") == ()
    assert not (tmp_path / "disk").exists()


def test_a_bucket_that_is_not_there_stops_it_before_anything_is_registered(
    cloud: Cloud, gateway: BuiltComponent
) -> None:
    with pytest.raises(StoreError, match="no such bucket"):
        register(gateway, S3Store("nowhere-at-all"))
    assert versions_of("tidegate.Gateway") == ()


def test_a_recipe_that_breaks_a_rule_is_not_sent(cloud: Cloud, gateway: BuiltComponent) -> None:
    broken = with_artifact_uris(gateway.recipe, {"tidegate.zip": "https://example.org/tidegate.zip"})

    with pytest.raises(DeployError, match="an artifact is at s3://"):
        register(replace(gateway, recipe=broken), cloud.store)
    assert versions_of("tidegate.Gateway") == ()
