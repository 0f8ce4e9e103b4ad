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
from tests.disks import small_disk_at, use_up

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
            shadow=None,
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


class Site:
    """A state folder, a cloud, and a gateway of release 7 that sees a film of `belt`."""

    def __init__(self, folder: Path, trust: Path, make_video: MakeVideo, make_release: MakeRelease) -> None:
        self.state = folder / "state"
        self.cloud = SmallCloud()
        self._trust, self._make_video, self._make_release = trust, make_video, make_release

    @contextmanager
    def running(self, frames: int, *, fps: float | None = None, **settings: Any) -> Iterator[None]:
        """Meanwhile the gateway runs. What ended it is raised in the end."""
        stop = threading.Event()
        errors: list[TidegateError] = []
        camera = CameraConfig("belt", str(self._make_video(frames)), fps=fps)
        if "pointers" not in settings:
            settings["package"] = self._make_release(7)
        config = GatewayConfig("colour", (camera,), trust=self._trust, state=self.state, **settings)

        def run() -> None:
            try:
                run_gateway(config, gateway="g1", stop=stop, keep_running=True, uplink=SmallUplink(self.cloud))
            except TidegateError as exc:
                errors.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()
        if errors:
            raise errors[0]

    def ask(self) -> Status:
        """What the gateway says of itself."""
        status = read_status(self.state)
        assert status is not None
        return status

    def stands_still(self) -> bool:
        before = self.ask().overview.total.frames_inferred
        time.sleep(0.5)
        return before == self.ask().overview.total.frames_inferred

    def last_state(self) -> str:
        """The camera's, as the cloud knows it."""
        reports = self.cloud.reports()
        return reports[-1].camera_state if reports else ""


@pytest.fixture
def site(tmp_path: Path, trust: Path, make_video: MakeVideo, make_release: MakeRelease) -> Site:
    return Site(tmp_path, trust, make_video, make_release)


@pytest.fixture
def site_on_small_disk(
    small_disk: Path, trust: Path, make_video: MakeVideo, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> Site:
    monkeypatch.setattr(spool, "_MAX_PENDING", 100)
    return Site(small_disk, trust, make_video, make_release)


@pytest.fixture
def _news_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "NEWS_S", 0.2)


def test_a_running_gateway_answers_on_both_ways(site: Site, eventually: Eventually) -> None:
    port = free_port()
    with site.running(40, metrics_port=port, window_s=3600):
        eventually(lambda: read_status(site.state) is not None)
        eventually(lambda: site.ask().overview.total.frames_inferred == 40)
        status = site.ask()
        total = status.overview.total
        assert (status.gateway, total.model, total.release, total.detections) == ("g1", "colour", 7, 40)
        assert [(camera.name, camera.seen, camera.inferred) for camera in total.cameras] == [("belt", 40, 40)]
        assert total.disk_free_bytes > 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b'tidegate_frames_inferred_total{camera="belt"} 40.0' in answer.read()
    assert read_status(site.state) is None


@pytest.mark.usefixtures("_news_at_once")
def test_the_cloud_is_told_of_a_change_long_before_the_window_is_over(site: Site, eventually: Eventually) -> None:
    with site.running(60, fps=30, window_s=3600):
        eventually(lambda: site.last_state() == "ended", timeout_s=20)
        assert 1 <= len(site.cloud.reports()) <= 3, "it was ok, and then it had ended"
        (camera_health,) = site.cloud.reports()[-1].cameras
        assert (camera_health.name, camera_health.state) == ("belt", "ended")


@pytest.mark.usefixtures("_news_at_once")
def test_the_cloud_is_told_of_a_new_model_as_soon_as_it_runs(
    site: Site, make_release: MakeRelease, tmp_path: Path, eventually: Eventually
) -> None:
    pointer = tmp_path / "work" / "tidegate.Model.colour" / "pointer"
    pointer.parent.mkdir(parents=True)
    reports = site.cloud.reports
    with site.running(3000, fps=30, pointers=tmp_path / "work", window_s=3600):
        for release in (1, 2):
            pointer.write_text(f"{make_release(release)}\n")
            eventually(lambda release=release: release in [report.release for report in reports()], timeout_s=20)
        pointer.write_text(f"{tmp_path / 'nowhere'}\n")
        eventually(lambda: "nowhere" in reports()[-1].failed_release, timeout_s=20)
        assert reports()[-1].release == 2


def test_a_gateway_whose_disk_is_full_waits_for_it_and_is_not_taken_for_one_that_hangs(
    site_on_small_disk: Site, tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_on_small_disk
    monkeypatch.setattr(reporting, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(reporting, "LOOK_S", 0.1)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        with site.running(400, fps=100, window_s=0.5):
            eventually(lambda: len(site.cloud.frames) > 50, timeout_s=20)
            ballast = use_up(site.state.parent)
            eventually(site.stands_still, timeout_s=20)
            told = []
            for _ in range(15):
                told.append(systemd.recv(100))
                time.sleep(0.2)
            assert set(told[1:]) == {b"WATCHDOG=1"}
            ballast.unlink()
            eventually(lambda: site.cloud.frame_numbers("belt") == list(range(400)), timeout_s=20)
            eventually(lambda: site.last_state() == "ended", timeout_s=20)
        assert sum(report.frames_inferred for report in site.cloud.reports()) == 400


def test_a_gateway_whose_disk_is_full_can_be_told_to_end(site_on_small_disk: Site, eventually: Eventually) -> None:
    site = site_on_small_disk
    gateway = site.running(400, fps=100, window_s=0.5)
    gateway.__enter__()
    eventually(lambda: len(site.cloud.frames) > 50, timeout_s=20)
    use_up(site.state.parent)
    eventually(site.stands_still, timeout_s=20)
    with pytest.raises(SpoolError, match="full"):
        gateway.__exit__(None, None, None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    with small_disk_at(tmp_path / "disk", "8m") as place:
        yield place
