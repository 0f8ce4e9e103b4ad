"""The real Runtime on simulated devices of both nuclei: wheels of a gateway's, a virtual environment made without a
network, the gateway on it, and results in the lake. Needs a way to a package index once."""

import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cloud.lake.lake import Lake
from greengrass.recipe import GATEWAY, RUNTIME
from models.mqtt import Broker, Connection
from simulator.authority import Authority
from simulator.broker import LocalBroker
from simulator.fleet import SimulatedFleet
from simulator.local_cloud import LocalCloud
from simulator.nucleus.device import Device
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.personality import JAVA, LITE
from simulator.nucleus.services import Services
from simulator.witness import Witness
from tests.edge.conftest import MakeRelease
from tidegate import main

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PLATFORM = {"x86_64": "linux/amd64", "aarch64": "linux/aarch64"}[platform.machine()]
NUCLEI = {"lite-1": LITE, "java-1": JAVA}


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    with LocalCloud(tmp_path / "cloud") as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        yield cloud


@pytest.fixture
def fleet(cloud: LocalCloud, tmp_path: Path) -> Iterator[SimulatedFleet]:
    with SimulatedFleet(cloud, "shop", list(NUCLEI), tmp_path / "devices", personalities=NUCLEI) as fleet:
        fleet.start()
        yield fleet


@pytest.fixture
def film(make_video: Callable[..., Path]) -> Path:
    return make_video(frames=30)


def test_a_device_of_either_nucleus_goes_from_nothing_to_results_and_keeps_its_environment(
    cloud: LocalCloud,
    fleet: SimulatedFleet,
    film: Path,
    trust: Path,
    make_release: MakeRelease,
    tmp_path: Path,
    eventually: Callable[..., None],
) -> None:
    package = make_release(1)
    settings = tmp_path / "gateway.json"
    settings.write_text(
        json.dumps(
            {"model": "colour", "trust": str(trust), "window_s": 1, "cameras": [{"name": "belt", "uri": str(film)}]}
        )
    )
    lake = Lake(cloud.lake)

    def build(out: str, *more: str, pythons: tuple[str, ...] = (PYTHON,)) -> None:
        which = [word for python in pythons for word in ("--python-version", python)]
        gateway = ["--gateway", "--config", str(settings), "--runtime", "--platform", PLATFORM, *which]
        assert main(["component", "build", "--out", str(tmp_path / out), *gateway, *more]) == 0

    def deploy(out: str) -> None:
        assert main(["deploy", "--components", str(tmp_path / out), "--group", "shop", "--wait", "300"]) == 0

    build("first", "--package", str(package))
    deploy("first")

    eventually(lambda: _frames(lake) == dict.fromkeys(NUCLEI, 30), timeout_s=60)
    environments = {name: _environment(fleet, name) for name in NUCLEI}
    for name, environment in environments.items():
        assert environment.is_relative_to(fleet.folder / name / "work" / RUNTIME)
    before = {name: (environment.stat().st_ino, fleet.pids()[name]) for name, environment in environments.items()}

    # another release of our code: the same Runtime
    build("second", "--development")
    deploy("second")
    # the same wheels for one more Python: another Runtime, but not another environment
    build("third", "--development", pythons=(PYTHON, "3.14"))
    deploy("third")

    for name, environment in environments.items():
        inode, pid = before[name]
        assert _environment(fleet, name) == environment
        assert environment.stat().st_ino == inode
        assert fleet.pids()[name] not in (None, pid)
        assert [path.name for path in environment.parent.glob("venv-*")] == [environment.name]


