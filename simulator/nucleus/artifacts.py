"""Fetching a component's files: resumed where it was broken off, checked by digest, unpacked, whole or not there."""

import base64
import hashlib
import shutil
import zipfile
from pathlib import Path

from models.durable import sync_folder
from models.errors import DeployError
from simulator.nucleus.cloud import Cloud
from simulator.nucleus.recipe import Artifact, Recipe

_FILES, _UNPACKED = Path("packages/artifacts"), Path("packages/artifacts-unarchived")


def artifacts_folder(root: Path, component: str, version: str) -> Path:
    """What `{artifacts:path}` stands for."""
    return root / _FILES / component / version


def decompressed_folder(root: Path, component: str, version: str) -> Path:
    """What `{artifacts:decompressedPath}` stands for."""
    return root / _UNPACKED / component / version


def fetch(recipe: Recipe, root: Path, cloud: Cloud) -> None:
    """Have all files of a component version in their places. DeployError or StoreError when that cannot be."""
    for artifact in recipe.artifacts:
        file = artifacts_folder(root, recipe.name, recipe.version) / artifact.file_name
        if not file.exists() or _digest(file) != artifact.digest:
            _download(artifact, file, cloud)
        if artifact.unzip:
            _unpack(artifact, file, decompressed_folder(root, recipe.name, recipe.version) / file.stem)


def stored(root: Path) -> set[tuple[str, str]]:
    """(component, version) of all that has files here, half-fetched ones too."""
    folders = [path for kind in (_FILES, _UNPACKED) for path in (root / kind).glob("*/*")]
    return {(path.parent.name, path.name) for path in folders}


def remove(root: Path, component: str, version: str) -> None:
    """Delete a version's files."""
    shutil.rmtree(artifacts_folder(root, component, version), ignore_errors=True)
    shutil.rmtree(decompressed_folder(root, component, version), ignore_errors=True)


def _download(artifact: Artifact, file: Path, cloud: Cloud) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    resumed = part.exists()
    _append(artifact, part, cloud)
    if resumed and _digest(part) != artifact.digest:
        # what was there was another file's beginning, or damaged: once more from the start
        part.unlink()
        _append(artifact, part, cloud)
    found = _digest(part)
    if found != artifact.digest:
        part.unlink()
        raise DeployError(
            f"artifact {artifact.uri}: its SHA-256 is {found}, the recipe says {artifact.digest}; nothing was installed"
        )
    part.chmod(artifact.mode | 0o200)
    part.replace(file)
    sync_folder(file.parent)


def _append(artifact: Artifact, part: Path, cloud: Cloud) -> None:
    with part.open("ab") as output:
        for chunk in cloud.read(artifact.uri, offset=output.tell()):
            output.write(chunk)


def _unpack(artifact: Artifact, file: Path, folder: Path) -> None:
    if folder.exists():
        return
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with zipfile.ZipFile(file) as archive:
            archive.extractall(temporary)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as exc:
        raise DeployError(f"artifact {artifact.uri} cannot be unpacked: {exc}") from exc
    for path in temporary.rglob("*"):
        path.chmod(0o755 if path.is_dir() else artifact.mode | 0o200)
    temporary.replace(folder)
    sync_folder(folder.parent)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return base64.b64encode(hashlib.file_digest(stream, "sha256").digest()).decode()
