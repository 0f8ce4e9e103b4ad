"""The functions' image holds what they import: of ours by its files, of others' by its Dockerfile."""

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cloud.infra.image import DOCKERFILE, lay_out

# argument: what the image has of others'; whatever else is installed here is not there
_IMPORT_IT = """
import re, sys
from importlib.metadata import packages_distributions
has, by_module = set(sys.argv[1].split(",")), packages_distributions()

class Missing:
    def find_spec(self, name, path=None, target=None):
        ours = {re.sub("[-_.]+", "-", other).lower() for other in by_module.get(name.partition(".")[0], ())}
        if ours and not ours & {*has, "tidegate"}:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

sys.meta_path.insert(0, Missing())
import cloud.ingest.aws_lambda, boto3
boto3.client("iot-data", region_name="eu-central-1")
print(*(module.__file__ for name, module in sys.modules.items()
        if name.startswith(("cloud.", "models.", "greengrass.")) and module.__file__))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    lay_out(folder)
    return folder


def test_the_function_runs_on_what_is_in_its_image(image: Path) -> None:
    has = ",".join(_with_requirements(set(_installed(image))))

    # in its own folder, as Lambda runs it: an editable install of ours comes after it
    ran = subprocess.run([sys.executable, "-c", _IMPORT_IT, has], cwd=image, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    assert all(Path(file).is_relative_to(image) for file in ran.stdout.split())


def test_nothing_else_is_in_it(image: Path) -> None:
    names = {path.name for path in image.rglob("*") if path.is_dir()}

    assert "__pycache__" not in names
    assert "infra" not in names


def _installed(image: Path) -> list[str]:
    (line,) = re.findall(r"pip install .*?\\\n\s+(.*)", (image / DOCKERFILE).read_text())
    return str(line).split()


def _with_requirements(names: set[str]) -> set[str]:
    found: set[str] = set()
    while names:
        name = _plain(names.pop())
        found.add(name)
        needed = [Requirement(line) for line in requires(name) or []]
        names |= {
            need.name
            for need in needed
            if _plain(need.name) not in found and (need.marker is None or need.marker.evaluate({"extra": ""}))
        }
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
