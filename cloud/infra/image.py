"""What the image of the ingest functions is built from, laid out in a folder of its own.

CDK tells by a digest of that folder whether the image has to be built anew, so there is nothing else in it.
"""

import shutil
from pathlib import Path

from models.errors import UsageError

DOCKERFILE = "Dockerfile"
ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("models", "greengrass", "cloud/ingest", "cloud/lake")
_FILES = ("constraints.txt", "cloud/__init__.py")


def lay_out(folder: Path) -> None:
    """Fill the folder, in place of what was in it; UsageError where this tidegate is no checkout."""
    if not (ROOT / "constraints.txt").is_file():
        raise UsageError(
            f"infra needs a checkout of tidegate: {ROOT} has no constraints.txt; clone it and run it there"
        )
    shutil.rmtree(folder, ignore_errors=True)
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "commands"))
    for file in _FILES:
        shutil.copyfile(ROOT / file, folder / file)
    shutil.copyfile(Path(__file__).with_name("ingest.Dockerfile"), folder / DOCKERFILE)
