"""The Runtime's wheels for a Pi, installed by its script in an arm64 Debian 12 under qemu: its shell, its coreutils and
its Python, each started by another.

Where qemu is comes from `make arm64`; proot starts what the script starts. Debian 12, because proot 5.1 does not
translate what trixie's C library asks (docs/adr/0028).
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from greengrass.recipe import RUNTIME
from simulator.arm64_root import MIRROR, extract_packages
from tidegate import main

pytestmark = [pytest.mark.soak, pytest.mark.arm64, pytest.mark.timeout(900)]

PACKAGES = ("dash", "coreutils", "mawk", "util-linux", "python3", "libstdc++6")


@pytest.fixture
def debian(tmp_path: Path, arm64_python: Path) -> Path:
    """The root of an arm64 Debian 12."""
    if shutil.which("proot") is None:
        pytest.skip("no proot (apt install proot)")
    root = tmp_path / "debian"
    root.mkdir()
    extract_packages(PACKAGES, root, suite="bookworm", mirror=MIRROR, architecture="arm64")
    (root / "usr" / "bin" / "awk").symlink_to("mawk")
    for folder in ("dev", "proc", "tmp", "work", "artifacts"):
        (root / folder).mkdir(exist_ok=True)
    return root


def test_the_wheels_for_a_pi_are_installed_by_the_script_and_import(
    debian: Path, arm64_python: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    built = ["--runtime", "--platform", "linux/aarch64", "--python-version", "3.11"]
    assert main(["component", "build", "--out", str(out), *built]) == 0
    (artifacts,) = (out / "artifacts" / RUNTIME).iterdir()

    def device(*command: str) -> subprocess.CompletedProcess[str]:
        binds = ["-b", "/proc", "-b", "/dev", "-b", f"{artifacts}:/artifacts"]
        proot = ["proot", "-q", str(arm64_python.with_name("qemu-aarch64")), "-r", str(debian), *binds, "-w", "/work"]
        return subprocess.run(
            [*proot, *command],
            env={
                "PATH": "/usr/bin:/bin",
                "QEMU_CPU": "cortex-a72",
                "TIDEGATE_PYTHONS": "3.11",
                "TIDEGATE_ROOM_KB": "300000",
                "ORT_DISABLE_TELEMETRY": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )

    setup = ("/bin/sh", "/artifacts/setup.sh", "/artifacts/wheels-linux-aarch64.zip", "/work/", "venv-1")
    done = device(*setup)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "venv-1 is made" in done.stdout

    again = device(*setup)
    assert "venv-1 is there" in again.stdout, again.stdout + again.stderr
    machine = device(
        "/work/venv-1/bin/python", "-I", "-c", "import cv2, onnxruntime, platform; print(platform.machine())"
    )
    assert machine.stdout == "aarch64\n"
