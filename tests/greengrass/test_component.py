"""Building components: whole, the same each time, and nothing in them that a gateway has no use for."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from greengrass.component import (
    build_gateway,
    build_model,
    content_digest,
    development_version,
    gateway_files,
    read_built,
    zip_bytes,
)
from models.errors import DeployError, PackageError
from models.manifest import read_manifest, write_manifest
from tests.greengrass.world import make_package

CONFIGURATION = {"model": "coco", "cameras": [{"name": "belt", "uri": "usb:0"}]}
PYTHON = "/usr/bin/python3"


def test_the_same_files_give_the_same_zip_whenever_and_in_whichever_order() -> None:
    files = {"b/two.py": b"2" * 5000, "a.py": b"1"}

    first, second = zip_bytes(files), zip_bytes(dict(reversed(files.items())))

    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.namelist() == ["a.py", "b/two.py"]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_gateway_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for out in ("first", "second"):
        build_gateway(tmp_path / out, version="0.1.0", configuration=CONFIGURATION, python=PYTHON)

    first, second = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*") if path.is_file()}
        for out in ("first", "second")
    )
    assert first == second
    assert len(first) == 2


def test_a_model_copied_to_another_place_builds_to_the_same_bytes(tmp_path: Path) -> None:
    one, two = make_package(tmp_path / "one"), make_package(tmp_path / "two")
    os.utime(two / "model.onnx", (1, 1))

    first, second = build_model(one, tmp_path / "a"), build_model(two, tmp_path / "b")

    assert first.artifacts[0].read_bytes() == second.artifacts[0].read_bytes()
    assert first.recipe == second.recipe


def test_a_gateway_gets_the_code_of_edge_and_models_and_nothing_else(tmp_path: Path) -> None:
    built = build_gateway(tmp_path, version="0.1.0", configuration=CONFIGURATION, python=PYTHON)

    with zipfile.ZipFile(built.artifacts[0]) as archive:
        names = archive.namelist()

    assert {name.split("/")[0] for name in names} == {"edge", "models"}
    assert {Path(name).suffix for name in names} == {".py"}
    assert "models/wire.py" in names
    assert names == sorted(gateway_files())


def test_the_code_in_the_artifact_runs_from_there(tmp_path: Path) -> None:
    built = build_gateway(tmp_path / "out", version="0.1.0", configuration=CONFIGURATION, python=PYTHON)
    with zipfile.ZipFile(built.artifacts[0]) as archive:
        archive.extractall(tmp_path / "tidegate")

    where = subprocess.run(
        [sys.executable, "-c", "import models.wire; print(models.wire.__file__)"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "tidegate")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert Path(where) == tmp_path / "tidegate" / "models" / "wire.py"


def test_the_gateway_runs_out_of_its_archive_too(tmp_path: Path) -> None:
    """Nucleus lite leaves the archives of a local deployment packed."""
    built = build_gateway(tmp_path / "out", version="0.1.0", configuration=CONFIGURATION, python=PYTHON)
    environment = {name: value for name, value in os.environ.items() if name != "AWS_IOT_THING_NAME"}

    ran = subprocess.run(
        [sys.executable, "-m", "edge.component"],
        env={**environment, "PYTHONPATH": f"{tmp_path / 'nothing'}:{built.artifacts[0]}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode != 0
    assert "AWS_IOT_THING_NAME is not set" in ran.stderr


def test_what_was_built_is_read_back(tmp_path: Path, package: Path) -> None:
    gateway = build_gateway(tmp_path / "out", version="0.1.0", configuration=CONFIGURATION, python=PYTHON)
    model = build_model(package, tmp_path / "out")

    assert read_built(tmp_path / "out") == [gateway, model]
    assert (tmp_path / "out" / "recipes" / "tidegate.Model.coco-3.0.0.json").is_file()
    assert model.artifacts == (tmp_path / "out" / "artifacts" / "tidegate.Model.coco" / "3.0.0" / "package.zip",)


def test_the_content_digest_follows_content_and_not_compression(tmp_path: Path, package: Path) -> None:
    built = build_model(package, tmp_path / "out")
    before = content_digest(built)
    with zipfile.ZipFile(built.artifacts[0]) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    with zipfile.ZipFile(built.artifacts[0], "w", zipfile.ZIP_STORED) as archive:
        for name, content in reversed(files.items()):
            archive.writestr(name, content)
    assert content_digest(built) == before

    with zipfile.ZipFile(built.artifacts[0], "a") as archive:
        archive.writestr("more", b"")
    assert content_digest(built) != before


def test_a_development_version_changes_with_the_configuration_and_is_a_version() -> None:
    first = development_version(CONFIGURATION, "python3")

    assert first == development_version(CONFIGURATION, "python3")
    assert first != development_version({**CONFIGURATION, "window_s": 5}, "python3")
    assert first != development_version(CONFIGURATION, "/usr/bin/python3")


def test_an_unsigned_package_is_not_built(tmp_path: Path, package: Path) -> None:
    (package / "tuf" / "timestamp.json").unlink()

    with pytest.raises(PackageError, match="is not signed"):
        build_model(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_recipe_in_yaml_is_refused(tmp_path: Path, package: Path) -> None:
    build_model(package, tmp_path)
    (tmp_path / "recipes" / "other-1.0.0.yaml").write_text("ComponentName: other\n")

    with pytest.raises(DeployError, match=r"other-1.0.0.yaml: recipes are JSON"):
        read_built(tmp_path)


@pytest.mark.parametrize("touched", ["model.onnx", "manifest.json", "tuf/targets.json", "tuf/1.root.json"])
def test_a_package_that_was_touched_is_not_built(tmp_path: Path, package: Path, touched: str) -> None:
    content = bytearray((package / touched).read_bytes())
    content[-3] ^= 1
    (package / touched).write_bytes(content)

    with pytest.raises(PackageError, match=r"not what was signed|is not JSON"):
        build_model(package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_folder_is_not_built(tmp_path: Path) -> None:
    run = make_package(tmp_path / "run")
    write_manifest(
        run, type(manifest := read_manifest(run))(manifest.name, manifest.task, manifest.labels, manifest.input)
    )

    with pytest.raises(PackageError, match="is not signed"):
        build_model(run, tmp_path / "out")


def test_a_folder_without_recipes_says_how_to_build_some(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="tidegate component build"):
        read_built(tmp_path)


def test_a_recipe_without_its_artifact_is_not_read(tmp_path: Path, package: Path) -> None:
    built = build_model(package, tmp_path)
    built.artifacts[0].unlink()

    with pytest.raises(DeployError, match=r"package\.zip is missing"):
        read_built(tmp_path)


def test_a_recipe_edited_by_hand_keeps_the_rules_or_is_not_read(tmp_path: Path, package: Path) -> None:
    build_model(package, tmp_path)
    path = tmp_path / "recipes" / "tidegate.Model.coco-3.0.0.json"
    recipe = json.loads(path.read_bytes())
    recipe["Manifests"][0]["Lifecycle"]["shutdown"] = "true"
    path.write_text(json.dumps(recipe))

    with pytest.raises(DeployError, match=r"tidegate.Model.coco-3.0.0.json: .*Lifecycle: .*'shutdown'"):
        read_built(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, package: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DeployError, match="cannot be written"):
        build_model(package, tmp_path / "file")
