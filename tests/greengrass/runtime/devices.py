"""A device without a nucleus: folders, an environment, and an archive of wheels that weigh nothing."""

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pip

from greengrass.component import write_zip
from greengrass.runtime.wheelhouse import HERE

SHELL = "dash" if shutil.which("dash") else "sh"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
ENVIRONMENT = "venv-0123456789ab"
MODULES = (
    "awscrt",
    "awsiot/greengrasscoreipc/clientv2",
    "cv2",
    "google/protobuf",
    "lap",
    "numpy",
    "onnxruntime",
    "paho/mqtt/client",
    "prometheus_client",
    "tuf/ngclient",
    "zstandard",
)


@dataclass(slots=True)
class Device:
    """`run` is what a nucleus does for `install`; `environment` is added to nothing but a PATH with this Python."""

    folder: Path
    archive: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.programs.mkdir()
        (self.programs / "python3").symlink_to(sys.executable)
        self.work.mkdir(mode=0o700)

    @property
    def work(self) -> Path:
        return self.folder / "wo rk"

    @property
    def programs(self) -> Path:
        """First in the device's PATH."""
        return self.folder / "bin"

    @property
    def made(self) -> Path:
        return self.work / ENVIRONMENT

    def put_program(self, name: str, script: str) -> None:
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def start(self) -> "subprocess.Popen[str]":
        """setup.sh, in a process group of its own."""
        command = [SHELL, str(HERE / "setup.sh"), str(self.archive), f"{self.work}/", ENVIRONMENT]
        own = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "TIDEGATE_PYTHONS": f"3.0,{PYTHON}",
            "TIDEGATE_ROOM_KB": "1000",
        }
        return subprocess.Popen(
            command,
            env={**own, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self) -> tuple[int, str]:
        """The exit status of setup.sh, and what it said."""
        process = self.start()
        said, errors = process.communicate(timeout=60)
        return process.returncode, said + errors

    def imports(self) -> bool:
        """Whether the environment is there and whole."""
        python = self.made / "bin" / "python"
        if not os.path.lexists(python):
            return False
        names = ", ".join(module.replace("/", ".") for module in MODULES)
        return subprocess.run([python, "-I", "-c", f"import {names}"], capture_output=True, check=False).returncode == 0


def kill(process: "subprocess.Popen[str]") -> None:
    """A power cut, as far as processes go."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def make_archive(folder: Path, *, leave_out: str = "", damage: bool = False) -> Path:
    """What wheelhouse.py packs, with one wheel in which every module is an empty file."""
    folder.mkdir()
    wheel = folder / "everything-1.0-py3-none-any.whl"
    _wheel(wheel, [module for module in MODULES if module != leave_out])
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if damage:
        wheel.write_bytes(wheel.read_bytes() + b"x")
    requirements = folder / "requirements.txt"
    requirements.write_text(f"everything==1.0 --hash=sha256:{digest}\n")
    installer = folder / f"pip-{pip.__version__}-py3-none-any.whl"
    source = Path(pip.__file__).parent
    with zipfile.ZipFile(installer, "w") as archive:
        for path in source.rglob("*.py"):
            archive.write(path, f"pip/{path.relative_to(source)}")
        archive.write(source / "_vendor" / "certifi" / "cacert.pem", "pip/_vendor/certifi/cacert.pem")
    archive_path = folder / "wheels-linux-amd64.zip"
    other = folder / "other-python.whl"
    other.write_bytes(b"not for this one")
    write_zip(
        archive_path,
        {f"any/{path.name}": path for path in (wheel, requirements, installer)} | {f"2.7/{other.name}": other},
    )
    return archive_path


def _wheel(path: Path, modules: list[str]) -> None:
    info = "everything-1.0.dist-info"
    files = {f"{module}.py": b"" for module in modules} | {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: everything\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
