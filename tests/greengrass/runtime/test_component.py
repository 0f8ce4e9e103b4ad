"""Building tidegate.Runtime: the same bytes each time, a version that follows from what is in it, nothing on trust."""

import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from greengrass.component import artifact_bytes, content_digest, read_built
from greengrass.recipe_rules import check_recipe
from greengrass.runtime.component import Devices, build_runtime, runtime_version
from greengrass.runtime.lock import ROOT, gateway_requirements
from greengrass.runtime.wheelhouse import ARCHITECTURES, LOCK, PYTHONS, Lock, Target, fetch_wheels, pinned
from models.errors import DeployError, UsageError

BOTH = Devices()
SHARED = ("tuf-7.0-py3-none-any.whl", "pip-26.0-py3-none-any.whl")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Wheels as fetch_wheels keeps them; onnxruntime's differ by platform and Python."""
    for platform in ARCHITECTURES:
        for python in ("3.11", "3.13"):
            folder = tmp_path / "cache" / f"{platform.replace('/', '-')}-py{python}"
            folder.mkdir(parents=True)
            own = f"onnxruntime-1.31.1-cp{python.replace('.', '')}-{ARCHITECTURES[platform]}.whl"
            for name in (*SHARED, own):
                (folder / name).write_bytes(_wheel(name))
    return tmp_path / "cache"


