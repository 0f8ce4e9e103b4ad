"""Cameras at the other end of a network: HTTP and RTSP, with what such cameras do to those who look."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from edge.cameras import opencv
from edge.cameras.camera import Camera, StalledError, Tally
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from models.errors import CameraError
from simulator.authority import Authority
from simulator.camera_server import Camera as Simulated
from simulator.camera_server import CameraServer
from simulator.rtsp_server import RtspServer
from simulator.scenes import Conveyor

pytestmark = pytest.mark.timeout(60)
Server = CameraServer | RtspServer
SERVERS: tuple[type[Server], ...] = (CameraServer, RtspServer)
FPS = 30


@pytest.fixture(autouse=True)
def quiet() -> None:
    prepare_opencv()


@pytest.fixture
def camera() -> Iterator[Simulated]:
    camera = Simulated(Conveyor(7), fps=FPS)
    yield camera
    camera.close()


def watch(uri: str, tally: Tally | None = None, *, stall_s: float = 5.0) -> Camera:
    return open_camera(CameraConfig("line", uri, numbered=True, stall_s=stall_s), tally or Tally())


@pytest.mark.parametrize("kind", SERVERS)
def test_a_password_opens_the_camera_and_is_never_told(kind: type[Server], camera: Simulated) -> None:
    with kind({"line": camera}, login="guard:s3cret") as server:
        scheme, _, place = server.url.partition("://")
        with pytest.raises(CameraError, match="does not answer") as refused:
            watch(f"{scheme}://guard:wr0ng@{place}/line")
        opened = watch(f"{scheme}://guard:s3cret@{place}/line")
        assert next(iter(opened)).image.shape == (240, 320, 3)
    with pytest.raises(CameraError) as gone:
        list(opened)
    opened.close()
    assert "wr0ng" not in str(refused.value)
    assert f"{scheme}://guard:***@{place}/line has gone away" in str(gone.value)
    assert "s3cret" not in str(gone.value)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_camera_that_somebody_else_plays_is_refused_where_an_authority_is_named(
    kind: type[Server], camera: Simulated, tmp_path: Path
) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with kind({"line": camera}, identity=ours.server()) as server:
        for ca in (ours.ca, None):
            opened = open_camera(CameraConfig("line", f"{server.url}/line", ca=ca), Tally())
            assert next(iter(opened)).image.shape[1] == 320
            opened.close()
        with pytest.raises(CameraError, match=r"does not answer; .* did .*theirs/ca\.crt sign its certificate"):
            open_camera(CameraConfig("line", f"{server.url}/line", ca=theirs.ca), Tally())
    assert "OPENCV_FFMPEG_CAPTURE_OPTIONS" not in os.environ


@pytest.mark.parametrize("kind", SERVERS)
def test_a_camera_that_falls_silent_is_stalled_and_goes_on_when_it_speaks_again(
    kind: type[Server], camera: Simulated
) -> None:
    tally = Tally()
    with kind({"line": camera}) as server:
        opened = watch(f"{server.url}/line", tally, stall_s=0.5)
        last = next(iter(opened)).number
        camera.shows = "nothing"
        numbers: list[int] = []
        with pytest.raises(StalledError, match=r"nothing new for 0\.5 s"):
            numbers.extend(frame.number for frame in opened)
        opened.close()
        last = max([last, *numbers])
        camera.shows = "scene"
        again = watch(f"{server.url}/line", tally)
        assert next(iter(again)).number > last
        assert tally.missed > 0, "what it showed in between was not seen"
        again.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_camera_that_was_gone_can_be_opened_again(kind: type[Server], camera: Simulated) -> None:
    tally = Tally()
    with kind({"line": camera}) as server:
        opened = watch(f"{server.url}/line", tally)
        last = next(iter(opened)).number
        camera.shows = "gone"
        with pytest.raises(CameraError, match="has gone away"):
            list(opened)
        with pytest.raises(CameraError, match="does not answer"):
            watch(f"{server.url}/line", tally)
        camera.shows = "scene"
        again = watch(f"{server.url}/line", tally)
        assert next(iter(again)).number > last
        opened.close()
        again.close()


def test_garbage_in_between_is_no_picture_and_no_end_of_the_gateway(camera: Simulated) -> None:
    tally = Tally()
    with CameraServer({"line": camera}) as server:
        opened = watch(f"{server.url}/line", tally, stall_s=0.6)
        before = [frame.number for frame in islice(opened, 5)]
        camera.shows = "garbage"
        with pytest.raises(CameraError, match=r"camera http://127\.0\.0\.1"):
            before.extend(frame.number for frame in opened)
        opened.close()
        camera.shows = "scene"
        shown = camera.number
        while camera.number < shown + 2:
            time.sleep(0.01)  # the garbage that was made already
        again = watch(f"{server.url}/line", tally)
        after = [frame.number for frame in islice(again, 5)]
        again.close()
    assert [*before, *after] == sorted({*before, *after})


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_port_that_takes_calls_and_says_nothing_is_given_up(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "OPEN_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(CameraError, match="does not answer"):
            watch(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/line")
        assert time.monotonic() - started < 20, "some day, at least"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0" * 4096,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>log in first</html>",
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n"
        b"--x\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_whatever_answers_there_it_is_no_camera(scheme: str, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "OPEN_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as somebody:

        def talk() -> None:
            try:
                while True:
                    caller, _ = somebody.accept()
                    with caller:
                        caller.recv(4096)
                        caller.sendall(answer)
            except OSError:
                return  # the test is over

        threading.Thread(target=talk, daemon=True).start()
        with pytest.raises(CameraError, match="does not answer"):
            watch(f"{scheme}://127.0.0.1:{somebody.getsockname()[1]}/line")
        somebody.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("ahead_s", "said_s"), [(0, 0), (-4, 4), (-3600, 0), (3600, 0)])
def test_an_rtsp_camera_says_when_its_pictures_were_taken(camera: Simulated, ahead_s: float, said_s: float) -> None:
    with RtspServer({"line": camera}, ahead_s=ahead_s) as server:
        opened = watch(f"{server.url}/line")
        # while it opened, FFMPEG kept what came
        ages = [(time.time_ns() - frame.captured_at_ns) / 1e9 for frame in islice(opened, 40)]
        opened.close()
    assert min(ages[-10:]) == pytest.approx(said_s, abs=0.5)


def test_there_are_at_most_as_many_pictures_on_their_way_as_may_wait(camera: Simulated) -> None:
    with RtspServer({"line": camera}) as server:
        opened = watch(f"{server.url}/line")
        frames = iter(opened)
        next(frames)
        time.sleep(1.0)  # the model is slow
        behind = camera.number - next(frames).number
        opened.close()
    assert behind < FPS / 3, "no backlog of what was shown meanwhile"
