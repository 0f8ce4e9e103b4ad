"""A whole gateway in this process: cameras, model, spool and shipping, with a small cloud at the other end."""

import fcntl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cloud.sign import Keys, create_keys, sign_release
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import VideoFile
from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.running import Outcome
from models.errors import PackageError, SpoolError, TidegateError
from models.manifest import read_manifest, write_manifest
from simulator.camera_server import Camera, CameraServer, Shows
from simulator.scenes import Shot, Truth
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.edge.bad_disks import hanging_disk
from tests.edge.odd_models import moody_graph, run_of

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]


class Running:
    """A gateway on a thread of this process."""

    def __init__(self, config: GatewayConfig, uplink: SmallUplink, *, keep_running: bool) -> None:
        self.stop = threading.Event()
        self.outcome: Outcome | None = None
        self.error: TidegateError | None = None
        self._config, self._uplink, self._keep_running = config, uplink, keep_running
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = run_gateway(
                self._config, gateway="g1", stop=self.stop, keep_running=self._keep_running, uplink=self._uplink
            )
        except TidegateError as exc:
            self.error = exc

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def end(self, timeout_s: float = 20) -> None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()


class Site:
    """The state folder, the cloud, and the gateways that ran here one after another."""

    def __init__(self, folder: Path, trust: Path) -> None:
        self.folder = folder
        self.cloud = SmallCloud()
        self.trust = trust
        self.running: list[Running] = []

    def start(
        self, *cameras: CameraConfig, keep_running: bool = True, uplink: SmallUplink | None = None, **settings: Any
    ) -> tuple[Running, SmallUplink]:
        config = GatewayConfig(
            model="colour",
            cameras=cameras,
            **{
                "window_s": 0.3,
                "trust": self.trust,
                "state": self.folder / "state",
                "pointers": self.folder / "work",
                "ack_timeout_s": 1.0,
                **settings,
            },
        )
        uplink = uplink or SmallUplink(self.cloud)
        running = Running(config, uplink, keep_running=keep_running)
        self.running.append(running)
        return running, uplink

    def point(self, package: Path, *, model: str = "colour") -> None:
        pointer = self.folder / "work" / f"tidegate.Model.{model}" / "pointer"
        pointer.parent.mkdir(parents=True, exist_ok=True)
        draft = pointer.with_suffix(".draft")
        draft.write_text(f"{package}\n")
        draft.rename(pointer)

    @contextmanager
    def looking_on(self, package: Path) -> Iterator[None]:
        """The component tidegate.Challenger.colour while it is deployed; its folder stays."""
        folder = self.folder / "work" / "tidegate.Challenger.colour"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pointer").write_text(f"{package}\n")
        with (folder / "alive").open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            yield

    def compared(self) -> list[int]:
        """The release that looked on, in each window of the last process that told of one with frames; 0: none did."""
        return [told.challenge.release if told.challenge else 0 for told in self.cloud.reports()]

    def labels(self) -> dict[int, str]:
        """What was seen in each frame."""
        return {result.frame: result.labels[0] for result in self.cloud.frames.values()}


