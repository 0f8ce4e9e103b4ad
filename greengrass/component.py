"""Building components: a recipe, and the artifacts that it names, in the layout that a local deployment takes too.

recipes/NAME-VERSION.json
artifacts/NAME/VERSION/FILE
"""

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models
from greengrass.recipe import (
    GATEWAY_ARTIFACT,
    MODEL_ARTIFACT,
    Recipe,
    RuntimeVersion,
    artifact_uris,
    gateway_recipe,
    model_recipe,
    recipe_bytes,
)
from greengrass.recipe_rules import check_recipe
from models.durable import sync_folder, write_atomic
from models.errors import DeployError, PackageError
from models.manifest import read_manifest
from models.trust import check_whole

# the folders that a gateway runs; nothing else of ours is imported there
GATEWAY_FOLDERS = ("edge", "models")
# where a recipe says its artifacts are until `register` has put them somewhere: a bucket that nobody can own
UNPLACED = "s3://local"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can say


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """A component version on disk. `artifacts` are files whose names are the last parts of the recipe's URIs."""

    name: str
    version: str
    recipe: Recipe
    artifacts: tuple[Path, ...]


def project_version() -> str:
    """The version of this tidegate."""
    try:
        return importlib.metadata.version("tidegate")
    except importlib.metadata.PackageNotFoundError as exc:
        raise DeployError("tidegate's version is not known: install it (pip install -e .) or give a version") from exc


def development_version(configuration: Mapping[str, Any], python: str | RuntimeVersion) -> str:
    """A version of its own for the code and configuration as they are now, since a version can't be used twice."""
    needs = python if isinstance(python, str) else python.version
    digest = hashlib.sha256(json.dumps([dict(configuration), needs], sort_keys=True).encode())
    for name, content in sorted(gateway_files().items()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    # a letter first: a number with leading zeros would be no version
    return f"{project_version()}-dev.g{digest.hexdigest()[:10]}"


def gateway_files() -> dict[str, bytes]:
    """The code that a gateway runs, by its name under `tidegate/`."""
    root = Path(models.__file__).parent.parent
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for folder in GATEWAY_FOLDERS
        for path in (root / folder).rglob("*.py")
    }


def build_gateway(
    out: Path, *, version: str, configuration: Mapping[str, Any], python: str | RuntimeVersion
) -> BuiltComponent:
    """Build the gateway component. `configuration` is the gateway's own (edge/config.py), which it checks itself;
    `python` the Runtime that it depends on, or the path of a Python on the device."""
    uri = f"{UNPLACED}/{GATEWAY_ARTIFACT}"
    recipe = gateway_recipe(version, configuration=configuration, python=python, artifact_uri=uri)
    return write_component(out, recipe, {GATEWAY_ARTIFACT: zip_bytes(gateway_files())})


def build_model(package: Path, out: Path) -> BuiltComponent:
    """Build the component of a signed package. PackageError for one that was touched since, or has expired; by whom
    it was signed is for the gateway to say."""
    if read_manifest(package).release < 1:
        raise PackageError(f"{package} is not signed: expected a package made by `tidegate release`")
    manifest = check_whole(package)
    files = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*") if path.is_file()}
    recipe = model_recipe(manifest.name, manifest.release, artifact_uri=f"{UNPLACED}/{MODEL_ARTIFACT}")
    return write_component(out, recipe, {MODEL_ARTIFACT: zip_bytes(files)})


def read_built(folder: Path) -> list[BuiltComponent]:
    """What was built into `folder`, by name and version; DeployError where that is not whole."""
    recipes = sorted((folder / "recipes").glob("*.json"))
    others = [path.name for path in (folder / "recipes").glob("*.y*ml")]
    if others:
        raise DeployError(f"{folder}/recipes/{others[0]}: recipes are JSON; nucleus lite reads all of YAML as strings")
    if not recipes:
        raise DeployError(f"{folder} holds no recipes/*.json: build components with `tidegate component build`")
    return [_read(folder, path) for path in recipes]


