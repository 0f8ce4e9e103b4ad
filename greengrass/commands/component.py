"""`tidegate component build`: recipes and artifacts in a folder, ready to be registered or deployed by hand."""

import argparse
import json
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from greengrass.component import (
    BuiltComponent,
    artifact_bytes,
    build_gateway,
    build_model,
    content_digest,
    development_version,
    project_version,
)
from greengrass.configuration import whole_configuration
from greengrass.objects import open_store
from greengrass.recipe import RUNTIME, RuntimeVersion
from greengrass.registry import fetch_package, parse_release
from greengrass.runtime.component import Devices, build_runtime, runtime_version
from greengrass.runtime.wheelhouse import ARCHITECTURES, PYTHONS, USUAL_PYTHONS, cache_folder
from models.errors import ConfigError, UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="build components into a folder", description=build_components.__doc__)
    build.add_argument("--out", type=Path, required=True, help="folder for recipes/ and artifacts/")
    build.add_argument("--gateway", action="store_true", help="build tidegate.Gateway, the code that gateways run")
    build.add_argument("--config", type=Path, help="the gateway's configuration, TOML or JSON (with --gateway)")
    build.add_argument(
        "--development", action="store_true", help="give the gateway a version of its own for each content"
    )
    build.add_argument(
        "--python",
        metavar="PATH",
        help="for development: a Python on the gateway that has what it needs installed, instead of tidegate.Runtime",
    )
    build.add_argument(
        "--runtime", action="store_true", help="build tidegate.Runtime, what the gateway needs installed there"
    )
    build.add_argument(
        "--platform", action="append", choices=list(ARCHITECTURES), help="what the Runtime is for (default: all)"
    )
    build.add_argument(
        "--python-version",
        action="append",
        choices=PYTHONS,
        help=f"a Python that the Runtime is for (default: {' and '.join(USUAL_PYTHONS)})",
    )
    build.add_argument(
        "--wheels", type=Path, default=cache_folder(), help="where downloaded wheels are kept (%(default)s)"
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
    console = Console()
    console.print(table)
    if args.gateway and not (args.runtime or args.python):
        console.print(f"the gateway needs {RUNTIME} {runtime_version(_devices(args)).version}: build it by --runtime")
    return 0


def build_components(args: argparse.Namespace) -> list[BuiltComponent]:
    """Write recipes/NAME-VERSION.json and artifacts/NAME/VERSION/FILE, the layout that a local Greengrass deployment
    takes too."""
    if not (args.gateway or args.runtime or args.model or args.package):
        raise UsageError("nothing to build: name --gateway, --runtime, --model NAME@RELEASE or --package DIR")
    if args.gateway != (args.config is not None):
        raise UsageError("--gateway and --config go together: the configuration is part of the gateway's component")
    if args.python and (not args.gateway or args.runtime or args.platform or args.python_version):
        raise UsageError("--python is of a gateway without a Runtime: leave it out, or --runtime and what it is for")
    devices = _devices(args)
    built = []
    if args.runtime:
        with Console(stderr=True).status("building the Runtime") as status:
            built.append(build_runtime(args.out, devices, cache=args.wheels, told=status.update))
    if args.gateway:
        python: str | RuntimeVersion = args.python or runtime_version(devices)
        configuration = whole_configuration(read_configuration(args.config), where=str(args.config))
        version = development_version(configuration, python) if args.development else project_version()
        built.append(build_gateway(args.out, version=version, configuration=configuration, python=python))
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


def _devices(args: argparse.Namespace) -> Devices:
    platforms = [platform for platform in ARCHITECTURES if platform in (args.platform or ARCHITECTURES)]
    pythons = [python for python in PYTHONS if python in (args.python_version or USUAL_PYTHONS)]
    return Devices(tuple(platforms), tuple(pythons))


def _build_release(registry: str | None, release: str, out: Path) -> BuiltComponent:
    wanted = parse_release(release)
    if not registry:
        raise UsageError("--model needs the registry of releases: --registry URI, or TIDEGATE_REGISTRY")
    with tempfile.TemporaryDirectory() as folder:
        return build_model(fetch_package(open_store(registry), wanted, Path(folder) / "package"), out)


def _document(component: BuiltComponent) -> dict[str, Any]:
    return {
        "name": component.name,
        "version": component.version,
        "content": content_digest(component),
        "artifacts": [str(artifact) for artifact in component.artifacts],
    }