@pytest.fixture
def site(tmp_path: Path, trust: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site", trust)
    yield site
    for running in site.running:
        running.stop.set()
        running.end()


def test_every_frame_of_a_file_is_in_the_cloud_once_and_then_the_gateway_ends(
    site: Site, make_video: MakeVideo, make_release: MakeRelease
) -> None:
    video = make_video(300)
    running, _ = site.start(CameraConfig("belt", str(video)), keep_running=False, package=make_release(1))
    running.end()
    assert running.outcome == Outcome(waiting=0, failures=())
    assert site.cloud.frame_numbers("belt") == list(range(300))
    assert site.labels() == {n: ("blue", "green", "red")[n % 3] for n in range(300)}
    reports = site.cloud.reports()
    assert sum(report.frames_inferred for report in reports) == 300
    assert reports[-1].camera_state == "ended"
    assert reports[-1].release == 1


def test_a_gateway_whose_films_have_ended_says_how_it_is_while_the_cloud_does_not_answer(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    uplink = SmallUplink(site.cloud)
    uplink.deaf = True
    camera = CameraConfig("belt", str(make_video(20)))
    running, _ = site.start(camera, keep_running=False, package=make_release(1), uplink=uplink, window_s=0.2)
    eventually(lambda: sum(report.camera_state == "ended" for report in site.cloud.reports()) >= 5)
    uplink.deaf = False
    running.end()
    assert running.outcome == Outcome(waiting=0, failures=())
    assert site.cloud.frame_numbers("belt") == list(range(20))


def test_before_its_first_model_a_gateway_waits_and_blames_no_camera(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.start(CameraConfig("belt", str(make_video(20))))
    eventually(lambda: len(site.cloud.reports()) >= 2)
    assert {report.camera_state for report in site.cloud.reports()} == {"waiting"}
    site.point(make_release(1))
    eventually(lambda: site.cloud.reports()[-1].camera_state == "ended")


def test_a_second_run_has_nothing_left_to_do(site: Site, make_video: MakeVideo, make_release: MakeRelease) -> None:
    camera, package = CameraConfig("belt", str(make_video(20))), make_release(1)
    for _ in range(2):
        running, _ = site.start(camera, keep_running=False, package=package)
        running.end()
        assert running.outcome == Outcome(0, ())
    assert site.cloud.frame_numbers("belt") == list(range(20))


def test_a_cloud_that_is_away_costs_no_frame_and_the_gateway_waits_for_it(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    video = make_video(100)
    running, uplink = site.start(CameraConfig("belt", str(video)), keep_running=False, package=make_release(1))
    uplink.down = True
    time.sleep(1.0)
    assert running.alive
    uplink.down = False
    running.end()
    assert site.cloud.frame_numbers("belt") == list(range(100))


def test_until_a_model_arrives_nothing_is_seen_and_health_says_so(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    running, _ = site.start(CameraConfig("belt", str(make_video(50))))
    eventually(lambda: len(site.cloud.reports()) >= 2)
    assert site.cloud.frames == {}
    assert {report.release for report in site.cloud.reports()} == {0}
    site.point(make_release(1))
    eventually(lambda: len(site.cloud.frames) == 50)
    assert site.cloud.frame_numbers("belt") == list(range(50)), "no frame of the file was given away meanwhile"
    assert running.alive


def test_swaps_lose_no_frame_and_each_release_is_reported(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    packages = {release: make_release(release) for release in (1, 2, 3)}
    site.point(packages[1])
    site.start(CameraConfig("belt", str(make_video(400)), fps=80))
    for release in (1, 2, 3, 2):
        site.point(packages[release])
        eventually(lambda wanted=release: any(r.release == wanted for r in list(site.cloud.frames.values())[-1:]))
    eventually(lambda: len(site.cloud.frames) == 400)
    assert site.cloud.frame_numbers("belt") == list(range(400))
    eventually(lambda: sum(report.frames_inferred for report in site.cloud.reports()) == 400)
    by_release = Counter(result.release for result in site.cloud.frames.values())
    assert set(by_release) == {1, 2, 3}
    for release, count in by_release.items():
        told = sum(report.frames_inferred for report in site.cloud.reports() if report.release == release)
        assert told == count
    assert max(report.swaps for report in site.cloud.reports()) == 3


def test_a_bad_release_is_refused_and_reported_while_the_old_one_goes_on(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.point(make_release(1))
    site.start(CameraConfig("belt", str(make_video(200)), fps=100))
    eventually(lambda: len(site.cloud.frames) > 10)
    bad = make_release(2)
    (bad / "model.onnx").write_bytes(b"torn")
    site.point(bad)
    eventually(lambda: any(report.failed_release.startswith("colour@2: ") for report in site.cloud.reports()))
    eventually(lambda: len(site.cloud.frames) == 200)
    assert {result.release for result in site.cloud.frames.values()} == {1}


def test_a_model_that_fails_on_a_frame_costs_not_even_that_frame(
    site: Site, colour_run: Path, keys: Keys, make_release: MakeRelease, tmp_path: Path, eventually: Eventually
) -> None:
    video = tmp_path / "night.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for number in range(200):
        writer.write(np.full((48, 64, 3), 255 if number >= 150 else 100, np.uint8))
    writer.release()
    run = run_of(colour_run, tmp_path / "moody", moody_graph)
    until = datetime.now(UTC) + timedelta(days=1)
    moody = sign_release(run, keys, release=2, floor=0, expires=until, out=tmp_path / "packages" / "moody")
    site.point(make_release(1))
    site.start(CameraConfig("belt", str(video), fps=60), workers=2)
    eventually(lambda: len(site.cloud.frames) > 10)
    site.point(moody)
    eventually(lambda: len(site.cloud.frames) == 200)
    assert site.cloud.frame_numbers("belt") == list(range(200))
    by_release = {result.frame: result.release for result in site.cloud.frames.values()}
    assert by_release[149] == 2
    assert {by_release[number] for number in range(150, 200)} == {1}
    eventually(lambda: site.cloud.reports()[-1].failed_release.startswith("colour@2: "))
    assert sum(report.errors for report in site.cloud.reports()) == 0


def test_a_challenger_that_arrives_is_compared_and_answers_nobody(
    site: Site,
    colour_run: Path,
    make_video: MakeVideo,
    make_release: MakeRelease,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    site.point(make_release(1))
    site.start(
        CameraConfig("belt", str(make_video(3000)), fps=60),
        challenger="hue",
        challenger_cpu=1.0,
        challenger_pictures=99,
    )
    eventually(lambda: len(site.cloud.frames) > 10)
    keys = create_keys(tmp_path / "other keys", "hue")
    (site.trust / "hue.root.json").write_bytes(keys.root)
    write_manifest(colour_run, replace(read_manifest(colour_run), name="hue", labels=("blue", "green", "rouge")))
    until = datetime.now(UTC) + timedelta(days=1)
    package = sign_release(colour_run, keys, release=7, floor=0, expires=until, out=tmp_path / "packages" / "hue")
    site.point(package, model="hue")
    eventually(lambda: any(told.challenge and told.challenge.agreed > 10 for told in site.cloud.reports()))
    told = next(report.challenge for report in reversed(site.cloud.reports()) if report.challenge)
    assert (told.model, told.release) == ("hue", 7)
    assert 0 < told.agreed < told.frames, "it calls red by another name"
    assert told.ours == told.theirs == sum(told.their_scores)
    eventually(lambda: len(site.cloud.pictures) > 0)
    shown = next(iter(site.cloud.pictures.values()))
    assert (shown.kind, shown.frame % 3) == ("disagreement", 2)
    assert {(result.model, result.release) for result in site.cloud.frames.values()} == {("colour", 1)}


def test_a_release_looks_on_for_as_long_as_its_component_lives(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually, tmp_path: Path
) -> None:
    site.point(make_release(1))
    site.start(CameraConfig("belt", str(make_video(3000)), fps=60), challenger_cpu=1.0)
    eventually(lambda: len(site.cloud.frames) > 10)
    for release in (2, 3):
        with site.looking_on(make_release(release)):
            eventually(
                lambda release=release: any(
                    told.challenge and told.challenge.release == release and told.challenge.agreed > 10
                    for told in site.cloud.reports()
                )
            )
        eventually(lambda: site.compared()[-1] == 0)
    assert not list((site.folder / "state" / "looking-on" / "colour").glob("*/model*.onnx")), (
        "it takes no room any more"
    )
    assert {(result.model, result.release) for result in site.cloud.frames.values()} == {("colour", 1)}
    assert all(told.swaps == 0 for told in site.cloud.reports())


def test_a_release_that_looked_on_answers_without_being_open_twice_or_losing_a_frame(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.point(make_release(1))
    running, _ = site.start(CameraConfig("belt", str(make_video(3000)), fps=60), challenger_cpu=1.0)
    with site.looking_on(make_release(2)):
        eventually(lambda: 2 in site.compared())
        site.point(make_release(2, name="2 again"))
        eventually(lambda: any(told.release == 2 for told in site.cloud.reports()))
        eventually(lambda: site.compared()[-1] == 0)
        running.stop.set()
        running.end()
    assert {report.release for report in site.cloud.reports() if report.challenge} == {1}
    numbers = site.cloud.frame_numbers("belt")
    assert numbers == list(range(len(numbers)))
    assert {result.release for result in site.cloud.frames.values()} == {1, 2}


def test_a_release_that_cannot_look_on_says_why(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.point(make_release(1))
    site.start(CameraConfig("belt", str(make_video(3000)), fps=60))
    broken = make_release(2)
    (broken / "model.onnx").write_bytes(b"")
    with site.looking_on(broken):
        eventually(lambda: any(told.failed_release.startswith("colour@2: ") for told in site.cloud.reports()))
    eventually(lambda: site.cloud.reports()[-1].failed_release == "")
    releases = [told.release for told in site.cloud.reports()]
    # a window may end before the first model is in
    assert set(releases[releases.index(1) :]) == {1}
    assert set(releases[: releases.index(1)]) <= {0}


class Flat:
    """A scene of nothing but a colour; frame n as in make_video."""

    def truth(self, number: int) -> Truth:
        return Truth(("blue", "green", "red")[number % 3])

    def frame(self, number: int) -> Shot:
        return Shot(np.full((48, 128, 3), np.eye(3)[number % 3] * 200, np.uint8), self.truth(number))


def test_a_live_camera_may_go_away_and_come_back(site: Site, make_release: MakeRelease, eventually: Eventually) -> None:
    camera = Camera(Flat(), fps=30)
    server = CameraServer({"g1": camera})
    site.point(make_release(1))
    uri = f"{server.url}/{{gateway}}"
    running, _ = site.start(CameraConfig("door", uri, numbered=True, stall_s=1.0))
    eventually(lambda: len(site.cloud.frames) > 10)
    server.close()
    eventually(lambda: site.cloud.reports()[-1].camera_state == "down")
    assert running.alive
    assert any("has gone away" in report.last_error for report in site.cloud.reports())
    numbers = site.cloud.frame_numbers("door")
    assert len(set(numbers)) == len(numbers)
    assert all(site.labels()[number] == ("blue", "green", "red")[number % 3] for number in numbers)


@pytest.mark.parametrize(("shows", "state"), [("black", "dark"), ("cover", "dark"), ("frozen", "frozen")])
def test_a_camera_that_shows_nothing_is_no_empty_scene(
    site: Site, make_release: MakeRelease, eventually: Eventually, shows: Shows, state: str
) -> None:
    site.point(make_release(1))
    camera = Camera(Flat(), fps=30)
    with CameraServer({"g1": camera}) as server:
        config = CameraConfig("door", f"{server.url}/g1", numbered=True, dark_s=0.4, frozen_s=0.4, stall_s=2)
        site.start(config)
        eventually(lambda: len(site.cloud.frames) > 10)
        camera.shows = shows
        eventually(lambda: site.cloud.reports()[-1].camera_state == state)
        from_then_on = camera.number
        eventually(lambda: camera.number > from_then_on + 30)
        camera.shows = "scene"
        back = camera.number
        eventually(lambda: site.cloud.reports()[-1].camera_state == "ok")
        eventually(lambda: max(site.cloud.frame_numbers("door")) > back)
        unlooked = set(range(from_then_on + 2, back)) & set(site.cloud.frame_numbers("door"))
    assert not unlooked, "a frame that shows nothing says nothing"
    told = [event.label for _, event in sorted(site.cloud.events.items()) if event.kind == "camera"]
    assert told[:3] == ["ok", state, "ok"]


def test_a_camera_that_is_not_there_is_reported_and_the_others_go_on(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    site.point(make_release(1))
    away = CameraConfig("door", "http://127.0.0.1:9/")
    running, _ = site.start(CameraConfig("belt", str(make_video(50))), away)
    eventually(lambda: len(site.cloud.frames) == 50)
    eventually(lambda: site.cloud.reports()[-1].camera_state == "down")
    assert sum(report.errors for report in site.cloud.reports()) == 1, "said once"
    assert running.alive


def test_stopping_takes_less_than_five_seconds_and_nothing_recorded_is_lost(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, eventually: Eventually
) -> None:
    video, package = make_video(2_000), make_release(1)
    running, uplink = site.start(CameraConfig("belt", str(video), fps=200), package=package)
    eventually(lambda: len(site.cloud.frames) > 50)
    uplink.down = True
    time.sleep(0.5)
    asked = time.monotonic()
    running.stop.set()
    running.end()
    assert time.monotonic() - asked < 5
    assert running.outcome is not None
    assert running.outcome.waiting > 0
    again, _ = site.start(CameraConfig("belt", str(video)), keep_running=False, package=package)
    again.end()
    assert site.cloud.frame_numbers("belt") == list(range(2_000))


class HungUplink(SmallUplink):
    """A link whose other end takes what is published, and does not answer, once `hangs` is set, until `let_go` is."""

    def __init__(self, cloud: SmallCloud) -> None:
        super().__init__(cloud)
        self.hangs, self.hung, self.let_go = threading.Event(), threading.Event(), threading.Event()

    def publish(self, topic: str, payload: bytes) -> None:
        if self.hangs.is_set():
            self.hung.set()
            self.let_go.wait(60)
        super().publish(topic, payload)


def test_stopping_waits_neither_for_a_link_nor_for_a_camera_that_hangs(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    uplink = HungUplink(site.cloud)
    grab = VideoFile.grab

    def hanging_grab(file: VideoFile) -> bool:
        if uplink.hung.is_set():
            uplink.let_go.wait(60)
        return grab(file)

    monkeypatch.setattr(VideoFile, "grab", hanging_grab)
    camera, package = CameraConfig("belt", str(make_video(1_000)), fps=200), make_release(1)
    running, _ = site.start(camera, package=package, uplink=uplink)
    uplink.hangs.set()
    assert uplink.hung.wait(20)
    running.stop.set()
    running.end()
    assert not uplink.let_go.is_set()
    uplink.let_go.set()
    monkeypatch.undo()
    again, _ = site.start(camera, keep_running=False, package=package)
    again.end()
    assert site.cloud.frame_numbers("belt") == list(range(1_000))


def test_a_disk_that_hangs_keeps_no_gateway_from_stopping(
    site: Site,
    make_video: MakeVideo,
    make_release: MakeRelease,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    monkeypatch.setattr("edge.spool.HANGS_S", 0.3)
    with hanging_disk(monkeypatch) as disk:
        running, _ = site.start(CameraConfig("belt", str(make_video(2_000)), fps=200), package=make_release(1))
        eventually(lambda: len(site.cloud.frames) > 50)
        disk.clear()
        time.sleep(0.5)
        running.stop.set()
        running.end()
        assert isinstance(running.error, SpoolError)
        assert "has not answered for" in str(running.error)
        assert "records are not written" in str(running.error)


def test_a_file_that_is_not_there_ends_the_run_with_the_reason(site: Site, make_release: MakeRelease) -> None:
    running, _ = site.start(CameraConfig("belt", "/nowhere/belt.mp4"), keep_running=False, package=make_release(1))
    running.end()
    assert running.outcome is not None
    assert running.outcome.failures == ("camera file /nowhere/belt.mp4 is not there; expected a video or a folder",)


def test_a_package_that_is_not_to_be_trusted_ends_the_run_before_the_first_frame(
    site: Site, make_video: MakeVideo, make_release: MakeRelease, colour_run: Path
) -> None:
    running, _ = site.start(CameraConfig("belt", str(make_video(5))), keep_running=False, package=colour_run)
    running.end()
    assert isinstance(running.error, PackageError)
    assert "is not signed" in str(running.error)
    assert site.cloud.messages == 0


def test_an_unsigned_run_folder_runs_only_when_that_is_allowed(
    site: Site, make_video: MakeVideo, colour_run: Path
) -> None:
    camera = CameraConfig("belt", str(make_video(5)))
    running, _ = site.start(camera, keep_running=False, package=colour_run, allow_unsigned=True)
    running.end()
    assert site.cloud.frame_numbers("belt") == list(range(5))


def test_two_gateways_cannot_share_a_state_folder(
    site: Site, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("edge.gateway._LOCK_S", 0.2)
    site.start(CameraConfig("belt", str(make_video(5))))
    eventually(lambda: (site.folder / "state" / "lock").exists())
    second, _ = site.start(CameraConfig("belt", str(make_video(5))))
    second.end()
    assert isinstance(second.error, SpoolError)
    assert "another gateway runs in the state folder" in str(second.error)
