"""`python -m greengrass.runtime.lock`: requirements.txt and installer.txt, from pyproject.toml and constraints.txt.

For whoever works on tidegate; `make lock` calls it. Needs a way to a package index.
"""

import hashlib
import re
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from greengrass.runtime.wheelhouse import ARCHITECTURES, LOCK, PYTHONS, Target, run_pip
from models.durable import write_atomic
from models.errors import TidegateError

ROOT = Path(__file__).parent.parent.parent
_NOTE = "# What a gateway installs, and the digest of every wheel. `make lock` writes this file.\n"


def gateway_requirements() -> list[str]:
    """What pyproject.toml says a gateway needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["edge"]]


def locked(requirements: Sequence[str], work: Path) -> str:
    """A requirements file of these and all that they need, with the digests of the wheels for every target."""
    digests: dict[str, set[str]] = {}
    for target in (Target(platform, python) for platform in ARCHITECTURES for python in PYTHONS):
        folder = work / f"{target.platform.replace('/', '-')}-{target.python}"
        options = [*target.pip_options, f"--constraint={ROOT / 'constraints.txt'}", f"--dest={folder}"]
        run_pip(["download", *options, *requirements], f"fetch the wheels for {target}")
        for wheel in folder.glob("*.whl"):
            name, version = wheel.name.split("-")[:2]
            pin = f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"
            digests.setdefault(pin, set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    lines = (f"{pin} \\\n{_hashes(digests[pin])}" for pin in sorted(digests))
    return _NOTE + "\n".join(lines) + "\n"


def main() -> int:
    try:
        with tempfile.TemporaryDirectory() as work:
            for file, requirements in ((LOCK.requirements, gateway_requirements()), (LOCK.installer, ["pip"])):
                write_atomic(file, locked(requirements, Path(work) / file.stem).encode())
    except TidegateError as exc:
        print(f"lock: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


def _hashes(digests: set[str]) -> str:
    return " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(digests))


if __name__ == "__main__":
    sys.exit(main())
