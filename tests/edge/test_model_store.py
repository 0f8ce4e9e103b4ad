"""A release is run only if the right people signed it, it is not too old, and it has not failed here before."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.sign import create_keys, sign_release
from edge.model_store import ModelStore
from models.errors import PackageError
from models.manifest import MANIFEST

MakeRelease = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path, trust: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", model="colour", trust=trust)


def stored_releases(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "models" / "colour").iterdir() if path.is_dir())


def test_a_signed_release_is_copied_and_outlives_its_package(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    package = make_release(1)
    stored = store.take(package)
    store.now_runs(1)
    shutil.rmtree(package)
    assert stored.manifest.release == 1
    assert (stored.folder / "model.onnx").is_file()
    again = ModelStore(tmp_path / "models", model="colour", trust=tmp_path / "trust")
    assert [found.manifest.release for found in again.last_running()] == [1]


def test_the_running_release_and_the_one_before_are_kept(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    for release in (1, 2, 3):
        store.take(make_release(release))
        store.now_runs(release)
    assert stored_releases(tmp_path) == ["2", "3"]
    assert [found.manifest.release for found in store.last_running()] == [3, 2]


def test_going_back_takes_the_copy_even_after_the_signature_expired(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=5)
    first = make_release(1, expires=soon)
    store.take(first)
    store.now_runs(1)
    store.take(make_release(2))
    store.now_runs(2)
    eventually(lambda: datetime.now(UTC) > soon)
    assert store.take(first).manifest.release == 1
    fresh = ModelStore(tmp_path / "other", model="colour", trust=tmp_path / "trust")
    with pytest.raises(PackageError, match="expired"):
        fresh.take(first)


def test_a_release_below_the_floor_is_refused_also_after_a_restart(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    first = make_release(1)
    store.take(first)
    store.take(make_release(3, floor=2))
    again = ModelStore(tmp_path / "models", model="colour", trust=tmp_path / "trust")
    with pytest.raises(PackageError, match="below the floor of 2"):
        again.take(first)
    assert again.take(make_release(2)).manifest.release == 2


def test_a_release_that_failed_is_not_tried_again_also_after_a_restart(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    package = make_release(2)
    store.take(package)
    store.has_failed(2, "it saw nothing but bottles")
    again = ModelStore(tmp_path / "models", model="colour", trust=tmp_path / "trust")
    with pytest.raises(PackageError, match="has failed on this gateway before: it saw nothing but bottles"):
        again.take(package)


def test_a_touched_package_is_refused_and_leaves_nothing(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    package = make_release(1)
    with (package / "model.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(PackageError, match="not what was signed"):
        store.take(package)
    assert stored_releases(tmp_path) == []


def test_a_package_signed_by_others_is_refused(store: ModelStore, colour_run: Path, tmp_path: Path) -> None:
    strangers = create_keys(tmp_path / "strangers", "colour")
    until = datetime.now(UTC) + timedelta(days=1)
    package = sign_release(colour_run, strangers, release=9, floor=0, expires=until, out=tmp_path / "theirs")
    with pytest.raises(PackageError, match="not by a key this gateway trusts"):
        store.take(package)


def test_a_copy_that_the_disk_damaged_is_replaced_from_the_package(
    store: ModelStore, make_release: MakeRelease
) -> None:
    package = make_release(1)
    copy = store.take(package).folder / "model.onnx"
    copy.write_bytes(b"rot")
    assert store.take(package).manifest.release == 1
    assert copy.read_bytes() == (package / "model.onnx").read_bytes()


def test_releases_that_are_refused_or_fail_leave_no_copies_behind(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    store.take(make_release(4, floor=4))
    store.now_runs(4)
    for release in (1, 2, 3):
        with pytest.raises(PackageError, match="below the floor"):
            store.take(make_release(release))
    for release in (5, 6, 7):
        store.take(make_release(release))
        store.has_failed(release, "it saw nothing but bottles")
        with pytest.raises(PackageError, match="has failed on this gateway before"):
            store.take(tmp_path / "packages" / str(release))
    assert stored_releases(tmp_path) == ["4"]


def test_a_release_that_failed_is_not_what_a_start_falls_back_on(
    store: ModelStore, make_release: MakeRelease, tmp_path: Path
) -> None:
    for release in (1, 2):
        store.take(make_release(release))
        store.now_runs(release)
    store.has_failed(2, "it saw nothing but bottles")
    store.now_runs(1)
    (tmp_path / "models" / "colour" / "1" / "model.onnx").write_bytes(b"rot")
    assert store.last_running() == []


def test_without_a_root_of_trust_nothing_is_run(make_release: MakeRelease, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", model="colour", trust=tmp_path / "nowhere")
    with pytest.raises(PackageError, match="no root of trust for model 'colour'"):
        store.take(make_release(1))


def test_a_model_of_another_name_is_refused(tmp_path: Path, trust: Path, make_release: MakeRelease) -> None:
    shutil.copy(trust / "colour.root.json", trust / "shape.root.json")
    store = ModelStore(tmp_path / "models", model="shape", trust=trust)
    with pytest.raises(PackageError, match="holds model 'colour', this gateway runs 'shape'"):
        store.take(make_release(1))


def test_a_model_of_another_name_is_not_taken_for_the_release_of_that_number_which_is_here(
    store: ModelStore, make_release: MakeRelease
) -> None:
    package = make_release(1)
    store.take(package)
    manifest = package / MANIFEST
    manifest.write_text(manifest.read_text().replace('"colour"', '"shape"'))
    with pytest.raises(PackageError, match="holds model 'shape', this gateway runs 'colour'"):
        store.take(package)


def test_what_is_no_package_is_refused(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"holds no manifest\.json"):
        store.take(tmp_path)
