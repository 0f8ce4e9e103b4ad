"""Recipes say what both nuclei understand, and say it the same way in every release."""

import copy
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from greengrass.component import zip_bytes
from greengrass.recipe import (
    ALIVE,
    RuntimeVersion,
    Wheelhouse,
    artifact_uris,
    challenger_recipe,
    gateway_recipe,
    model_recipe,
    recipe_bytes,
    runtime_recipe,
    with_artifact_uris,
)
from greengrass.recipe_rules import check_recipe

GOLDEN = Path(__file__).parent.parent / "golden" / "recipes"
CONFIGURATION = {
    "model": "coco",
    "window_s": 60.0,
    "cameras": [{"name": "belt", "uri": "http://127.0.0.1:8000/{gateway}", "numbered": True}],
}
RUNTIME = RuntimeVersion("1.31.123456", "venv-0123456789ab")
GATEWAY_URI = "s3://bucket/tidegate.Gateway/0.1.0/tidegate.zip"
RECIPES = {
    "model": model_recipe("coco", 7, artifact_uri="s3://bucket/tidegate.Model.coco/7.0.0/package.zip"),
    "challenger": challenger_recipe("coco", 7, artifact_uri="s3://bucket/tidegate.Model.coco/7.0.0/package.zip"),
    "gateway": gateway_recipe("0.1.0", configuration=CONFIGURATION, python=RUNTIME, artifact_uri=GATEWAY_URI),
    "gateway-development": gateway_recipe(
        "0.1.0", configuration=CONFIGURATION, python="/opt/it's here/python3", artifact_uri=GATEWAY_URI
    ),
    "runtime": runtime_recipe(
        RUNTIME,
        pythons=("3.11", "3.13"),
        wheelhouses=[
            Wheelhouse("amd64", "s3://bucket/wheels-linux-amd64.zip", 400_000),
            Wheelhouse("aarch64", "s3://bucket/wheels-linux-aarch64.zip", 300_000),
        ],
        setup_uri="s3://bucket/setup.sh",
        keep_uri="s3://bucket/keep.sh",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_it_was_when_it_was_released(name: str) -> None:
    """Set TIDEGATE_REWRITE_GOLDEN=1 to take the present recipes as right."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("TIDEGATE_REWRITE_GOLDEN"):
        path.write_bytes(recipe_bytes(RECIPES[name]))

    assert recipe_bytes(RECIPES[name]) == path.read_bytes()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_recipe_released_keeps_the_rules(path: Path) -> None:
    check_recipe(json.loads(path.read_bytes()))


def test_more_cameras_than_nucleus_lite_takes_as_values_are_one_string() -> None:
    zone = {"name": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    cameras = [{"name": f"c{number}", "uri": "usb:0", "analytics": {"zones": [zone]}} for number in range(20)]

    def defaults(count: int) -> Any:
        configuration = {**CONFIGURATION, "cameras": cameras[:count]}
        recipe = gateway_recipe("0.1.0", configuration=configuration, python="python3", artifact_uri=GATEWAY_URI)
        check_recipe(recipe)
        return recipe["ComponentConfiguration"]["DefaultConfiguration"]["gateway"]

    assert defaults(2)["cameras"] == cameras[:2]
    assert isinstance(defaults(20)["cameras"], str)
    assert json.loads(defaults(20)["cameras"]) == cameras
    assert defaults(20)["window_s"] == 60.0


@pytest.mark.parametrize("name", RECIPES)
def test_shellcheck_finds_nothing_in_a_recipes_scripts(name: str) -> None:
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))
    for step, content in RECIPES[name]["Manifests"][0]["Lifecycle"].items():
        if step != "Setenv":
            words = [shellcheck, "--shell=sh", "-"]
            done = subprocess.run(words, input=content["Script"], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, ""), step


def test_artifacts_can_be_put_elsewhere_without_touching_the_recipe() -> None:
    original = copy.deepcopy(RECIPES["model"])

    moved = with_artifact_uris(RECIPES["model"], {"package.zip": "s3://other/p.zip"})

    assert artifact_uris(moved) == ["s3://other/p.zip"]
    assert RECIPES["model"] == original
    check_recipe(moved)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The folders that the variables of a recipe stand for, with blanks in their names as nobody should have."""
    for folder in ("artifacts", "un packed", "work"):
        (tmp_path / folder).mkdir()
    return tmp_path


def _model_script(device: Path, recipe: str = "model") -> str:
    script = str(RECIPES[recipe]["Manifests"][0]["Lifecycle"]["run"]["Script"])
    for variable, folder in (
        ("artifacts:path", "artifacts"),
        ("artifacts:decompressedPath", "un packed"),
        ("work:path", "work/"),  # nucleus lite's ends in a slash
    ):
        script = script.replace(f"{{{variable}}}", f"{device}/{folder}")
    return script


def _run_until_it_points(script: str, pointer: Path) -> Path:
    """Where the pointer points after the script has replaced it; the script must stay, and go when it is told to."""
    pointer.write_text("/old/package\n")
    process = subprocess.Popen(["dash" if shutil.which("dash") else "sh", "-c", script])
    try:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{process.pid}/comm").read_text() != "tail\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None
    finally:
        process.terminate()
    assert process.wait(5) == -signal.SIGTERM
    return Path(pointer.read_text().removesuffix("\n"))


def test_the_models_script_points_at_the_package_and_stays_until_it_is_told_to_go(device: Path) -> None:
    (device / "un packed" / "package").mkdir()

    package = _run_until_it_points(_model_script(device), device / "work" / "pointer")

    assert package == device / "un packed" / "package"
    assert [path.name for path in (device / "work").iterdir()] == ["pointer"]


def test_the_models_script_unpacks_what_nucleus_lite_leaves_packed_in_a_local_deployment(device: Path) -> None:
    (device / "artifacts" / "package.zip").write_bytes(zip_bytes({"manifest.json": b"{}", "golden/1.png": b"1"}))
    (device / "work" / "package-6.0.0").mkdir()

    package = _run_until_it_points(_model_script(device), device / "work" / "pointer")

    assert (package / "golden" / "1.png").read_bytes() == b"1"
    # the one before is gone: the gateway has a copy of its own
    assert package.parent == device / "work"
    assert {path.name for path in (device / "work").iterdir()} == {"pointer", package.name}


def test_a_challengers_script_holds_a_lock_for_as_long_as_it_lives(device: Path) -> None:
    (device / "un packed" / "package").mkdir()
    process = subprocess.Popen(["dash" if shutil.which("dash") else "sh", "-c", _model_script(device, "challenger")])
    try:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{process.pid}/comm").read_text() != "tail\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (device / "work" / "pointer").read_text() == f"{device}/un packed/package\n"
        with (device / "work" / ALIVE).open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        process.kill()
        process.wait(5)

    with (device / "work" / ALIVE).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_the_models_script_fails_where_it_cannot_write(device: Path) -> None:
    (device / "un packed" / "package").mkdir()
    (device / "work").rmdir()

    ended = subprocess.run(["sh", "-c", _model_script(device)], capture_output=True, timeout=10)

    assert ended.returncode == 1


def test_the_gateways_script_waits_for_the_runtimes_python(device: Path) -> None:
    script = RECIPES["gateway"]["Manifests"][0]["Lifecycle"]["run"]["Script"].replace("{kernel:rootPath}", str(device))
    python = device / "work" / "tidegate.Runtime" / RUNTIME.environment / "bin" / "python"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "waiting for tidegate.Runtime" in process.stderr.readline()
    assert process.poll() is None

    python.parent.mkdir(parents=True)
    python.with_name("new").write_text('#!/bin/sh\necho "$@"\n')
    python.with_name("new").chmod(0o755)
    python.with_name("new").rename(python)

    said, _ = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "-m edge.component\n")
