"""What is checked of a release before it is rolled out."""

from pathlib import Path

import pytest

from cloud.rollout.starting import read_said
from greengrass.objects import DiskStore
from greengrass.registry import publish
from models.errors import RolloutError
from models.manifest import sha256_file
from tests.greengrass.world import make_package


def registry_of(folder: Path, *releases: int) -> DiskStore:
    store = DiskStore(folder / "registry")
    for release in releases:
        package = make_package(folder / str(release), release=release)
        publish(store, package, package)
    return store


def root_of(folder: Path) -> bytes:
    return (folder / "1" / "tuf" / "1.root.json").read_bytes()


def test_what_the_registry_says_is_kept_with_the_rollout(tmp_path: Path) -> None:
    store = registry_of(tmp_path, 1, 2)

    said = read_said(store, "coco", 2, 1, root=root_of(tmp_path))

    # the same file was released twice
    assert said.digests == {sha256_file(tmp_path / "1" / "model.onnx"): (1, 2)}
    assert said.released == (1, 2)


def test_a_release_whose_signature_does_not_verify_is_not_begun(tmp_path: Path) -> None:
    package = make_package(tmp_path / "1", release=1)
    (package / "model.onnx").write_bytes(b"other weights")
    store = DiskStore(tmp_path / "registry")
    publish(store, package, package)

    with pytest.raises(RolloutError, match=r"coco@1 must not be rolled out: .*; sign and publish it again"):
        read_said(store, "coco", 1, None, root=None)


def test_a_release_signed_by_somebody_else_is_not_begun(tmp_path: Path) -> None:
    store = registry_of(tmp_path, 1)
    other = make_package(tmp_path / "other", name="other", release=1)

    with pytest.raises(RolloutError, match="coco@1 must not be rolled out"):
        read_said(store, "coco", 1, None, root=(other / "tuf" / "1.root.json").read_bytes())


def test_a_release_that_nobody_published_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="coco@9 must not be rolled out: release coco@9 is not in the registry"):
        read_said(registry_of(tmp_path, 1), "coco", 9, 1, root=None)


def test_an_incumbent_that_the_registry_has_lost_hinders_nothing(tmp_path: Path) -> None:
    said = read_said(registry_of(tmp_path, 2), "coco", 2, 1, root=None)

    assert list(said.digests.values()) == [(2,)]