def content_digest(built: BuiltComponent) -> str:
    """The same for components that do the same: over the recipe and what is in the archives, wherever they are."""
    digest = hashlib.sha256(json.dumps(built.recipe, sort_keys=True).encode())
    for artifact in sorted(built.artifacts):
        if artifact.suffix != ".zip":
            digest.update(f"{artifact.name}\0{hashlib.sha256(artifact.read_bytes()).hexdigest()}\n".encode())
            continue
        with zipfile.ZipFile(artifact) as archive:
            for name in sorted(archive.namelist()):
                # of the content and not of the ZIP: another zlib compresses otherwise
                digest.update(f"{artifact.name}/{name}\0{hashlib.sha256(archive.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def artifact_bytes(built: BuiltComponent) -> int:
    """What a device has to fetch, at most: of several platforms' one."""
    sizes = {artifact.name: artifact.stat().st_size for artifact in built.artifacts}
    return max(
        sum(sizes[artifact["Uri"].rpartition("/")[2]] for artifact in manifest.get("Artifacts", []))
        for manifest in built.recipe["Manifests"]
    )


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """A ZIP of the files: sorted, without times or owners, so that the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(_entry(name), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def write_zip(path: Path, files: Mapping[str, Path]) -> None:
    """A ZIP of files that are compressed already, as they are: the same files give the same bytes. Atomic; DeployError
    when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                    for name in sorted(files):
                        entry = _entry(name)
                        entry.file_size = files[name].stat().st_size
                        with files[name].open("rb") as source, archive.open(entry, "w") as target:
                            shutil.copyfileobj(source, target, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as exc:
        raise DeployError(f"{path} cannot be written: {exc.strerror}") from exc


def artifact_folder(out: Path, name: str, version: str) -> Path:
    """Where a component version's artifacts are built."""
    return out / "artifacts" / name / version


def write_component(out: Path, recipe: Recipe, artifacts: Mapping[str, bytes]) -> BuiltComponent:
    """Write a component's recipe, and those of its artifacts that are not in their place already."""
    name, version = recipe["ComponentName"], recipe["ComponentVersion"]
    check_recipe(recipe)
    folder = artifact_folder(out, name, version)
    try:
        for file, content in artifacts.items():
            write_atomic(folder / file, content)
        for path in (folder.parent, folder):
            path.chmod(0o755)  # a local deployment copies them as they are, for a user without privileges
        # last: a recipe that is there has its artifacts
        write_atomic(out / "recipes" / f"{name}-{version}.json", recipe_bytes(recipe))
    except OSError as exc:
        raise DeployError(f"component {name} cannot be written to {out}: {exc}") from exc
    return BuiltComponent(name, version, recipe, _artifact_files(out, recipe))


def _artifact_files(out: Path, recipe: Recipe) -> tuple[Path, ...]:
    folder = artifact_folder(out, recipe["ComponentName"], recipe["ComponentVersion"])
    return tuple(folder / uri.rpartition("/")[2] for uri in artifact_uris(recipe))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, on whichever system this runs
    return entry


def _read(folder: Path, path: Path) -> BuiltComponent:
    try:
        recipe = json.loads(path.read_bytes())
        check_recipe(recipe)
    except (OSError, ValueError, DeployError) as exc:
        raise DeployError(f"{path}: {exc}") from exc
    name, version = recipe["ComponentName"], recipe["ComponentVersion"]
    artifacts = _artifact_files(folder, recipe)
    for artifact in artifacts:
        if not (zipfile.is_zipfile(artifact) if artifact.suffix == ".zip" else artifact.is_file()):
            raise DeployError(f"{artifact} is missing or no ZIP, but {path.name} names it; build the component again")
    return BuiltComponent(name, version, recipe, artifacts)
