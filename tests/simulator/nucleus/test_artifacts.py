"""Artifacts are fetched whole, resumed, checked and unpacked, or not there at all."""

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import DeployError, StoreError
from simulator.nucleus.artifacts import artifacts_folder, decompressed_folder, fetch, remove, stored
from simulator.nucleus.cloud import Cloud
from simulator.nucleus.recipe import Artifact, Recipe
from tests.simulator.nucleus.desk import BUCKET, Desk, zipped

DATA = os.urandom(300_000)


@pytest.fixture
def cloud(desk: Desk) -> Iterator[Cloud]:
    found = Cloud(desk.environment)
    yield found
    found.close()


def component(name: str, data: bytes, *, unzip: bool = False, mode: int = 0o555) -> Recipe:
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    artifact = Artifact(f"s3://{BUCKET}/{name}", digest, unzip=unzip, mode=mode)
    return Recipe("c", "1.0.0", defaults={}, dependencies={}, artifacts=(artifact,), steps={})


def test_a_file_comes_with_its_bytes_and_its_mode(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    desk.upload("whole.bin", DATA)
    fetch(component("whole.bin", DATA), tmp_path, cloud)
    file = artifacts_folder(tmp_path, "c", "1.0.0") / "whole.bin"
    assert file.read_bytes() == DATA
    assert file.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in file.parent.iterdir()] == ["whole.bin"]


@pytest.mark.parametrize(
    "beginning",
    [DATA[:100_000], b"another file's beginning", DATA, DATA + b"too long"],
    ids=["half", "foreign", "all", "too long"],
)
def test_a_fetch_that_was_broken_off_comes_to_a_good_end(
    desk: Desk, cloud: Cloud, tmp_path: Path, beginning: bytes
) -> None:
    desk.upload("resumed.bin", DATA)
    part = artifacts_folder(tmp_path, "c", "1.0.0") / "resumed.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(beginning)
    fetch(component("resumed.bin", DATA), tmp_path, cloud)
    assert (part.parent / "resumed.bin").read_bytes() == DATA


def test_what_is_there_and_right_is_not_fetched_again(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    desk.upload("once.bin", DATA)
    fetch(component("once.bin", DATA), tmp_path, cloud)
    desk.s3.delete_object(Bucket=BUCKET, Key="once.bin")
    fetch(component("once.bin", DATA), tmp_path, cloud)


def test_other_bytes_than_the_recipes_are_refused_and_not_kept(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    desk.upload("changed.bin", b"changed")
    with pytest.raises(
        DeployError, match=r"artifact s3://artifacts/changed.bin: its SHA-256 is .*nothing was installed"
    ):
        fetch(component("changed.bin", DATA), tmp_path, cloud)
    assert not list(artifacts_folder(tmp_path, "c", "1.0.0").iterdir())


def test_a_missing_object_and_a_foreign_scheme_are_said(cloud: Cloud, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="artifact s3://artifacts/none: "):
        fetch(component("none", DATA), tmp_path, cloud)
    with pytest.raises(StoreError, match="this nucleus fetches s3://bucket/key only"):
        next(cloud.read("https://example.com/file"))


def test_a_zip_is_unpacked_under_its_own_name_and_stays_inside(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    archive = zipped({"inner/tool.sh": "#!/bin/sh\n", "../../escape": "no"})
    desk.upload("package.zip", archive)
    fetch(component("package.zip", archive, unzip=True, mode=0o444), tmp_path, cloud)
    folder = decompressed_folder(tmp_path, "c", "1.0.0") / "package"
    assert (folder / "inner" / "tool.sh").stat().st_mode & 0o777 == 0o644
    assert {path.name for path in tmp_path.rglob("escape")} == {"escape"}
    assert (folder / "escape").exists()


def test_what_is_no_zip_is_refused(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    desk.upload("broken.zip", b"PK not really")
    with pytest.raises(DeployError, match=r"artifact s3://artifacts/broken.zip cannot be unpacked"):
        fetch(component("broken.zip", b"PK not really", unzip=True), tmp_path, cloud)
    assert not (decompressed_folder(tmp_path, "c", "1.0.0") / "broken").exists()


def test_a_versions_files_are_listed_and_removed(desk: Desk, cloud: Cloud, tmp_path: Path) -> None:
    archive = zipped({"a": "b"})
    desk.upload("listed.zip", archive)
    fetch(component("listed.zip", archive, unzip=True), tmp_path, cloud)
    assert stored(tmp_path) == {("c", "1.0.0")}
    remove(tmp_path, "c", "1.0.0")
    assert stored(tmp_path) == set()
