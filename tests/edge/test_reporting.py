"""A gateway that runs tells how it is: to those who ask, and the cloud as soon as something changes."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge import reporting, spool, windows
from edge.active_model import ActiveModel
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.model_store import ModelStore
from edge.reporting import Reporter
from edge.ship import Shipper
from edge.spool import Spool
from edge.status import Status, read_status
from edge.vitals import Vitals
from models.errors import SpoolError, TidegateError
from models.records import Event
from simulator.ports import free_port
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.edge.bad_disks import small_disk_at, use_up

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]


def test_while_the_disk_takes_nothing_a_window_that_is_over_is_not_looked_at_all_the_time(
    tmp_path: Path, trust: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MAX_PENDING", 1)
    with Spool(tmp_path / "spool.db", commit_s=3600) as full:
        reporter = Reporter(
            "g1",
            vitals=Vitals("colour"),
            active=ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=0),
            spool=full,
            shipper=Shipper(full, SmallUplink(SmallCloud()), gateway="g1"),
            challenger=None,
            window_s=1e-9,
            state=tmp_path,
            metrics_port=0,
            uplink="none",
            slowest_fps=1.0,
        )
        assert reporter.left_s() == 0
        full.append(Event("belt", 0, 0, "camera", rule=""))
        assert not full.takes_more
        reporter.look()
        assert reporter.left_s() == reporting.LOOK_S


@contextmanager
def running(folder: Path, trust: Path, camera: CameraConfig, **settings: Any) -> Iterator[SmallCloud]:
    cloud, stop = SmallCloud(), threading.Event()
    errors: list[TidegateError] = []
    config = GatewayConfig("colour", (camera,), trust=trust, state=folder / "state", **settings)

    def run() -> None:
        try:
            run_gateway(config, gateway="g1", stop=stop, keep_running=True, uplink=SmallUplink(cloud))
        except TidegateError as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield cloud
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def asked(state: Path) -> Status:
    status = read_status(state)
    assert status is not None
    return status


def test_a_running_gateway_answers_on_both_ways(
    tmp_path: Path, trust: Path, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    port, state = free_port(), tmp_path / "state"
    camera = CameraConfig("belt", str(make_video(40)))
    with running(tmp_path, trust, camera, package=make_release(7), metrics_port=port, window_s=3600):
        eventually(lambda: read_status(state) is not None)
        eventually(lambda: asked(state).overview.total.frames_inferred == 40)
        status = asked(state)
        total = status.overview.total
        assert (status.gateway, total.model, total.release, total.detections) == ("g1", "colour", 7, 40)
        assert [(camera.name, camera.seen, camera.inferred) for camera in total.cameras] == [("belt", 40, 40)]
        assert total.disk_free_bytes > 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b'tidegate_frames_inferred_total{camera="belt"} 40.0' in answer.read()
    assert read_status(state) is None


def test_the_cloud_is_told_of_a_change_long_before_the_window_is_over(
    tmp_path: Path,
    trust: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "NEWS_S", 0.2)
    camera = CameraConfig("belt", str(make_video(60)), fps=30)
    with running(tmp_path, trust, camera, package=make_release(7), window_s=3600) as cloud:
        eventually(lambda: bool(cloud.reports()) and cloud.reports()[-1].camera_state == "ended", timeout_s=20)
        assert 1 <= len(cloud.reports()) <= 3, "it was ok, and then it had ended"
        (camera_health,) = cloud.reports()[-1].cameras
        assert (camera_health.name, camera_health.state) == ("belt", "ended")


def test_the_cloud_is_told_of_a_new_model_as_soon_as_it_runs(
    tmp_path: Path,
    trust: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "NEWS_S", 0.2)
    pointer = tmp_path / "work" / "tidegate.Model.colour" / "pointer"
    pointer.parent.mkdir(parents=True)
    camera = CameraConfig("belt", str(make_video(3000)), fps=30)
    with running(tmp_path, trust, camera, pointers=tmp_path / "work", window_s=3600) as cloud:
        for release in (1, 2):
            pointer.write_text(f"{make_release(release)}\n")
            eventually(lambda release=release: release in [report.release for report in cloud.reports()], timeout_s=20)
        pointer.write_text(f"{tmp_path / 'nowhere'}\n")
        eventually(lambda: "nowhere" in cloud.reports()[-1].failed_release, timeout_s=20)
        assert cloud.reports()[-1].release == 2


def test_a_gateway_whose_disk_is_full_waits_for_it_and_is_not_taken_for_one_that_hangs(
    small_disk: Path,
    tmp_path: Path,
    trust: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "_MAX_PENDING", 100)
    monkeypatch.setattr(reporting, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(reporting, "LOOK_S", 0.1)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        camera = CameraConfig("belt", str(make_video(400)), fps=100)
        with running(small_disk, trust, camera, package=make_release(7), window_s=0.5) as cloud:
            eventually(lambda: len(cloud.frames) > 50, timeout_s=20)
            ballast = use_up(small_disk)
            eventually(lambda: _frames_stand_still(small_disk / "state"), timeout_s=20)
            told = []
            for _ in range(15):
                told.append(systemd.recv(100))
                time.sleep(0.2)
            assert set(told[1:]) == {b"WATCHDOG=1"}
            ballast.unlink()
            eventually(lambda: cloud.frame_numbers("belt") == list(range(400)), timeout_s=20)
            eventually(lambda: cloud.reports()[-1].camera_state == "ended", timeout_s=20)
        assert sum(report.frames_inferred for report in cloud.reports()) == 400


def test_a_gateway_whose_disk_is_full_can_be_told_to_end(
    small_disk: Path,
    trust: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "_MAX_PENDING", 100)
    camera = CameraConfig("belt", str(make_video(400)), fps=100)
    gateway = running(small_disk, trust, camera, package=make_release(7), window_s=0.5)
    cloud = gateway.__enter__()
    eventually(lambda: len(cloud.frames) > 50, timeout_s=20)
    use_up(small_disk)
    eventually(lambda: _frames_stand_still(small_disk / "state"), timeout_s=20)
    with pytest.raises(SpoolError, match="full"):
        gateway.__exit__(None, None, None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    with small_disk_at(tmp_path / "disk", "8m") as place:
        yield place


def _frames_stand_still(state: Path) -> bool:
    before = asked(state).overview.total.frames_inferred
    time.sleep(0.5)
    return before == asked(state).overview.total.frames_inferred
