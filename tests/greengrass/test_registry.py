"""The registry: releases by name and number, each once."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.sign import Keys, create_keys, sign_release
from greengrass.objects import DiskStore
from greengrass.registry import (
    ReleaseId,
    fetch_package,
    fetch_run,
    next_release,
    parse_release,
    publish,
    read_release,
    releases,
    zip_folder,
)
from models.errors import StoreError, UsageError
from models.trust import accept
from tidegate import main

SOON = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return create_keys(tmp_path / "keys", "colour")


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "registry")


def signed(run: Path, keys: Keys, number: int) -> Path:
    return sign_release(run, keys, release=number, floor=0, expires=SOON, out=run.parent / f"package-{number}")


def test_what_is_published_comes_back_trusted_and_whole(
    colour_run: Path, keys: Keys, store: DiskStore, tmp_path: Path
) -> None:
    release = publish(store, signed(colour_run, keys, 1), colour_run)
    assert str(release) == "colour@1"
    package = fetch_package(store, release, tmp_path / "fetched")
    assert accept(package, root=keys.root, into=tmp_path / "accepted") == read_release(store, release)
    run = fetch_run(store, release, tmp_path / "run")
    assert zip_folder(run) == zip_folder(colour_run)


def test_a_number_is_used_once(colour_run: Path, keys: Keys, store: DiskStore) -> None:
    package = signed(colour_run, keys, 1)
    publish(store, package, colour_run)
    before = store.get("models/colour/1/package.zip")
    with pytest.raises(StoreError, match="colour@1 was published before"):
        publish(store, package, colour_run)
    assert store.get("models/colour/1/package.zip") == before
    assert (releases(store, "colour"), next_release(store, "colour")) == ([1], 2)


def test_a_publisher_that_died_half_way_leaves_no_release_and_burns_its_number(
    colour_run: Path, keys: Keys, store: DiskStore
) -> None:
    publish(store, signed(colour_run, keys, 1), colour_run)
    store.put_new("models/colour/2/run.zip", b"all that it got to write")
    assert (releases(store, "colour"), next_release(store, "colour")) == ([1], 3)
    with pytest.raises(StoreError, match="colour@2 is not in the registry; releases of 'colour' there: 1"):
        read_release(store, ReleaseId("colour", 2))


def test_numbers_are_sorted_as_numbers(store: DiskStore) -> None:
    for number in (9, 10, 2):
        store.put(f"models/colour/{number}/package.zip", b"")
    store.put("models/colour/notes.txt", b"")
    store.put("models/colours/99/package.zip", b"")
    assert releases(store, "colour") == [2, 9, 10]


def test_a_damaged_release_is_refused_and_leaves_nothing(
    colour_run: Path, keys: Keys, store: DiskStore, tmp_path: Path
) -> None:
    good = zip_folder(signed(colour_run, keys, 1))
    fetched = tmp_path / "fetched" / "package"
    for bad in (b"", b"not a ZIP", good[: len(good) // 2], good[:60] + b"\xff" * 40 + good[100:]):
        store.put("models/colour/1/package.zip", bad)
        with pytest.raises(StoreError, match="damaged"):
            fetch_package(store, ReleaseId("colour", 1), fetched)
        assert list(fetched.parent.iterdir()) == []


def test_a_release_cannot_write_outside_its_folder(store: DiskStore, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../escaped", b"")
        archive.writestr("/escaped", b"")
    store.put("models/colour/1/package.zip", buffer.getvalue())
    fetch_package(store, ReleaseId("colour", 1), tmp_path / "deep" / "fetched")
    assert [path.name for path in tmp_path.rglob("escaped")] == ["escaped"]
    assert (tmp_path / "deep" / "fetched" / "escaped").exists()


@pytest.mark.parametrize(
    "text", ["coco", "coco@", "coco@0", "coco@-1", "coco@01", "Coco@1", "@1", "coco@1\n", "co/co@1"]
)
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a release as NAME@RELEASE"):
        parse_release(text)


def test_release_command_signs_publishes_and_lists(
    colour_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--registry", str(tmp_path / "registry"), "--keys", str(tmp_path / "keys"), "--json"]
    assert main(["release", str(colour_run), *places]) == 0
    said = capsys.readouterr()
    assert "New signing keys of model 'colour'" in said.err
    first = json.loads(said.out)
    assert main(["release", str(colour_run), "--floor", "1", *places]) == 0
    assert main(["release", str(colour_run), *places]) == 0
    capsys.readouterr()
    assert main(["release", "--list", "colour", *places]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(entry["release"], entry["floor"]) for entry in listed] == [
        ("colour@1", 0),
        ("colour@2", 1),
        ("colour@3", 1),
    ]

    package = fetch_package(DiskStore(tmp_path / "registry"), parse_release(first["release"]), tmp_path / "package")
    assert accept(package, root=Path(first["root"]).read_bytes(), into=tmp_path / "accepted").release == 1


def test_release_command_refuses_what_gateways_would_refuse(
    colour_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--registry", str(tmp_path / "registry"), "--keys", str(tmp_path / "keys")]
    assert main(["release", str(colour_run), "--floor", "2", *places]) == 2
    assert main(["release", str(colour_run), "--floor", "1", *places]) == 0
    assert main(["release", str(colour_run), "--floor", "0", *places]) == 2
    (tmp_path / "keys").rename(tmp_path / "lost")
    assert main(["release", str(colour_run), *places]) == 2
    said = capsys.readouterr().err
    assert "--floor must be at least 1, as in colour@1, got 0" in said
    assert "keys of model 'colour' cannot be read" in said
    assert not (tmp_path / "keys").exists()
    assert releases(DiskStore(tmp_path / "registry"), "colour") == [1]


@pytest.mark.parametrize(
    ("touch", "words", "code", "complaint"),
    [
        (True, [], 1, "model.onnx is not the file that the manifest describes"),
        (False, ["--expires-days", "99999999"], 2, "--expires-days must be in 1..7300, got 99999999"),
        (False, ["--expires-days", "0"], 2, "--expires-days must be in 1..7300, got 0"),
        (False, ["--keys", "{colour}/manifest.json"], 2, "keys cannot be made in"),
    ],
)
def test_release_command_refuses_in_one_line_and_leaves_neither_keys_nor_a_release(
    colour_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    touch: bool,
    words: list[str],
    code: int,
    complaint: str,
) -> None:
    if touch:
        with (colour_run / "model.onnx").open("ab") as file:
            file.write(b"\0")
    places = ["--registry", str(tmp_path / "registry"), "--keys", str(tmp_path / "keys")]
    assert main(["release", str(colour_run), *places, *(word.format(colour=colour_run) for word in words)]) == code
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [colour_run.name]


def test_release_command_says_what_is_missing(
    colour_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEGATE_REGISTRY", raising=False)
    monkeypatch.delenv("TIDEGATE_KEYS", raising=False)
    assert main(["release", str(colour_run)]) == 2
    assert main(["release", str(colour_run), "--registry", str(tmp_path / "registry")]) == 2
    assert main(["release", str(tmp_path), "--registry", str(tmp_path / "registry"), "--keys", str(tmp_path)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert ["which registry?" in said[0], "which keys?" in said[1], "holds no manifest.json" in said[2]] == [True] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["colour-run"]
