"""`python -m edge.component`, as Greengrass starts it: configured, heard and stopped through the nucleus."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import tidegate
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from simulator.small_cloud import SmallCloud
from tests.edge.answering import answering
from tests.edge.lite import lite

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]
THING = "line-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[LocalBroker, Authority]]:
    authority = Authority(tmp_path / "authority")
    local = LocalBroker(tmp_path / "broker", authority)
    local.start()
    yield local, authority
    local.close()


@pytest.fixture
def cloud(broker: tuple[LocalBroker, Authority]) -> Iterator[SmallCloud]:
    """Behind the broker, answering."""
    local, authority = broker
    with answering(authority.device(INGEST).broker(local.host, local.port), THING) as cloud:
        yield cloud


@contextmanager
def component(
    broker: tuple[LocalBroker, Authority], folder: Path, gateway: Mapping[str, Any]
) -> Iterator[subprocess.Popen[bytes]]:
    """The component's process, in its work folder."""
    local, authority = broker
    identity = authority.device(THING).broker(local.host, local.port)
    work = folder / "work" / "tidegate.Gateway"
    work.mkdir(parents=True)
    with lite(THING, folder / "root", identity, {"gateway": gateway}) as nucleus:
        process = subprocess.Popen(
            [sys.executable, "-m", "edge.component"],
            cwd=work,
            env={**os.environ, **nucleus.environment, "PYTHONPATH": str(Path(tidegate.__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def test_the_component_follows_the_pointer_ships_through_the_nucleus_and_leaves_in_time(
    broker: tuple[LocalBroker, Authority],
    cloud: SmallCloud,
    tmp_path: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    trust: Path,
    eventually: Eventually,
) -> None:
    gateway = {
        "model": "colour",
        # as a component of many cameras has them
        "cameras": json.dumps([{"name": "belt", "uri": str(make_video(200))}]),
        "window_s": 0.5,
        "ack_timeout_s": 2,
        "trust": str(trust),
    }
    with component(broker, tmp_path, gateway) as process:
        eventually(lambda: bool(cloud.reports()), timeout_s=20)
        assert cloud.reports()[0].release == 0
        pointer = tmp_path / "work" / "tidegate.Model.colour" / "pointer"
        pointer.parent.mkdir()
        pointer.write_text(f"{make_release(1)}\n")
        eventually(lambda: len(cloud.frames) == 200, timeout_s=20)
        assert cloud.frame_numbers("belt") == list(range(200))
        assert max(cloud.sizes) <= 5_000
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert time.monotonic() - asked < 5
    state = tmp_path / "work" / "tidegate.Gateway" / "state"
    assert (state / "spool.db").is_file()
    assert (state / "models" / "colour" / "1" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("cameras", "said"),
    [([], "cameras must name at least one camera"), ('[{"name": "be', "cameras must be a list, got '[{")],
)
def test_a_configuration_that_makes_no_sense_is_said_in_one_line(
    broker: tuple[LocalBroker, Authority], tmp_path: Path, cameras: object, said: str
) -> None:
    with component(broker, tmp_path, {"model": "colour", "cameras": cameras, "window_s": 60}) as process:
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 2
    (line,) = out.decode().strip().splitlines()
    assert f"component configuration, gateway: {said}" in line


def test_outside_greengrass_it_says_what_to_use_instead() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "AWS_IOT_THING_NAME"}
    root = Path(tidegate.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "edge.component"],
        cwd=root,
        env=environment,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert b"tidegate gateway run" in done.stderr
