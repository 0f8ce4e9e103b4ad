"""docs/gateway.md, followed step by step: at the desk in one folder, on the Pi in another, and on arm64 where that is.

What a machine of its own would be needed for is replaced: `sudo` does nothing more, `scp` copies from folder to folder,
/etc and /srv are in a third one, and the colour model stands for the detector.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import tidegate
from edge.config_file import read_config
from models.hardware import hardware_class
from simulator import processes
from simulator.ports import free_port, wait_until_listening

CHECKOUT = Path(tidegate.__file__).resolve().parent
GUIDE = (CHECKOUT / "docs" / "gateway.md").read_text()
FRAMES = 30
# what stands for programs of the Pi, of the desk, or of both
SHIMS = {
    "sudo": 'exec "$@"',
    "scp": 'for last; do :; done; while [ $# -gt 1 ]; do cp "$1" "$PI_HOME/${last#*:}"; shift; done',
    "chown": "true",
    "systemctl": "true",
    "nano": "true",
}


def blocks(step: int, language: str = "sh") -> list[str]:
    """The code of a step, in order."""
    (section,) = re.findall(rf"^## {step}\. .*?(?=^## |\Z)", GUIDE, flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)


class Walk:
    """A reader of the guide, with a desk and a Pi."""

    def __init__(self, folder: Path, pi_python: Path) -> None:
        self.desk, self.pi, self._root = folder / "desk", folder / "pi-home", folder / "root"
        for made in (self.desk, self.pi, self._root / "etc" / "mosquitto" / "conf.d"):
            made.mkdir(parents=True)
        self._port = free_port()
        self._programs = folder / "programs"
        # both know our code by PYTHONPATH, as if it had been installed
        for place, python in ((self.desk, sys.executable), (self.pi, pi_python)):
            programs = self._programs / place.name
            programs.mkdir(parents=True)
            for name, body in {**SHIMS, "tidegate": f'exec {python} -m tidegate "$@"'}.items():
                program = programs / name
                program.write_text(f"#!/bin/sh\n{body}\n")
                program.chmod(0o755)

    def place(self, path: str) -> Path:
        """Where a path of the Pi is here."""
        return self._root / path.lstrip("/")

    def text(self, written: str) -> str:
        """What the guide says, for here."""
        own = {
            "raspberrypi.local:8883": f"localhost:{self._port}",
            "listener 8883": f"listener {self._port} localhost",
            "port = 8883": f"port = {self._port}",
            "coco": "colour",
        }
        for theirs, ours in own.items():
            written = written.replace(theirs, ours)
        return re.sub(r"(?<![\w.])/(etc|srv|var/lib)/", rf"{self._root}/\1/", written)

    def do(self, written: str, *, at: Path) -> str:
        """Run a block; what it printed."""
        shell = ["bash", "-e", "-u", "-c", self.text(written)]
        done = subprocess.run(
            shell, cwd=at, env={**os.environ, **self._environment(at)}, capture_output=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{written}\n{done.stderr.decode()}"
        return done.stdout.decode()

    def start(self, command: str, *, at: Path) -> "subprocess.Popen[bytes]":
        words = ["bash", "-c", f"exec {self.text(command)}"]
        return processes.start(words, log=at / "log.txt", environment=self._environment(at), folder=at)

    def start_broker(self) -> "subprocess.Popen[bytes]":
        """What systemd does with what is in conf.d."""
        # it drops root's rights, and with them the way to the test's own folder
        config = self.place("/etc/mosquitto/conf.d/tidegate.conf")
        config.write_text(f"{config.read_text()}user root\n")
        broker = self.start(f"mosquitto -c {config}", at=self.pi)
        wait_until_listening(self._port, timeout_s=15)
        return broker

    def _environment(self, at: Path) -> dict[str, str]:
        path = f"{self._programs / at.name}:{os.environ['PATH']}:/usr/sbin"
        return {"PATH": path, "PYTHONPATH": str(CHECKOUT), "PI_HOME": str(self.pi)}


@pytest.fixture(params=["here", pytest.param("arm64", marks=[pytest.mark.soak, pytest.mark.arm64])])
def pi_python(request: pytest.FixtureRequest) -> Path:
    """The Python of the Pi: this one, or one that is arm64."""
    if request.param == "here":
        return Path(sys.executable)
    python: Path = request.getfixturevalue("arm64_python")
    return python


@pytest.fixture
def walk(tmp_path: Path, pi_python: Path) -> Walk:
    for program in ("mosquitto", "openssl"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            pytest.skip(f"no {program}, which the guide uses")
    return Walk(tmp_path, pi_python)


@pytest.mark.timeout(600)
def test_the_guide_leads_to_results(walk: Walk, colour_run: Path, pi_python: Path) -> None:
    shutil.copytree(colour_run, walk.desk / "runs" / "colour")
    release, unpack = blocks(4)
    walk.do(release, at=walk.desk)
    walk.do(unpack, at=walk.pi)

    table = walk.do(blocks(5)[0], at=walk.pi)
    assert "agree (chosen)" in table
    assert hardware_class() in table or pi_python != Path(sys.executable)

    walk.do(blocks(6)[0], at=walk.desk)
    walk.do(blocks(7)[0], at=walk.pi)
    broker = walk.start_broker()
    walk.do(blocks(8)[0], at=walk.pi)
    (config,) = blocks(8, "toml")
    walk.place("/etc/tidegate/gateway.toml").write_text(walk.text(config))
    make_film(walk.place("/srv/tidegate/bottles.mp4"))

    ingest, gateway, queries = blocks(9)
    taking_in = walk.start(ingest, at=walk.desk)
    try:
        said = walk.do(gateway, at=walk.pi)
        assert "all that was recorded is in the lake" in said
        tables = walk.do("\n".join(queries.splitlines()[1:]), at=walk.desk)
    finally:
        processes.stop(taking_in)
        processes.stop(broker)
    counts = dict(re.findall(r"\b(blue|green|red)\W+(\d+)", tables))
    assert counts == dict.fromkeys(("blue", "green", "red"), str(FRAMES // 3))


def test_the_configuration_in_the_guide_is_one(tmp_path: Path) -> None:
    (text,) = blocks(8, "toml")
    file = tmp_path / "gateway.toml"
    file.write_text(text)
    config = read_config(file)
    assert str(config.state) == "/var/lib/tidegate"
    assert config.uplink.kind == "mqtt"


def make_film(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), np.eye(3)[number % 3] * 200, np.uint8))
    writer.release()
