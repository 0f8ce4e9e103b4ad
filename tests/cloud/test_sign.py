"""Signing a release: keys stay private, and only what a gateway would take is signed."""

import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloud.sign import Keys, create_keys, load_keys, sign_release
from models.errors import PackageError, UsageError
from models.manifest import read_manifest, write_manifest
from models.trust import accept, recheck

SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return create_keys(tmp_path / "keys", "colour")


def test_a_signed_release_is_accepted_and_found_again(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    package = sign_release(colour_run, keys, release=3, floor=2, expires=SOON, out=tmp_path / "package")
    accepted = accept(package, root=keys.root, into=tmp_path / "store" / "3")
    assert (accepted.name, accepted.release, accepted.floor) == ("colour", 3, 2)
    assert recheck(tmp_path / "store" / "3") == accepted
    assert read_manifest(colour_run).release == 0


def test_only_the_chosen_variant_is_shipped(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    shutil.copy(colour_run / "model.onnx", colour_run / "model.int8.onnx")
    package = sign_release(colour_run, keys, release=1, floor=0, expires=SOON, out=tmp_path / "package")
    files = ["MODEL_CARD.md", "golden", "manifest.json", "model.onnx", "tuf"]
    assert sorted(path.name for path in package.iterdir()) == files


def test_keys_are_for_their_owner_only(keys: Keys, tmp_path: Path) -> None:
    home = tmp_path / "keys" / "colour"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.glob("*.pem")}
    assert modes == dict.fromkeys(("root.pem", "timestamp.pem", "snapshot.pem", "targets.pem"), 0o600)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [path.name for path in home.parent.iterdir()] == ["colour"]


def test_keys_are_the_same_when_loaded_again(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    again = load_keys(tmp_path / "keys", "colour")
    package = sign_release(colour_run, again, release=1, floor=0, expires=SOON, out=tmp_path / "package")
    assert accept(package, root=keys.root, into=tmp_path / "accepted").release == 1


def test_keys_are_never_overwritten(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="never overwritten"):
        create_keys(tmp_path / "keys", "colour")


def test_keys_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"keys of model 'colour' cannot be read.*root\.json"):
        load_keys(tmp_path, "colour")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_is_named(keys: Keys, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys" / "colour" / "targets.pem").write_bytes(content)
    with pytest.raises(UsageError, match=r"targets\.pem is not a signing key"):
        load_keys(tmp_path / "keys", "colour")


def test_a_key_of_another_kind_signs_nothing(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "keys" / "colour" / "targets.pem").write_bytes(pem)
    _refused(colour_run, load_keys(tmp_path / "keys", "colour"), tmp_path)


def test_keys_that_do_not_belong_together_sign_nothing(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    create_keys(tmp_path / "others", "colour")
    shutil.copy(tmp_path / "others" / "colour" / "targets.pem", tmp_path / "keys" / "colour" / "targets.pem")
    _refused(colour_run, load_keys(tmp_path / "keys", "colour"), tmp_path)


def test_a_model_that_changed_since_its_manifest_is_not_signed(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    with (colour_run / "model.onnx").open("ab") as file:
        file.write(b"\0")
    _refused(colour_run, keys, tmp_path, match="not the file that the manifest describes")


def test_a_model_that_answers_otherwise_than_its_golden_frames_is_not_signed(
    colour_run: Path, keys: Keys, tmp_path: Path
) -> None:
    answers = json.loads((colour_run / "golden" / "golden.json").read_bytes())
    answers["fp32"]["001.png"]["classes"] = [2]
    (colour_run / "golden" / "golden.json").write_text(json.dumps(answers))
    _refused(colour_run, keys, tmp_path, match="does not answer as its golden frames say: 001.png")


def test_a_model_without_golden_frames_is_not_signed(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    shutil.rmtree(colour_run / "golden")
    _refused(colour_run, keys, tmp_path, match="golden")


def test_a_model_is_not_signed_with_anothers_keys(colour_run: Path, tmp_path: Path) -> None:
    keys = create_keys(tmp_path / "keys", "shape")
    with pytest.raises(UsageError, match="holds model 'colour', but the keys are of 'shape'"):
        sign_release(colour_run, keys, release=1, floor=0, expires=SOON, out=tmp_path / "package")


@pytest.mark.parametrize(("release", "floor"), [(0, 0), (1, 2), (-1, -1), (1, -1)])
def test_a_release_number_that_makes_no_sense_is_refused(
    colour_run: Path, keys: Keys, tmp_path: Path, release: int, floor: int
) -> None:
    with pytest.raises(UsageError, match="need release >= 1"):
        sign_release(colour_run, keys, release=release, floor=floor, expires=SOON, out=tmp_path / "package")


def test_a_package_is_never_overwritten(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    sign_release(colour_run, keys, release=1, floor=0, expires=SOON, out=tmp_path / "package")
    with pytest.raises(UsageError, match="never overwritten"):
        sign_release(colour_run, keys, release=2, floor=0, expires=SOON, out=tmp_path / "package")


def test_a_chosen_variant_that_is_not_there_is_named(colour_run: Path, keys: Keys, tmp_path: Path) -> None:
    manifest = read_manifest(colour_run)
    write_manifest(colour_run, type(manifest)(manifest.name, manifest.task, manifest.labels, manifest.input))
    _refused(colour_run, keys, tmp_path, match="no variant 'fp32'; it has none")


def _refused(run: Path, keys: Keys, tmp_path: Path, *, match: str = ".") -> None:
    out = tmp_path / "out" / "package"
    with pytest.raises(PackageError, match=match):
        sign_release(run, keys, release=1, floor=0, expires=SOON, out=out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