def test_a_power_cut_while_the_environment_is_made_leaves_none_and_it_is_made_when_the_power_is_back(
    cloud: LocalCloud, fleet: SimulatedFleet, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    out = str(tmp_path / "runtime")
    built = ["component", "build", "--out", out, "--runtime", "--platform", PLATFORM, "--python-version", PYTHON]
    assert main(built) == 0
    assert main(["deploy", "--components", out, "--group", "shop"]) == 0

    for name, nucleus in fleet.nuclei.items():
        work = fleet.folder / name / "work" / RUNTIME
        eventually(lambda work=work: list(work.glob("venv-*.new/lib/*/site-packages/numpy")), timeout_s=120)
        nucleus.power_cut()
        assert [path.suffix for path in work.glob("venv-*")] == [".new"]
        nucleus.start()

    for name, nucleus in fleet.nuclei.items():
        work = fleet.folder / name / "work" / RUNTIME
        eventually(lambda nucleus=nucleus: nucleus.pid(RUNTIME) is not None, timeout_s=120)
        (environment,) = work.glob("venv-*")
        assert (environment / "bin" / "python").exists()


def test_on_lite_a_local_deployment_works_though_it_leaves_archives_packed(
    film: Path, trust: Path, make_release: MakeRelease, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    settings = {"model": "colour", "trust": str(trust), "cameras": [{"name": "belt", "uri": str(film)}]}
    (tmp_path / "gateway.json").write_text(json.dumps(settings))
    out, root = tmp_path / "dist", tmp_path / "root"
    which = ["--platform", PLATFORM, "--python-version", PYTHON, "--package", str(make_release(1))]
    gateway = ["--runtime", "--gateway", "--config", str(tmp_path / "gateway.json"), *which]
    assert main(["component", "build", "--out", str(out), *gateway]) == 0
    witness = Witness(root / "work" / GATEWAY / "state" / "spool.db")

    # all that lite does with --artifacts-dir, by its source
    shutil.copytree(out / "artifacts", root / "packages" / "artifacts")
    recipes = [json.loads(path.read_bytes()) for path in (out / "recipes").glob("*.json")]
    authority = Authority(tmp_path / "authority")
    with closing(LocalBroker(tmp_path / "broker", authority)) as broker:
        broker.start()
        identity = authority.device("line-1").broker(broker.host, broker.port)
        with _device("line-1", root, identity) as device:
            outcome = device.change_to(
                DeviceState({}, {recipe["ComponentName"]: _installed(recipe) for recipe in recipes})
            )
            assert outcome.succeeded, outcome.cause
            eventually(lambda: len(witness.frames()) == 30, timeout_s=60)
    assert not (root / "packages" / "artifacts-unarchived").exists()


@contextmanager
def _device(thing: str, root: Path, broker: Broker) -> Iterator[Device]:
    """A nucleus lite without a cloud to deploy from."""
    with (
        tempfile.TemporaryDirectory() as sockets,
        Connection(broker, client_id=thing) as connection,
    ):
        socket = Path(sockets) / "ipc"
        environment = {
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(socket),
            "AWS_IOT_THING_NAME": thing,
        }
        device = Device(thing, root, environment=environment, personality=LITE)
        with IpcServer(socket, Services(device, connection, LITE), LITE):
            device.start()
            yield device
            device.stop()


def _installed(recipe: dict[str, Any]) -> Installed:
    """Of a local recipe, which has no digests; ours wants them and does not look."""
    for artifact in (artifact for manifest in recipe["Manifests"] for artifact in manifest["Artifacts"]):
        artifact["Digest"] = ""
    return Installed(recipe, recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {}))


def _environment(fleet: SimulatedFleet, name: str) -> Path:
    """Of the Python that the gateway's process was started with."""
    command = Path(f"/proc/{fleet.pids()[name]}/cmdline").read_bytes().decode()
    assert "edge.component" in command
    return Path(command.split("\0")[0]).parent.parent


def _frames(lake: Lake) -> dict[str, int]:
    """How many frames of each gateway are in the lake."""
    rows = lake.query("SELECT gateway, count(*) AS n FROM frames GROUP BY gateway").to_pylist()
    return {row["gateway"]: row["n"] for row in rows}
