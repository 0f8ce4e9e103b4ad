"""A gateway takes a package only as it was signed, and is left with nothing when it refuses."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets

from cloud.sign import Keys, create_keys, sign_files, sign_release
from models.errors import PackageError
from models.trust import ACCEPTED, METADATA, accept, recheck

SOON = datetime.now(UTC) + timedelta(days=1)
SIGNED_FILES = ("MODEL_CARD.md", "manifest.json", "model.onnx", "golden/000.png", "golden/golden.json")
METADATA_FILES = ("tuf/timestamp.json", "tuf/snapshot.json", "tuf/targets.json")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return create_keys(tmp_path / "keys", "colour")


@pytest.fixture
def package(colour_run: Path, keys: Keys, tmp_path: Path) -> Path:
    return sign_release(colour_run, keys, release=1, floor=1, expires=SOON, out=tmp_path / "package")


@pytest.fixture
def refused(keys: Keys, tmp_path: Path) -> Callable[..., None]:
    """Asserts that a package is refused, and that nothing of it is left."""

    def check(package: Path, *, root: bytes = keys.root, match: str = ".") -> None:
        store = tmp_path / "store"
        with pytest.raises(PackageError, match=match):
            accept(package, root=root, into=store / "release")
        assert list(store.iterdir()) == []

    return check


def test_what_was_signed_is_copied_and_nothing_else(package: Path, keys: Keys, tmp_path: Path) -> None:
    (package / "extra.onnx").write_bytes(b"not signed")
    (package / "golden" / "extra.png").write_bytes(b"not signed")
    accept(package, root=keys.root, into=tmp_path / "store" / "release")
    kept = {path.relative_to(tmp_path / "store" / "release").as_posix() for path in _files(tmp_path / "store")}
    assert kept == {*SIGNED_FILES, "golden/001.png", "golden/002.png", ACCEPTED}


@pytest.mark.parametrize("name", SIGNED_FILES + METADATA_FILES)
def test_a_flipped_bit_anywhere_is_refused(package: Path, refused: Callable[..., None], name: str) -> None:
    good = (package / name).read_bytes()
    for position in sorted({0, 1, len(good) // 3, len(good) // 2, len(good) - 3}):
        # the signed part of metadata is canonical JSON, so a flipped bit in its white space would change nothing
        if bytes((good[position],)).isspace():
            continue
        bad = bytearray(good)
        bad[position] ^= 1
        (package / name).write_bytes(bad)
        refused(package)


@pytest.mark.parametrize("name", SIGNED_FILES + METADATA_FILES)
@pytest.mark.parametrize("length", [0, 100])
def test_a_truncated_file_is_refused(package: Path, refused: Callable[..., None], name: str, length: int) -> None:
    (package / name).write_bytes((package / name).read_bytes()[: min(length, (package / name).stat().st_size - 1)])
    refused(package)


@pytest.mark.parametrize("name", SIGNED_FILES + METADATA_FILES)
def test_a_file_that_grew_is_refused(package: Path, refused: Callable[..., None], name: str) -> None:
    with (package / name).open("ab") as file:
        file.write(b"x" * 5_000_000)
    refused(package)


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_a_missing_file_is_refused(package: Path, refused: Callable[..., None], name: str) -> None:
    (package / name).unlink()
    refused(package, match="a signed file is missing")


def test_a_missing_signature_is_refused(package: Path, refused: Callable[..., None]) -> None:
    shutil.rmtree(package / METADATA)
    refused(package, match="is not signed")


def test_a_pipe_in_a_files_place_is_refused_without_waiting(package: Path, refused: Callable[..., None]) -> None:
    (package / "model.onnx").unlink()
    os.mkfifo(package / "model.onnx")
    refused(package, match="a signed file is missing")


def test_another_root_of_trust_refuses(package: Path, refused: Callable[..., None], tmp_path: Path) -> None:
    others = create_keys(tmp_path / "others", "colour")
    refused(package, root=others.root, match="not by a key this gateway trusts")


@pytest.mark.parametrize("root", [b"", b"{}", b"not JSON", b"\xff\xfe"])
def test_a_damaged_root_of_trust_refuses(package: Path, refused: Callable[..., None], root: bytes) -> None:
    refused(package, root=root)


def test_a_root_in_the_package_does_not_make_itself_trusted(
    colour_run: Path, refused: Callable[..., None], tmp_path: Path
) -> None:
    others = create_keys(tmp_path / "others", "colour")
    package = sign_release(colour_run, others, release=1, floor=0, expires=SOON, out=tmp_path / "forged")
    (package / METADATA / "2.root.json").write_bytes(others.root)
    refused(package)


def test_an_expired_signature_is_refused_at_first_and_later_forgiven(
    colour_run: Path, keys: Keys, refused: Callable[..., None], package: Path, tmp_path: Path
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with pytest.raises(PackageError, match="has expired"):
        sign_release(colour_run, keys, release=2, floor=1, expires=yesterday, out=tmp_path / "stale")
    accept(package, root=keys.root, into=tmp_path / "kept")
    # whoever was accepted in time is looked at by digest alone, whatever the clock says now
    assert recheck(tmp_path / "kept").release == 1


@pytest.mark.parametrize("name", METADATA_FILES)
def test_metadata_of_another_release_is_refused(
    colour_run: Path, keys: Keys, package: Path, refused: Callable[..., None], tmp_path: Path, name: str
) -> None:
    other = sign_release(colour_run, keys, release=2, floor=1, expires=SOON, out=tmp_path / "other")
    shutil.copy(other / name, package / name)
    refused(package)


@pytest.mark.parametrize("name", METADATA_FILES)
def test_one_role_does_not_stand_in_for_another(package: Path, refused: Callable[..., None], name: str) -> None:
    for other in METADATA_FILES:
        if other != name:
            shutil.copy(package / other, package / name)
            refused(package)


def test_a_manifest_that_describes_another_file_is_refused(
    colour_run: Path, keys: Keys, refused: Callable[..., None]
) -> None:
    # signed in earnest, by somebody who did not look: the gateway looks all the same
    with (colour_run / "model.onnx").open("ab") as file:
        file.write(b"\0")
    sign_files(colour_run, keys, version=1, expires=SOON)
    refused(colour_run, match="variant 'fp32' is not the file that the manifest describes")


@pytest.mark.parametrize("text", ["", "null", "[]", '{"name": "colour"}', '{"format": 99}', "[" * 100_000])
def test_a_signed_manifest_that_is_none_is_refused(
    colour_run: Path, keys: Keys, refused: Callable[..., None], text: str
) -> None:
    (colour_run / "manifest.json").write_text(text)
    sign_files(colour_run, keys, version=1, expires=SOON)
    refused(colour_run, match=r"manifest\.json")


def test_a_signed_package_without_a_manifest_is_refused(
    colour_run: Path, keys: Keys, refused: Callable[..., None]
) -> None:
    (colour_run / "manifest.json").unlink()
    sign_files(colour_run, keys, version=1, expires=SOON)
    refused(colour_run, match=r"manifest\.json is not among the signed files")


def test_an_accepted_release_is_never_overwritten(package: Path, keys: Keys, tmp_path: Path) -> None:
    accept(package, root=keys.root, into=tmp_path / "release")
    with pytest.raises(PackageError, match="never overwritten"):
        accept(package, root=keys.root, into=tmp_path / "release")


@pytest.mark.parametrize("name", SIGNED_FILES)
def test_an_accepted_file_that_changed_or_went_is_noticed(package: Path, keys: Keys, tmp_path: Path, name: str) -> None:
    accept(package, root=keys.root, into=tmp_path / "release")
    path = tmp_path / "release" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(PackageError, match="has changed since it was accepted"):
        recheck(tmp_path / "release")
    path.unlink()
    with pytest.raises(PackageError, match="is missing from an accepted release"):
        recheck(tmp_path / "release")
    path.write_bytes(content)
    assert recheck(tmp_path / "release").release == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"manifest.json": 3}', '{"manifest.json": "ab", "\\u0000": "x"}']
)
def test_a_damaged_list_of_digests_is_noticed(package: Path, keys: Keys, tmp_path: Path, text: str) -> None:
    accept(package, root=keys.root, into=tmp_path / "release")
    (tmp_path / "release" / ACCEPTED).write_text(text)
    with pytest.raises(PackageError):
        recheck(tmp_path / "release")


@pytest.mark.parametrize("name", ["../secret", ACCEPTED, f"{METADATA}/x.json"])
def test_a_name_that_a_package_may_not_hold_is_refused(
    package: Path, keys: Keys, refused: Callable[..., None], tmp_path: Path, name: str
) -> None:
    (package / name).write_bytes(b"of the gateway")
    metadata = Metadata[Targets].from_file(str(package / METADATA / "targets.json"))
    metadata.signed.targets[name] = TargetFile.from_file(name, str(package / name), ["sha256"])
    metadata.sign(keys.signers["targets"])
    metadata.to_file(str(package / METADATA / "targets.json"))
    refused(package, match="is not a file that a package may hold")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
