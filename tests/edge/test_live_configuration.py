"""A gateway's configuration changes while it runs: no frame is lost or doubled, and what is wrong is refused."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from edge import gateway, running, watches
from edge.analytics.config import AnalyticsConfig, ZoneConfig
from edge.byte_budget import ByteBudget
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import VideoFile
from edge.config import GatewayConfig, UplinkConfig
from edge.gateway import run_gateway
from edge.kept_config import KEPT, keep, kept, start_with
from edge.status import read_status
from edge.uplink import Uplink, open_uplink
from models.configuration import document
from models.errors import ConfigError, TidegateError
from models.health import Health
from simulator.camera_server import Camera, CameraServer
from simulator.ports import free_port
from simulator.scenes import Shot, Truth
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.disks import small_disk_at, use_up

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]
ZONES = AnalyticsConfig(zones=(ZoneConfig("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1))),), aggregate_s=1)


class Desk:
    """Where configurations are given."""

    def __init__(self) -> None:
        self._given: list[GatewayConfig | TidegateError] = []

    def give(self, config: GatewayConfig | TidegateError) -> None:
        self._given.append(config)

    @property
    def taken(self) -> bool:
        return not self._given

    def changed(self) -> GatewayConfig | None:
        if not self._given:
            return None
        given = self._given.pop(0)
        if isinstance(given, TidegateError):
            raise given
        return given


class Site:
    """A gateway, its cloud, and what was opened."""

    def __init__(self, folder: Path, trust: Path) -> None:
        self.state = folder / "state"
        self.cloud = SmallCloud()
        self.desk = Desk()
        self.uplinks: list[SmallUplink] = []
        self.config = GatewayConfig(
            "colour",
            (CameraConfig("belt", "nowhere"),),
            window_s=0.3,
            trust=trust,
            state=self.state,
            pointers=folder / "work",
            ack_timeout_s=1.0,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread()
        self.error: TidegateError | None = None

    def open_uplink(self, config: UplinkConfig, *, gateway: str) -> Uplink:
        if config.kind != "ipc":
            return open_uplink(config, gateway=gateway)
        self.uplinks.append(SmallUplink(self.cloud, limit_bytes=config.message_limit_bytes))
        return self.uplinks[-1]

    def start(self, refused: str = "", **settings: Any) -> None:
        self.config = replace(self.config, **settings)
        self._stop = threading.Event()
        config, stop = self.config, self._stop

        def run() -> None:
            try:
                run_gateway(config, gateway="g1", stop=stop, keep_running=True, source=self.desk, refused=refused)
            except TidegateError as exc:
                self.error = exc

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(20)
            assert not self._thread.is_alive()

    def change(self, **settings: Any) -> None:
        self.config = replace(self.config, **settings)
        self.desk.give(self.config)

    def total(self) -> Health:
        """As `tidegate gateway status` has it; before it runs, of a gateway that has done nothing."""
        status = read_status(self.state)
        return status.overview.total if status else Health(0, 0.0, "", 0, "", "")

    def refused(self) -> str:
        return self.total().configuration_refused


@pytest.fixture
def site(tmp_path: Path, trust: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path / "site", trust)
    for module in (gateway, running):
        monkeypatch.setattr(module, "open_uplink", site.open_uplink)
    yield site
    site.end()
    assert site.error is None


def port_is_open(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def check_colours(site: Site, camera: str, frames: int) -> None:
    """Each frame of make_video is in the cloud, once, and as it was."""
    assert site.cloud.frame_numbers(camera) == list(range(frames))
    for result in list(site.cloud.frames.values()):
        if result.camera == camera:
            assert result.labels[0] == ("blue", "green", "red")[result.frame % 3]


def test_whatever_changes_each_frame_of_a_film_is_in_the_cloud_once(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    belt = CameraConfig("belt", str(make_video(900)), fps=100)
    door = CameraConfig("door", str(make_video(60, "door.avi")), fps=30)
    changes: list[dict[str, Any]] = [
        {"window_s": 0.2},
        {"byte_budget": ByteBudget(1 << 30)},
        {"byte_budget": None},
        {"ack_timeout_s": 0.5},
        {"keep_s": 5.0, "max_slowdown": 9.0},
        {"metrics_port": free_port()},
        {"metrics_port": 0},
        {"uplink": UplinkConfig(limit_bytes=3_000)},
        {"challenger": "hue"},
        {"challenger": None},
        {"cameras": (belt, door)},
        {"cameras": (replace(belt, analytics=ZONES), door)},
        {"cameras": (replace(belt, fps=120),)},
        {"cameras": (belt,)},
        {"workers": 2},
        {"spool_limit_bytes": 1 << 26},
    ]
    seed = 5
    Random(seed).shuffle(changes)
    site.start(cameras=(belt,), package=make_release(1))
    for change in changes:
        seen = len(site.cloud.frames)
        eventually(lambda seen=seen: len(site.cloud.frames) > seen + 10, timeout_s=30)
        site.change(**change)
        eventually(lambda: site.desk.taken)
    eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 900, timeout_s=30)
    check_colours(site, "belt", 900)
    door_numbers = site.cloud.frame_numbers("door")
    assert door_numbers == list(range(len(door_numbers))), "it came, and may have gone before its end"
    assert site.refused() == ""


def test_a_camera_that_comes_is_looked_through_and_one_that_goes_is_told_of_once_more(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    belt = CameraConfig("belt", str(make_video(3000)), fps=50)
    door = CameraConfig("door", str(make_video(40, "door.avi")))
    site.start(cameras=(belt,), package=make_release(1))
    eventually(lambda: len(site.cloud.frames) > 5)
    site.change(cameras=(belt, door))
    eventually(lambda: site.cloud.frame_numbers("door") == list(range(40)))
    site.change(cameras=(door,))
    eventually(lambda: [camera.name for camera in site.total().cameras] == ["door"])

    def told() -> int:
        cameras = [camera for report in site.cloud.reports() for camera in report.cameras]
        return sum(camera.inferred for camera in cameras if camera.name == "belt")

    eventually(lambda: [camera.name for camera in site.cloud.reports()[-1].cameras] == ["door"])
    eventually(lambda: told() == len(site.cloud.frame_numbers("belt")))
    gone = told()
    site.change(cameras=(belt, door))
    eventually(lambda: len(site.cloud.frame_numbers("belt")) > gone + 5)
    numbers = site.cloud.frame_numbers("belt")
    assert numbers == list(range(len(numbers))), "it goes on where it was"


class Flat:
    """Nothing but blue."""

    def truth(self, number: int) -> Truth:
        return Truth("blue")

    def frame(self, number: int) -> Shot:
        return Shot(np.full((48, 128, 3), (200, 0, 0), np.uint8), self.truth(number))


def test_a_zone_is_drawn_without_opening_the_camera_again(
    site: Site, make_release: MakeRelease, eventually: Eventually
) -> None:
    with CameraServer({"g1": Camera(Flat(), fps=30)}) as server:
        door = CameraConfig("door", f"{server.url}/{{gateway}}", numbered=True)
        site.start(cameras=(door,), package=make_release(1))
        eventually(lambda: len(site.cloud.frames) > 10)
        site.change(cameras=(replace(door, analytics=ZONES),))
        eventually(lambda: len(site.cloud.aggregates) > 0)
        site.end()
    numbers = site.cloud.frame_numbers("door")
    assert len(set(numbers)) == len(numbers)
    opened = [event for event in site.cloud.events.values() if event.kind == "camera" and event.label == "ok"]
    assert len(opened) == 1


BAD: list[dict[str, Any]] = [
    {"uplink": UplinkConfig("mqtt")},
    {"package": Path("/nowhere")},
    {"state": Path("/proc/nowhere")},
]


@pytest.mark.parametrize("bad", BAD, ids=["uplink", "package", "state"])
def test_what_cannot_be_opened_is_refused_and_all_goes_on_as_it_was(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually, bad: dict[str, Any]
) -> None:
    site.start(cameras=(CameraConfig("belt", str(make_video(200)), fps=100),), package=make_release(1))
    eventually(lambda: len(site.cloud.frames) > 10)
    good = site.config
    site.change(window_s=0.2, **bad)
    eventually(lambda: bool(site.refused()))
    eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 200)
    check_colours(site, "belt", 200)
    eventually(lambda: site.cloud.reports()[-1].configuration_refused == site.refused())
    assert kept(site.state) == good
    site.desk.give(good)
    eventually(lambda: site.refused() == "")


def test_a_file_with_other_frames_of_the_same_numbers_is_refused_before_anything_is_closed(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    belt = CameraConfig("belt", str(make_video(300)), fps=100)
    site.start(cameras=(belt,), package=make_release(1))
    eventually(lambda: len(site.cloud.frames) > 10)
    site.change(cameras=(replace(belt, uri=str(make_video(9, "other.avi"))),), uplink=UplinkConfig(limit_bytes=2_000))
    eventually(lambda: "camera 'belt' has frames of" in site.refused())
    eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 300)
    check_colours(site, "belt", 300)


def test_a_camera_that_hangs_is_closed_all_the_same(
    site: Site,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "_LEAVE_S", 0.2)
    hangs, let_go = threading.Event(), threading.Event()
    grab = VideoFile.grab

    def hanging_grab(file: VideoFile) -> bool:
        if hangs.is_set() and not let_go.is_set() and file._path.name == "belt.avi":
            let_go.wait(60)
        return grab(file)

    belt = CameraConfig("belt", str(make_video(400, "belt.avi")), fps=100)
    door = CameraConfig("door", str(make_video(40, "door.avi")))
    monkeypatch.setattr(VideoFile, "grab", hanging_grab)
    site.start(cameras=(belt,), package=make_release(1))
    eventually(lambda: len(site.cloud.frames) > 10)
    hangs.set()
    site.change(cameras=(door,))
    eventually(lambda: site.cloud.frame_numbers("door") == list(range(40)))
    site.change(cameras=(door, belt), workers=2)
    let_go.set()
    eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 400)
    check_colours(site, "belt", 400)


def test_on_a_full_disk_a_change_is_in_force_and_kept_when_there_is_room(
    site: Site,
    make_video: MakeVideo,
    make_release: MakeRelease,
    eventually: Eventually,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_KEEP_RETRY_S", 0.1)
    belt = CameraConfig("belt", str(make_video(60)), fps=30)
    with small_disk_at(tmp_path / "disk", "8m") as disk:
        site.state = disk / "state"
        site.start(cameras=(belt,), package=make_release(1), state=site.state)
        eventually(lambda: kept(site.state) == site.config)
        before = site.config
        ballast = use_up(disk)
        site.change(metrics_port=(port := free_port()))
        eventually(lambda: port_is_open(port))
        assert kept(site.state) == before
        ballast.unlink()
        eventually(lambda: kept(site.state) == site.config)
        eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 60)
        site.end()
    check_colours(site, "belt", 60)


def test_a_gateway_that_waits_for_its_first_model_follows_too(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.start(cameras=(CameraConfig("belt", str(make_video(9))),))
    eventually(lambda: len(site.cloud.reports()) > 0)
    site.change(cameras=(CameraConfig("door", str(make_video(9, "door.avi"))),))
    eventually(lambda: [camera.name for camera in site.cloud.reports()[-1].cameras] == ["door"])
    site.change(package=make_release(1))
    eventually(lambda: site.cloud.frame_numbers("door") == list(range(9)))
    assert site.cloud.frame_numbers("belt") == []


def test_a_refused_configuration_says_no_password(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.start(cameras=(CameraConfig("belt", str(make_video(9))),), package=make_release(1))
    site.desk.give(ConfigError("uri must be a text, got ['rtsp://admin:secret@192.0.2.7/']"))
    eventually(lambda: bool(site.refused()))
    assert "secret" not in site.refused()


def test_after_a_restart_with_a_bad_configuration_the_last_good_one_is_in_force(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    belt = CameraConfig("belt", str(make_video(200)), fps=100)
    site.start(cameras=(belt,), package=make_release(1))
    eventually(lambda: len(site.cloud.frames) > 10)
    good = site.config
    site.end()
    site.start(uplink=UplinkConfig("mqtt"))
    eventually(lambda: "kind mqtt needs host" in site.refused())
    eventually(lambda: len(site.cloud.frame_numbers("belt")) >= 200)
    check_colours(site, "belt", 200)
    assert kept(site.state) == good


def test_a_gateway_without_a_good_configuration_does_not_start(site: Site) -> None:
    site.start(cameras=(CameraConfig("belt", "film.mp4"),), uplink=UplinkConfig("mqtt"))
    site.end()
    assert isinstance(site.error, ConfigError)
    site.error = None


GIVEN = {"model": "colour", "cameras": [{"name": "belt", "uri": "usb:0"}]}


def test_what_is_kept_is_what_was_in_force_and_for_the_gateway_alone(tmp_path: Path) -> None:
    config, refused = start_with({**GIVEN, "state": str(tmp_path)}, where="here")
    assert refused == ""
    keep(config)
    assert kept(tmp_path) == config
    assert (tmp_path / KEPT).stat().st_mode & 0o777 == 0o600
    written = (tmp_path / KEPT).stat().st_mtime_ns
    keep(config)
    assert (tmp_path / KEPT).stat().st_mtime_ns == written, "a memory card is spared"
    assert start_with({**GIVEN, "state": str(tmp_path), "window_s": -1}, where="here") == (
        config,
        "here: window_s must be in 0.1..3600, got -1",
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"model": "colour"}'])
def test_garbage_that_is_kept_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEPT).write_bytes(content)
    assert kept(tmp_path) is None
    with pytest.raises(ConfigError, match="window_s must be in"):
        start_with({**GIVEN, "state": str(tmp_path), "window_s": -1}, where="here")


def test_an_older_version_that_takes_over_again_starts_with_what_it_understands(tmp_path: Path) -> None:
    config, _ = start_with({**GIVEN, "state": str(tmp_path)}, where="here")
    newer = {**document(config), "news": 1}
    newer["cameras"][0]["zoom"] = 2
    (tmp_path / KEPT).write_text(json.dumps(newer))
    assert start_with(newer, where="here") == (config, "here: unknown key 'news'; known keys: " + _known())
    with pytest.raises(ConfigError, match="unknown key 'news'"):
        start_with({**newer, "window_s": -1}, where="here")


def _known() -> str:
    return ", ".join(GatewayConfig.__dataclass_fields__)
