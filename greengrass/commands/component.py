"""`tidegate component build`: recipes and artifacts in a folder, ready to be registered or deployed by hand."""

import argparse
import io
import json
import os
import re
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from greengrass.component import (
    DEFAULT_PYTHON,
    BuiltComponent,
    artifact_bytes,
    build_gateway,
    build_model,
    content_digest,
    development_version,
    project_version,
)
from greengrass.objects import open_store
from models.errors import ConfigError, StoreError, UsageError
from models.manifest import NAME

_RELEASE = re.compile(rf"({NAME.pattern})@([1-9]\d{{0,5}})")


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="build components into a folder", description=build_components.__doc__)
    build.add_argument("--out", type=Path, required=True, help="folder for recipes/ and artifacts/")
    build.add_argument("--gateway", action="store_true", help="build tidegate.Gateway, the code that gateways run")
    build.add_argument("--config", type=Path, help="the gateway's configuration, TOML or JSON (with --gateway)")
    build.add_argument(
        "--python",
        default=DEFAULT_PYTHON,
        help="the Python on the gateway that has what it needs installed (%(default)s)",
    )
    build.add_argument(
        "--development", action="store_true", help="give the gateway a version of its own for each content"
    )
    build.add_argument("--model", action="append", default=[], metavar="NAME@RELEASE", help="build a published release")
    build.add_argument("--package", type=Path, action="append", default=[], help="build a signed package folder")
    build.add_argument("--registry", default=os.environ.get("TIDEGATE_REGISTRY"), help="where releases are published")
    build.add_argument("--json", action="store_true", help="print what was built as JSON")


def run(args: argparse.Namespace) -> int:
    built = build_components(args)
    if args.json:
        print(json.dumps([_document(component) for component in built], indent=2))
        return 0
    table = Table("component", "version", "bytes", title=f"built into {args.out}")
    for component in built:
        table.add_row(component.name, component.version, f"{artifact_bytes(component):,}")
    Console().print(table)
    return 0


def build_components(args: argparse.Namespace) -> list[BuiltComponent]:
    """Write recipes/NAME-VERSION.json and artifacts/NAME/VERSION/FILE, the layout that a local Greengrass deployment
    takes too."""
    if not (args.gateway or args.model or args.package):
        raise UsageError("nothing to build: name --gateway, --model NAME@RELEASE or --package DIR")
    if args.gateway != (args.config is not None):
        raise UsageError("--gateway and --config go together: the configuration is part of the gateway's component")
    built = []
    if args.gateway:
        configuration = read_configuration(args.config)
        version = development_version(configuration, args.python) if args.development else project_version()
        built.append(build_gateway(args.out, version=version, configuration=configuration, python=args.python))
    built += [build_model(package, args.out) for package in args.package]
    built += [_build_release(args.registry, release, args.out) for release in args.model]
    return built


def read_configuration(path: Path) -> dict[str, Any]:
    """A gateway's configuration file as JSON data; ConfigError for what is none."""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        json.dumps(document)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; expected the gateway's configuration") from exc
    except (ValueError, TypeError) as exc:  # a TOML date is a TypeError to JSON
        raise ConfigError(f"{path} is not a configuration in TOML or JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: expected a table of settings, got {type(document).__name__}")
    return cast(dict[str, Any], document)


def _build_release(registry: str | None, release: str, out: Path) -> BuiltComponent:
    match = _RELEASE.fullmatch(release)
    if match is None:
        raise UsageError(f"--model must be NAME@RELEASE, such as coco@7, got {release!r}")
    if not registry:
        raise UsageError("--model needs the registry of releases: --registry URI, or TIDEGATE_REGISTRY")
    store = open_store(registry)
    key = f"models/{match[1]}/{match[2]}/package.zip"  # as cloud/registry.py puts it there
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(io.BytesIO(store.get(key))) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as exc:
            raise StoreError(f"{store.uri(key)} is not a ZIP: {exc}; publish the release again") from exc
        return build_model(Path(folder), out)


def _document(component: BuiltComponent) -> dict[str, Any]:
    return {
        "name": component.name,
        "version": component.version,
        "content": content_digest(component),
        "artifacts": [str(artifact) for artifact in component.artifacts],
    }