@pytest.fixture
def lock(tmp_path: Path, cache: Path) -> Lock:
    digests: dict[str, set[str]] = {}
    for wheel in cache.rglob("*.whl"):
        pin = "==".join(wheel.name.split("-")[:2])
        digests.setdefault(pin, set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    lines = {pin: " ".join([pin, *(f"--hash=sha256:{digest}" for digest in sorted(digests[pin]))]) for pin in digests}
    found = Lock(tmp_path / "requirements.txt", tmp_path / "installer.txt")
    found.requirements.write_text("".join(f"{line}\n" for pin, line in sorted(lines.items()) if "pip" not in pin))
    found.installer.write_text(lines["pip==26.0"] + "\n")
    return found


def test_built_twice_it_has_the_same_bytes(tmp_path: Path, cache: Path, lock: Lock) -> None:
    for out in ("first", "second"):
        build_runtime(tmp_path / out, BOTH, cache=cache, lock=lock)

    first, second = (
        {path.relative_to(tmp_path / out): path.read_bytes() for path in (tmp_path / out).rglob("*") if path.is_file()}
        for out in ("first", "second")
    )
    assert first == second
    assert {path.name for path in first if path.parts[0] == "artifacts"} == {
        "wheels-linux-amd64.zip",
        "wheels-linux-aarch64.zip",
        "setup.sh",
        "keep.sh",
    }


def test_what_was_built_is_read_back_and_keeps_the_rules(tmp_path: Path, cache: Path, lock: Lock) -> None:
    built = build_runtime(tmp_path / "out", BOTH, cache=cache, lock=lock)

    assert read_built(tmp_path / "out") == [built]
    check_recipe(built.recipe)
    before = content_digest(built)
    script = next(path for path in built.artifacts if path.name == "keep.sh")
    script.write_text("exit\n")
    assert content_digest(built) != before


def test_an_archive_holds_what_its_platforms_pythons_need_and_the_shared_once(
    tmp_path: Path, cache: Path, lock: Lock
) -> None:
    built = build_runtime(tmp_path / "out", BOTH, cache=cache, lock=lock)

    with zipfile.ZipFile(built.artifacts[0]) as archive:
        assert archive.namelist() == [
            "3.11/onnxruntime-1.31.1-cp311-x86_64.whl",
            "3.13/onnxruntime-1.31.1-cp313-x86_64.whl",
            "any/installer.txt",
            "any/pip-26.0-py3-none-any.whl",
            "any/requirements.txt",
            "any/tuf-7.0-py3-none-any.whl",
        ]
    largest = max(built.artifacts, key=lambda path: path.stat().st_size)
    assert artifact_bytes(built) < 2 * largest.stat().st_size


def test_only_what_was_asked_for_is_built(tmp_path: Path, cache: Path, lock: Lock) -> None:
    built = build_runtime(tmp_path / "out", Devices(("linux/aarch64",), ("3.13",)), cache=cache, lock=lock)

    (manifest,) = built.recipe["Manifests"]
    assert manifest["Platform"]["architecture"] == "aarch64"
    assert manifest["Lifecycle"]["Setenv"]["TIDEGATE_PYTHONS"] == "3.13"
    assert {path.name for path in built.artifacts} == {"wheels-linux-aarch64.zip", "setup.sh", "keep.sh"}


def test_the_version_follows_from_what_is_in_it(tmp_path: Path, lock: Lock) -> None:
    first = runtime_version(BOTH, lock=lock)
    newer = tmp_path / "newer.txt"
    newer.write_text(lock.requirements.read_text() + "lap==1.0 --hash=sha256:00\n")
    other_pip = tmp_path / "pip.txt"
    other_pip.write_text("pip==27.0 --hash=sha256:00\n")

    assert runtime_version(BOTH, lock=lock) == first
    assert first.version.startswith("1.31.")
    for devices in (Devices(pythons=("3.11",)), Devices(platforms=("linux/amd64",))):
        other = runtime_version(devices, lock=lock)
        assert other.version != first.version
        # the same would be installed, so a device that has it does not install it again
        assert other.environment == first.environment
    assert runtime_version(BOTH, lock=replace(lock, requirements=newer)).environment != first.environment
    assert runtime_version(BOTH, lock=replace(lock, requirements=newer)).version != first.version
    assert runtime_version(BOTH, lock=replace(lock, installer=other_pip)).version != first.version


def test_a_wheel_in_the_cache_that_is_not_the_locked_one_is_not_used(
    tmp_path: Path, cache: Path, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with (cache / "linux-amd64-py3.11" / SHARED[0]).open("ab") as wheel:
        wheel.write(b"x")

    with pytest.raises(DeployError, match=r"could not fetch the wheels for linux/amd64, Python 3.11: ERROR: .*"):
        build_runtime(tmp_path / "out", BOTH, cache=cache, lock=lock)
    assert not (tmp_path / "out" / "recipes").exists()


def test_wheels_that_are_there_are_not_fetched(cache: Path, lock: Lock) -> None:
    said: list[str] = []

    found = fetch_wheels([Target("linux/amd64", "3.13")], cache, lock=lock, told=said.append)

    assert said == []
    assert [wheel.name for wheel in next(iter(found.values()))] == sorted(
        (*SHARED, "onnxruntime-1.31.1-cp313-x86_64.whl")
    )


@pytest.mark.parametrize(("platform", "python"), [("linux/armv7l", "3.11"), ("linux/amd64", "3.10")])
def test_what_there_are_no_wheels_for_is_said(platform: str, python: str) -> None:
    with pytest.raises(UsageError, match=r"must be .* got "):
        Devices((platform,), (python,))


def test_the_lock_is_what_the_tests_run_with() -> None:
    """`make lock` writes both."""
    tested = {canonicalize_name(name): version for name, version in pinned(_read("constraints.txt")).items()}
    locked = {canonicalize_name(name): version for name, version in pinned(LOCK.requirements.read_text()).items()}

    assert locked.items() <= tested.items()
    assert {canonicalize_name(Requirement(text).name) for text in gateway_requirements()} <= locked.keys()


def test_the_lock_has_wheels_for_every_target() -> None:
    for entry in LOCK.requirements.read_text().split("\n\n"):
        assert "--hash=sha256:" in entry
    onnxruntime = LOCK.requirements.read_text().partition("onnxruntime==")[2].partition("==")[0]
    assert onnxruntime.count("--hash") == len(ARCHITECTURES) * len(PYTHONS)


def _read(name: str) -> str:
    return (ROOT / name).read_text()


def _wheel(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("module.py"), name)
    return content.getvalue()
