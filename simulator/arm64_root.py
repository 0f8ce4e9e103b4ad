"""A Raspberry Pi on the desk: Debian for arm64 and a gateway's wheels in one folder, run here by qemu.

`python -m simulator.arm64_root .arm64` (or `make arm64`) leaves

    bin/python    starts the arm64 Python, with qemu, the root and the wheels; PYTHONPATH says where our code is
    bin/qemu-aarch64, root/, wheels/ (as `pip install --find-links` takes them), site/ (the wheels, unpacked)

qemu's own `-L` finds the loader and the libraries in root/, so neither privileges nor proot nor a registered binary
format is needed; all that it can't do is start another arm64 program than this Python (docs/adr/0028).
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from models.durable import write_atomic
from models.errors import ConfigError, TidegateError

SUITE = "trixie"  # what Raspberry Pi OS is made of since October 2025; before, bookworm
MIRROR = "http://deb.debian.org/debian"
PYTHON = Path("bin") / "python"

_HERE = Path(__file__).resolve().parent.parent
_STAMP = "built"
_QEMU = "qemu-aarch64"
_QEMU_SUITE, _QEMU_MAJOR = "trixie", 10  # 7.2 crashes in onnxruntime; between them nothing was tried
_PACKAGES = ("ca-certificates", "libstdc++6", "python3", "tzdata")
_GLIBC_MINORS = range(17, 37)  # manylinux_2_17 .. manylinux_2_36, bookworm's glibc
_LAUNCHER = """\
#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
export ARM64_PYTHON="$here/bin/python" QEMU_CPU="${QEMU_CPU:-cortex-a72}"
export ORT_DISABLE_TELEMETRY=1 PYTHONNOUSERSITE=1
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$here/site"
exec "$here/bin/qemu-aarch64" -L "$here/root" "$here/root/usr/bin/python3" "$@"
"""
# a child that this Python starts by sys.executable has to come by the launcher too
_CUSTOMIZE = 'import os, sys\n\nsys.executable = os.environ["ARM64_PYTHON"]\n'


def build(folder: Path, *, suite: str = SUITE, mirror: str = MIRROR) -> Path:
    """The arm64 Python in `folder`, made unless it is there already for these requirements and this suite.

    Wheels are those of pyproject's `tidegate[edge]` in constraints.txt's versions. Needs mmdebstrap and a way to the
    mirror and to a package index; ConfigError or TidegateError say what is missing.
    """
    made_of = _made_of(suite)
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text() == made_of:
        return folder / PYTHON
    if shutil.which("mmdebstrap") is None:
        raise ConfigError("mmdebstrap is not installed: it makes the arm64 root (apt install mmdebstrap qemu-user)")
    stamp.unlink(missing_ok=True)
    for part in ("bin", "root", "site", "wheels"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    _bring_qemu(folder, mirror)
    extract_packages(_PACKAGES, folder / "root", suite=suite, mirror=mirror, architecture="arm64")
    lib = folder / "root" / "lib"
    if not lib.exists():
        lib.symlink_to("usr/lib")  # as base-files would; bookworm's packages still have files there
    _bring_wheels(folder, _python_version(folder / "root"))
    (folder / "site" / "sitecustomize.py").write_text(_CUSTOMIZE)
    launcher = folder / PYTHON
    launcher.write_text(_LAUNCHER)
    launcher.chmod(0o755)
    _run([str(launcher), "-c", "import cv2, numpy, onnxruntime"], "start the arm64 Python")
    write_atomic(stamp, made_of.encode())
    return launcher


def _made_of(suite: str) -> str:
    digest = hashlib.sha256((_HERE / "constraints.txt").read_bytes())
    return "\n".join([suite, *sorted(_requirements()), digest.hexdigest(), _LAUNCHER, _CUSTOMIZE])


def _requirements() -> list[str]:
    project = tomllib.loads((_HERE / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["edge"]]


def _bring_qemu(folder: Path, mirror: str) -> None:
    """The machine's own, if it is new enough; else Debian's, whose program is static and runs on any distribution."""
    target = folder / "bin" / _QEMU
    own = shutil.which(_QEMU) or shutil.which(f"{_QEMU}-static")
    if own is not None and _major_version(own) >= _QEMU_MAJOR:
        target.symlink_to(Path(own).resolve())
        return
    extract_packages(["qemu-user"], folder, suite=_QEMU_SUITE, mirror=mirror, only=f"usr/bin/{_QEMU}")
    (folder / "usr" / "bin" / _QEMU).rename(target)
    shutil.rmtree(folder / "usr")


def _major_version(qemu: str) -> int:
    said = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)", said)
    return int(version[1]) if version else 0


def extract_packages(
    packages: Sequence[str],
    into: Path,
    *,
    suite: str,
    mirror: str,
    architecture: str | None = None,
    only: str | None = None,
) -> None:
    """Unpack these Debian packages and what they depend on, after apt has verified them; nothing of them is run."""
    wanted = [f"--include={','.join(packages)}", *([f"--architectures={architecture}"] if architecture else [])]
    command = ["mmdebstrap", "--quiet", "--variant=extract", *wanted, suite, "-", mirror]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as made:
        try:
            with tarfile.open(fileobj=made.stdout, mode="r|") as archive:
                for member in archive:
                    if not member.isdev() and only in (None, member.name.removeprefix("./")):
                        archive.extract(member, into, filter="tar")
        except tarfile.TarError as exc:
            made.kill()
            raise TidegateError(f"mmdebstrap gave no archive of {suite} from {mirror}: {exc}") from exc
    if made.returncode != 0:
        raise TidegateError(f"mmdebstrap could not fetch {', '.join(packages)} of {suite} from {mirror}; it said why")


def _python_version(root: Path) -> str:
    return (root / "usr" / "bin" / "python3").readlink().name.removeprefix("python")


def _bring_wheels(folder: Path, python_version: str) -> None:
    wheels, pip = str(folder / "wheels"), [sys.executable, "-m", "pip"]
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in _GLIBC_MINORS]
    target = ["--only-binary=:all:", f"--python-version={python_version}", "--platform=manylinux2014_aarch64"]
    quietly = ["--quiet", "--disable-pip-version-check", *target, *platforms]
    constraints = f"--constraint={_HERE / 'constraints.txt'}"
    _run([*pip, "download", *quietly, constraints, f"--dest={wheels}", *_requirements()], "fetch the arm64 wheels")
    # without --no-compile it would leave the bytecode of the Python that runs pip
    unpack = ["--no-index", f"--find-links={wheels}", "--no-compile", f"--target={folder / 'site'}"]
    _run([*pip, "install", *quietly, *unpack, *_requirements()], "unpack the arm64 wheels")


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}, check=False)
    if done.returncode != 0:
        raise TidegateError(f"could not {what}: exit status {done.returncode} of {' '.join(command[:4])} ...")


def main() -> int:
    parser = argparse.ArgumentParser(description="make an arm64 root with a gateway's wheels, to run by qemu")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suite", default=SUITE, help="Debian's release (default: %(default)s)")
    parser.add_argument("--mirror", default=MIRROR, help="Debian's mirror (default: %(default)s)")
    args = parser.parse_args()
    try:
        print(build(args.folder.absolute(), suite=args.suite, mirror=args.mirror))
    except TidegateError as exc:
        print(f"arm64 root: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
