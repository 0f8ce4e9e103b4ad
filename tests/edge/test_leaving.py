"""A gateway that was told to end ends well, whatever its threads wait for."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tidegate
from edge.status import read_status
from simulator.camera_server import Camera, CameraServer
from simulator.scenes import Conveyor

Eventually = Callable[..., None]
ROOT = Path(tidegate.__file__).parent

LEAVE = """
import sys, threading, time
from edge.leaving import leave
if {stuck}:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("all is done")
leave(3)
sys.exit(4)
"""


@pytest.mark.parametrize(("stuck", "code"), [(True, 3), (False, 4)])
def test_a_thread_that_can_not_be_ended_ends_with_its_process(stuck: bool, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVE.format(stuck=stuck)], cwd=ROOT, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (code, b"all is done\n")


def test_a_gateway_that_looks_through_live_cameras_tells_systemd_and_does_not_abort_when_it_leaves(
    tmp_path: Path, colour_run: Path, eventually: Eventually
) -> None:
    # its readers come back from the driver every 50 ms, and so while Python ends: one end in five aborted
    with (
        CameraServer({"belt": Camera(Conveyor(seed=1), fps=20)}) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        (tmp_path / "gateway.toml").write_text(
            f'model = "colour"\npackage = "{colour_run}"\nallow_unsigned = true\n'
            f'cameras = [{{name = "a", uri = "{server.url}/belt"}}, {{name = "b", uri = "{server.url}/belt"}}]\n'
            '[uplink]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 1\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "gateway", "run", "--config", "gateway.toml", "--keep-running"],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "1000000",
            },
            stderr=subprocess.PIPE,
        )
        try:
            assert [systemd.recv(100), systemd.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
            eventually(lambda: _looks(tmp_path / "state"), timeout_s=30)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, said.decode()


def _looks(state: Path) -> bool:
    status = read_status(state)
    return status is not None and all(camera.inferred > 0 for camera in status.overview.total.cameras)
