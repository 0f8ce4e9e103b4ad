"""Building tidegate.Runtime: the wheels for each platform, and the scripts that make an environment of them.

Its version follows from requirements.txt, the scripts, the recipe and what it is built for, and from nothing else: a
new release of our code needs no new Runtime, and a gateway component knows which one it needs without building it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from greengrass.component import UNPLACED, BuiltComponent, artifact_folder, write_component, write_zip
from greengrass.recipe import RUNTIME, Recipe, RuntimeVersion, Wheelhouse, runtime_recipe
from greengrass.runtime.wheelhouse import (
    ARCHITECTURES,
    HERE,
    LOCK,
    USUAL_PYTHONS,
    Lock,
    Target,
    fetch_wheels,
    packed_names,
    pinned,
    room_kb,
)

SETUP, KEEP = "setup.sh", "keep.sh"


@dataclass(frozen=True, slots=True)
class Devices:
    """What a Runtime is for; UsageError for a platform or Python that there are no wheels for."""

    platforms: tuple[str, ...] = tuple(ARCHITECTURES)
    pythons: tuple[str, ...] = USUAL_PYTHONS

    def __post_init__(self) -> None:
        for platform in self.platforms:
            self.targets(platform)

    def targets(self, platform: str) -> list[Target]:
        return [Target(platform, python) for python in self.pythons]


def runtime_version(devices: Devices, *, lock: Lock = LOCK) -> RuntimeVersion:
    """The Runtime that the gateway of this tidegate needs on these devices."""
    requirements = lock.requirements.read_bytes()
    environment = f"venv-{hashlib.sha256(requirements).hexdigest()[:12]}"
    unversioned = _recipe(RuntimeVersion("0.0.0", environment), devices, dict.fromkeys(devices.platforms, 0))
    digest = hashlib.sha256(json.dumps(unversioned, sort_keys=True).encode())
    for content in (requirements, lock.installer.read_bytes(), *_scripts().values()):
        digest.update(hashlib.sha256(content).digest())
    # numbers only, since the nuclei do not order other versions alike; the first two say something to people
    major, minor, *_ = pinned(requirements.decode())["onnxruntime"].split(".")
    return RuntimeVersion(f"{major}.{minor}.{100_000 + int(digest.hexdigest(), 16) % 900_000}", environment)


def build_runtime(
    out: Path, devices: Devices, *, cache: Path, lock: Lock = LOCK, told: Callable[[str], None] = lambda _: None
) -> BuiltComponent:
    """Build tidegate.Runtime; wheels that are not in `cache` are downloaded by pip. The same bytes each time."""
    runtime = runtime_version(devices, lock=lock)
    folder = artifact_folder(out, RUNTIME, runtime.version)
    rooms = {}
    for platform in devices.platforms:
        wheels = fetch_wheels(devices.targets(platform), cache, lock=lock, told=told)
        told(f"packing wheels for {platform}")
        write_zip(folder / _archive(platform), packed_names(wheels, lock=lock))
        rooms[platform] = room_kb(wheels)
    return write_component(out, _recipe(runtime, devices, rooms), _scripts())


def _scripts() -> dict[str, bytes]:
    return {name: (HERE / name).read_bytes() for name in (SETUP, KEEP)}


def _recipe(runtime: RuntimeVersion, devices: Devices, rooms: dict[str, int]) -> Recipe:
    return runtime_recipe(
        runtime,
        pythons=devices.pythons,
        wheelhouses=[
            Wheelhouse(platform.partition("/")[2], f"{UNPLACED}/{_archive(platform)}", rooms[platform])
            for platform in devices.platforms
        ],
        setup_uri=f"{UNPLACED}/{SETUP}",
        keep_uri=f"{UNPLACED}/{KEEP}",
    )


def _archive(platform: str) -> str:
    return f"wheels-{platform.replace('/', '-')}.zip"
