"""What happens on the device: the environment is whole or not there, and who reads the log knows why."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from greengrass.runtime.wheelhouse import HERE
from tests.greengrass.runtime.devices import ENVIRONMENT, PYTHON, SHELL, Device, kill, make_archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive") / "wheels")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """A work folder in which setup.sh has done its work, to be copied."""
    device = Device(tmp_path_factory.mktemp("finished"), archive)
    previous = os.umask(0o077)  # as a careful nucleus' user may have
    try:
        status, said = device.run()
        assert status == 0, said
        assert [line.partition(":")[0] for line in said.splitlines()] == ["tidegate.Runtime"] * 2
    finally:
        os.umask(previous)
    assert device.imports()
    return device.work


@pytest.fixture
def device(tmp_path: Path, archive: Path) -> Device:
    return Device(tmp_path, archive)


@pytest.fixture
def ready(device: Device, finished: Path) -> Device:
    """A device that has its environment."""
    device.work.rmdir()
    shutil.copytree(finished, device.work, symlinks=True)
    return device


def test_the_environment_is_whole_and_nothing_else_is_left(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {ENVIRONMENT, "lock"}
    assert not (finished / ENVIRONMENT / "wheels").exists()
    assert not (finished / ENVIRONMENT / "tmp").exists()
    assert not list((finished / ENVIRONMENT).rglob("pip"))


def test_another_user_can_read_all_of_it_whatever_the_umask(finished: Path) -> None:
    assert finished.stat().st_mode & 0o055 == 0o055
    for path in (finished / ENVIRONMENT).rglob("*"):
        if not path.is_symlink():
            wanted = 0o055 if path.is_dir() else 0o044
            assert path.stat().st_mode & wanted == wanted, path


def test_bytecode_is_made_once_for_all(finished: Path) -> None:
    assert list((finished / ENVIRONMENT).rglob("lap.*.pyc"))


def test_what_is_there_is_not_made_again(ready: Device) -> None:
    before = ready.made.stat().st_ino
    ready.archive = Path("/does/not/exist")

    assert ready.run() == (0, f"tidegate.Runtime: {ENVIRONMENT} is there\n")
    assert ready.made.stat().st_ino == before


def test_what_no_longer_imports_is_made_anew_in_its_place(ready: Device) -> None:
    # an upgrade of the system has replaced its Python
    (ready.made / "bin" / "python3").unlink()
    (ready.made / "bin" / "python3").symlink_to("/usr/bin/python3.0")

    assert ready.run()[0] == 0
    assert ready.imports()


def test_a_power_cut_at_any_moment_leaves_a_whole_environment_or_none(device: Device) -> None:
    for cut in range(4):
        process = device.start()
        time.sleep(0.3 * cut)
        kill(process)
        assert not device.made.exists() or device.imports()
    assert device.run()[0] == 0
    assert device.imports()
    assert {path.name for path in device.work.iterdir()} == {ENVIRONMENT, "lock"}


def test_two_at_once_make_one(device: Device) -> None:
    processes = [device.start(), device.start()]

    said = ["".join(process.communicate(timeout=60)) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("is made" in text for text in said) == sum("is there" in text for text in said) == 1
    assert device.imports()


def test_a_python_that_there_are_no_wheels_for_is_named(device: Device) -> None:
    device.environment["TIDEGATE_PYTHONS"] = "3.6,3.7"

    status, said = device.run()

    assert status == 1
    assert said.count("\n") == 1
    assert "has wheels for Python 3.6 3.7" in said
    assert f"python3 is {PYTHON}" in said
    assert "build the Runtime with --python-version" in said
    assert not device.made.exists()


def test_another_python_than_the_first_is_found(device: Device) -> None:
    device.put_program("python3", "echo 3.6")
    # whichever else this machine has; it gets as far as the environment
    device.put_program(f"python{PYTHON}", f'case "$*" in *"-m venv"*) exit 1 ;; esac\nexec {sys.executable} "$@"')

    status, said = device.run()

    assert status == 1
    assert f"python{PYTHON} could not make a virtual environment" in said


def test_a_python_of_32_bit_is_refused(device: Device) -> None:
    for name in ("python3", f"python{PYTHON}"):
        device.put_program(name, f"echo {PYTHON} of 32 bit")

    status, said = device.run()

    assert (status, said.count("\n")) == (1, 1)
    assert f"python3 is {PYTHON} of 32 bit" in said


def test_no_python_at_all_is_said(device: Device) -> None:
    for name in ("python3", f"python{PYTHON}"):
        device.put_program(name, "exit 127")

    status, said = device.run()

    assert (status, said.count("\n")) == (1, 1)
    assert "here is no python3" in said


def test_a_python_without_venv_is_said_with_the_package_that_has_it(device: Device) -> None:
    device.put_program("python3", f'case "$*" in *"import venv"*) exit 1 ;; esac\nexec {sys.executable} "$@"')

    status, said = device.run()

    assert (status, said.count("\n")) == (1, 1)
    assert "apt install python3-venv" in said


def test_too_small_a_disk_is_said_before_anything_is_written(device: Device) -> None:
    device.environment["TIDEGATE_ROOM_KB"] = "9999999999999"

    status, said = device.run()

    assert (status, said.count("\n")) == (1, 1)
    assert "needs 9765624999 MB" in said
    assert [path.name for path in device.work.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"damage": True}, "pip could not install"),
        ({"leave_out": "lap"}, "cannot be imported on this device"),
    ],
)
def test_what_cannot_be_installed_or_imported_is_not_kept_and_the_one_before_stays(
    tmp_path: Path, broken: dict[str, bool | str], said: str
) -> None:
    device = Device(tmp_path, make_archive(tmp_path / "wheels", **broken))  # type: ignore[arg-type]
    (device.work / "venv-before").mkdir()

    status, lines = device.run()

    assert status == 1
    assert lines.splitlines()[-1].startswith("tidegate.Runtime: ")
    assert said in lines.splitlines()[-1]
    assert {path.name for path in device.work.iterdir()} == {"lock", "venv-before"}


def test_an_archive_that_is_none_is_said(device: Device) -> None:
    device.archive = Path("/etc/hostname")

    status, lines = device.run()

    assert status == 1
    assert "could not unpack /etc/hostname" in lines.splitlines()[-1]
    assert [path.name for path in device.work.iterdir()] == ["lock"]


def test_others_are_kept_for_a_while_then_removed_and_what_comes_later_stays(tmp_path: Path) -> None:
    for name in (ENVIRONMENT, "venv-old", "venv-older.new", "state"):
        (tmp_path / name).mkdir()
    process = _keep(tmp_path, keep_s="0.5")
    try:
        _wait_for_child(process.pid)
        (tmp_path / "venv-newer").mkdir()
        assert (tmp_path / "venv-old").exists()
        deadline = time.monotonic() + 20
        while (tmp_path / "venv-older.new").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert {path.name for path in tmp_path.iterdir()} == {ENVIRONMENT, "venv-newer", "state"}
        assert process.poll() is None
    finally:
        process.terminate()
    assert process.wait(5) == 0


def test_who_keeps_goes_at_once_when_told_to_and_leaves_no_process(tmp_path: Path) -> None:
    process = _keep(tmp_path, keep_s="600")
    child = _wait_for_child(process.pid)

    process.terminate()

    assert process.wait(5) == 0
    deadline = time.monotonic() + 20
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(child)


@pytest.mark.parametrize("script", ["setup.sh", "keep.sh"])
def test_shellcheck_finds_nothing(script: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--shell=sh", HERE / script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def _keep(work: Path, *, keep_s: str) -> "subprocess.Popen[bytes]":
    command = [SHELL, str(HERE / "keep.sh"), f"{work}/", ENVIRONMENT]
    return subprocess.Popen(command, env={**os.environ, "TIDEGATE_KEEP_S": keep_s})


def _wait_for_child(pid: int) -> int:
    """The process that the script waits for."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text() == "sleep\n":
            return int(children[0])
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("the script started nothing")


def _runs(pid: int) -> bool:
    """Whether there is such a process, and not only what nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
