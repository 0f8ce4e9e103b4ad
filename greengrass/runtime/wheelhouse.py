"""The wheels that a gateway needs, of the versions and digests in requirements.txt, for other machines than this one.

requirements.txt and installer.txt (pip itself, which installs them) are pip's own format, with a digest for every wheel
of each platform and Python below. `python -m greengrass.runtime.lock` writes them from constraints.txt.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DeployError, UsageError

HERE = Path(__file__).parent
# as recipes say a machine's architecture, and as wheels do
ARCHITECTURES = {"linux/amd64": "x86_64", "linux/aarch64": "aarch64"}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
USUAL_PYTHONS = ("3.11", "3.13")  # Debian 12's and 13's, and so Raspberry Pi OS'

_GLIBC_MINORS = range(17, 29)  # manylinux_2_17 .. manylinux_2_28: what Raspberry Pi OS and Amazon Linux 2023 take
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Lock:
    """Requirements files: what is installed, and the pip that installs it."""

    requirements: Path = HERE / "requirements.txt"
    installer: Path = HERE / "installer.txt"

    @property
    def text(self) -> str:
        return self.requirements.read_text() + self.installer.read_text()


LOCK = Lock()


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of device: its platform, as recipes say it, and its Python."""

    platform: str
    python: str

    def __post_init__(self) -> None:
        if self.platform not in ARCHITECTURES:
            raise UsageError(f"platform must be {' or '.join(ARCHITECTURES)}, got {self.platform!r}")
        if self.python not in PYTHONS:
            raise UsageError(f"Python must be one of {', '.join(PYTHONS)}, got {self.python!r}")

    def __str__(self) -> str:
        return f"{self.platform}, Python {self.python}"

    @property
    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for such a device."""
        machine = ARCHITECTURES[self.platform]
        tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS] + [f"manylinux2014_{machine}"]
        chosen = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"]
        return [*chosen, *(f"--platform={tag}" for tag in tags)]


def cache_folder() -> Path:
    """Where downloaded wheels are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "wheels"


def fetch_wheels(
    targets: Sequence[Target], cache: Path, *, lock: Lock = LOCK, told: Callable[[str], None] = lambda _: None
) -> dict[Target, list[Path]]:
    """The wheels of each target, downloaded into `cache` unless they are there with the right digests."""
    found = {}
    for target in targets:
        folder = cache / f"{target.platform.replace('/', '-')}-py{target.python}"
        wheels = _complete(folder, lock)
        if wheels is None:
            told(f"downloading wheels for {target}")
            _download(target, folder, lock)
            wheels = _complete(folder, lock)
            if wheels is None:
                raise DeployError(f"wheels for {target} in {folder} are not those of {lock.requirements}; remove them")
        found[target] = wheels
    return found


def packed_names(wheels: Mapping[Target, Sequence[Path]], *, lock: Lock = LOCK) -> dict[str, Path]:
    """What one platform's archive holds, by name: wheels that all of its Pythons take under any/, the others under
    their Python's; requirements.txt and installer.txt beside them."""
    everywhere = set.intersection(*({wheel.name for wheel in found} for found in wheels.values()))
    names = {"any/requirements.txt": lock.requirements, "any/installer.txt": lock.installer}
    for target, found in wheels.items():
        for wheel in found:
            names[f"{'any' if wheel.name in everywhere else target.python}/{wheel.name}"] = wheel
    return names


def room_kb(wheels: Mapping[Target, Sequence[Path]]) -> int:
    """What installing takes on a device at most, with the wheels that are unpacked for that; 1024 bytes each."""
    return max(sum(_room(wheel) for wheel in found) for found in wheels.values()) // 1024


def pinned(requirements: str) -> dict[str, str]:
    """Version by name, as a requirements file spells them."""
    return {match[1]: match[2] for line in requirements.splitlines() if (match := _PIN.match(line))}


def _complete(folder: Path, lock: Lock) -> list[Path] | None:
    """The wheels in a folder, if they are all that is needed and nothing else; None if not."""
    allowed, names = set(_HASH.findall(lock.text)), {_canonical(name) for name in pinned(lock.text)}
    wheels = sorted(folder.glob("*.whl"))
    if {_canonical(wheel.name.split("-")[0]) for wheel in wheels} != names or len(wheels) != len(names):
        return None
    return wheels if all(hashlib.sha256(wheel.read_bytes()).hexdigest() in allowed for wheel in wheels) else None


def _download(target: Target, folder: Path, lock: Lock) -> None:
    wanted = [f"--requirement={file}" for file in (lock.requirements, lock.installer)]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # beside it, for whoever reads what is there now
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as draft:
            options = ["--require-hashes", "--no-deps", *wanted, f"--dest={draft}"]
            run_pip(["download", *target.pip_options, *options], f"fetch the wheels for {target}")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            for wheel in Path(draft).iterdir():
                wheel.rename(folder / wheel.name)
    except OSError as exc:
        raise DeployError(
            f"wheels cannot be kept in {folder}: {exc.strerror}; choose another place by --wheels"
        ) from exc


def run_pip(options: Sequence[str], what: str) -> None:
    """This Python's own pip; DeployError with its last line when it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as exc:
        raise DeployError(f"could not {what} within {_TIMEOUT_S:g} s; call it again, what came is kept") from exc
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        said = next((line for line in lines if "ERROR" in line or "No module" in line), lines[-1] if lines else "")
        raise DeployError(f"could not {what}: {said or f'pip ended with status {done.returncode}'}")


def _room(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    bytecode = sum(size for name, size in sizes.items() if name.endswith(".py"))
    blocks = 4096 * len(sizes)  # the last block of each file is half full, and its bytecode's too
    return wheel.stat().st_size + sum(sizes.values()) + bytecode + blocks


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
