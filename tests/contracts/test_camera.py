"""What every camera keeps, on each adapter: a file, a folder, MJPEG over HTTP, RTSP (ours), and Picamera2 (a fake
module). USB has a test of its own (tests/edge/cameras/test_usb.py)."""

import http.server
import importlib
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cameras.camera import KEEP, Camera, StalledError, Tally
from edge.cameras.config import CameraConfig, MotionConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from edge.cameras.uri import public
from models import framecode
from models.detections import UInt8
from models.errors import CameraError
from models.frame import Frame
from simulator.camera_server import Camera as SimulatedCamera
from simulator.rtsp_server import RtspServer
from simulator.scenes import Shot, Truth

BOUNDARY = "part"
FRAMES = 40


def picture(number: int) -> UInt8:
    return np.full((48, 128, 3), np.eye(3)[number % 3] * 200, np.uint8)


def colour(frame: Frame) -> int:
    """Which of the three colours it shows: its number, modulo 3."""
    return int(np.argmax(frame.image.mean(axis=(0, 1))))


class MjpegServer:
    """A camera that counts frames from its start, whoever watches, and writes the numbers into the pictures. Who
    watches gets every frame, late when this machine is busy."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self.started = time.monotonic()
        self.frozen = threading.Event()
        self.hung_up = threading.Event()
        handler = type("Handler", (_Handler,), {"camera": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def number(self) -> int:
        return int((time.monotonic() - self.started) * self.fps)

    def close(self) -> None:
        self.hung_up.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    camera: MjpegServer

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        self.end_headers()
        number = self.camera.number() - 1
        while not self.camera.hung_up.wait(0.005):
            if number == self.camera.number() or self.camera.frozen.is_set():
                continue
            number += 1
            _, jpeg = cv2.imencode(".jpg", framecode.stamp(picture(number), number))
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
            except OSError:
                return

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def quiet() -> None:
    prepare_opencv()


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    server = MjpegServer(fps=30)
    yield server
    server.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "camera.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (128, 48))
    for number in range(FRAMES):
        writer.write(picture(number))
    writer.release()
    return path


Open = Callable[..., Camera]


def open_file(path: Path, tally: Tally, *, keep: int = KEEP, **settings: Any) -> Camera:
    return open_camera(CameraConfig("camera", str(path), **settings), tally, keep=keep)


def open_live(uri: str, tally: Tally, *, keep: int = KEEP, **settings: Any) -> Camera:
    return open_camera(CameraConfig("camera", uri, **settings), tally, keep=keep)


class Tricolour:
    """Frame n is blue, green or red as n % 3 is 0, 1 or 2."""

    def frame(self, number: int) -> Shot:
        return Shot(picture(number), self.truth(number))

    def truth(self, number: int) -> Truth:
        return Truth("empty")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number:03d}.png"), picture(number))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    cameras = {
        "gate/1": SimulatedCamera(Tricolour(), fps=30),
        "plain": SimulatedCamera(Tricolour(), fps=30, stamped=False),
    }
    with RtspServer(cameras) as server:
        yield server


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The fake module in the place of the real one."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "fake_picamera2"))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    module = importlib.import_module("picamera2")
    yield module
    module.faults.clear()
    sys.modules.pop("picamera2")


RECORDED = ("file", "folder")
LIVE = ("mjpeg", "mjpeg numbered", "rtsp", "rtsp numbered", "picamera")


@pytest.fixture(params=[*RECORDED, *LIVE])
def opened(request: pytest.FixtureRequest) -> Open:
    """Opens the adapter's camera, going on where a tally says."""
    kind: str = request.param
    numbered = "numbered" in kind
    if kind in RECORDED:
        path: Path = request.getfixturevalue("video" if kind == "file" else "folder")
        return lambda tally, **settings: open_file(path, tally, **settings)
    if kind == "picamera":
        request.getfixturevalue("picamera2")
        return lambda tally, **settings: open_live("picamera:0", tally, **{"size": (128, 48), "stall_s": 5, **settings})
    if "rtsp" in kind:
        url = request.getfixturevalue("rtsp").url + ("/gate/1" if numbered else "/plain")
    else:
        url = request.getfixturevalue("server").url
    return lambda tally, **settings: open_live(url, tally, **{"numbered": numbered, "stall_s": 5, **settings})


def test_frames_come_in_order_with_pictures_and_times(opened: Open) -> None:
    tally = Tally()
    camera = opened(tally)
    before_ns = time.time_ns()
    frames = list(islice(camera, 10))
    camera.close()
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))
    assert all(frame.image.shape[1:] == (128, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert camera.sight == "ok"
    times = [frame.captured_at_ns for frame in frames]
    assert times == sorted(times)
    assert before_ns - 10**10 <= times[-1] <= time.time_ns()
    steady = [frame.steady_ns for frame in frames]
    assert steady == sorted(set(steady))
    assert tally.seen >= 10


def test_a_camera_goes_on_after_the_last_number_that_was_recorded(opened: Open) -> None:
    tally = Tally(last=7)
    camera = opened(tally)
    first = next(iter(camera))
    camera.close()
    assert first.number >= 8


def test_a_closed_camera_ends_even_when_closed_from_another_thread(opened: Open) -> None:
    camera = opened(Tally())
    threading.Timer(0.2, camera.close).start()
    for _ in camera:
        pass


@pytest.mark.parametrize("keep", [1, KEEP])
def test_a_picture_stays_as_it_is_while_the_next_ones_are_delivered(opened: Open, keep: int) -> None:
    camera = opened(Tally(), rotate=180, keep=keep)
    shown: deque[tuple[UInt8, UInt8]] = deque(maxlen=keep)
    for frame in islice(camera, 20):
        shown.append((frame.image, frame.image.copy()))
        assert all(np.array_equal(image, copy) for image, copy in shown)
    camera.close()
    assert len(shown) == keep


def test_buffers_are_used_again(opened: Open, request: pytest.FixtureRequest) -> None:
    if "folder" in request.node.name:
        pytest.skip("pictures of a folder have all sizes, and arrays of their own")
    camera = opened(Tally(), fps=200)
    places = {frame.image.__array_interface__["data"][0] for frame in islice(camera, 35)}
    camera.close()
    assert len(places) <= KEEP + 4


def test_every_camera_can_be_turned_cut_and_masked(opened: Open) -> None:
    left_half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    camera = opened(Tally(), rotate=90, crop=(0.0, 0.5, 0.75, 1.0), masks=(left_half,))
    for frame in islice(camera, 12):
        height, width, _ = frame.image.shape
        assert (height, width) in ((64, 36), (64, 48)), "with the strip of numbers it is not cut off in the same place"
        assert (frame.image[:, : width // 2 - 1] == 114).all()
        assert not (frame.image[8:-8, width // 2 + 2 :] == 114).all()
    camera.close()


def test_still_pictures_are_held_back_and_counted(opened: Open) -> None:
    tally = Tally()
    # nothing of this scene moves by so much
    camera = opened(tally, motion=MotionConfig(threshold=254, every_s=0.2))
    numbers = [frame.number for frame in islice(camera, 2)]
    camera.close()
    assert tally.still > 0
    assert tally.seen >= tally.still + len(numbers)
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("kind", RECORDED)
def test_every_frame_of_a_recording_comes_once_and_then_it_ends(kind: str, video: Path, folder: Path) -> None:
    tally = Tally()
    frames = [(frame.number, colour(frame)) for frame in open_file(video if kind == "file" else folder, tally)]
    assert frames == [(number, number % 3) for number in range(FRAMES)]
    assert (tally.seen, tally.skipped, tally.missed) == (FRAMES, 0, 0)


@pytest.mark.parametrize("last", [0, 20, FRAMES - 2, FRAMES - 1])
@pytest.mark.parametrize("kind", RECORDED)
def test_a_recording_resumes_at_exactly_the_next_frame(kind: str, video: Path, folder: Path, last: int) -> None:
    path = video if kind == "file" else folder
    frames = [(frame.number, colour(frame)) for frame in open_file(path, Tally(last=last))]
    assert frames == [(number, number % 3) for number in range(last + 1, FRAMES)]


@pytest.mark.real
@pytest.mark.parametrize("last", [-1, 100, 370])
def test_a_real_video_with_predicted_frames_resumes_exactly_too(shared_data: Path, last: int) -> None:
    path = shared_data / "videos" / "car-detection.mp4"
    resumed = {frame.number: frame.image.mean() for frame in open_file(path, Tally(last=last))}
    assert list(resumed) == list(range(last + 1, 377))
    whole = {frame.number: frame.image.mean() for frame in islice(open_file(path, Tally()), 377)}
    assert all(resumed[number] == whole[number] for number in resumed)


def test_a_file_can_be_paced(video: Path) -> None:
    started = time.monotonic()
    assert len(list(islice(open_file(video, Tally(), fps=50), 11))) == 11
    assert 0.19 <= time.monotonic() - started < 1


def test_a_file_that_was_cut_off_is_no_file_that_ended(video: Path) -> None:
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) // 2])
    frames: list[Frame] = []
    with pytest.raises(CameraError, match=r"is damaged: of the 40 frames it names only \d+ can be read"):
        frames.extend(open_file(video, Tally()))


@pytest.mark.parametrize("content", [None, b"", b"no video at all" * 100])
def test_a_file_that_is_not_there_or_no_video_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "camera.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CameraError, match=r"camera file .* is not"):
        open_file(path, Tally())


def test_a_live_camera_opens_fast_and_shows_what_is_now() -> None:
    server = MjpegServer(fps=5)
    started = time.monotonic()
    camera = open_live(server.url, Tally(), numbered=True, stall_s=5)
    lags = []
    for frame in islice(camera, 10):
        lags.append(server.number() - frame.number)
        if len(lags) == 1:
            first_s = time.monotonic() - started
    camera.close()
    server.close()
    assert first_s < 1, "the first picture comes within a second"
    assert lags[0] <= 3, "FFMPEG reads 2 KiB before it believes that this is a camera: two of these small pictures"
    assert max(lags[4:]) <= 1, "no backlog: the newest picture, or the one before"


def test_a_slow_reader_gets_the_newest_frames_and_the_rest_is_counted(server: MjpegServer) -> None:
    tally = Tally()
    camera = open_live(server.url, tally, numbered=True, stall_s=5)
    numbers: list[int] = []
    for frame in islice(camera, 5):
        numbers.append(frame.number)
        while tally.last < frame.number + 6:  # the model takes as long as the camera takes for six frames
            time.sleep(0.005)
    camera.close()
    assert np.diff(numbers).tolist()[1:] == pytest.approx([5] * 3, abs=4)
    assert tally.skipped >= 4 * 3
    assert tally.missed == 0
    waiting = tally.seen - tally.skipped - len(numbers)
    assert 0 <= waiting <= 2


def test_frames_above_the_cap_are_counted_as_skipped_and_keep_their_numbers(server: MjpegServer) -> None:
    tally = Tally()
    camera = open_live(server.url, tally, numbered=True, fps=10, stall_s=5)
    started = time.monotonic()
    numbers = [frame.number for frame in islice(camera, 8)]
    camera.close()
    assert time.monotonic() - started > 0.5, "eight frames at ten a second"
    assert numbers == sorted(set(numbers))
    assert tally.skipped > 0
    assert tally.missed == 0, "what we did not read was not missed"


def test_what_a_camera_showed_while_nobody_was_connected_was_missed(server: MjpegServer) -> None:
    tally = Tally()
    first = open_live(server.url, tally, numbered=True, stall_s=5)
    next(iter(first))
    first.close()
    time.sleep(0.3)
    seen_before = tally.last
    again = open_live(server.url, tally, numbered=True, stall_s=5)
    number = next(iter(again)).number
    again.close()
    assert number > seen_before
    assert tally.missed >= 5


@pytest.mark.parametrize("model_s", [0.0, 0.6])
def test_a_frozen_camera_is_stalled_and_not_empty(server: MjpegServer, model_s: float) -> None:
    camera = open_live(server.url, Tally(), stall_s=0.4)
    next(iter(camera))
    server.frozen.set()
    time.sleep(model_s)
    with pytest.raises(StalledError, match=r"has shown nothing new for 0\.4 s"):
        for _ in camera:
            pass
    camera.close()


def test_a_camera_that_hangs_up_raises_and_can_be_opened_again(server: MjpegServer) -> None:
    tally = Tally()
    camera = open_live(server.url, tally, stall_s=5)
    next(iter(camera))
    server.hung_up.set()
    with pytest.raises(CameraError, match="has gone away"):
        for _ in camera:
            pass
    server.hung_up.clear()
    last = tally.last
    again = open_live(server.url, tally, stall_s=5)
    assert next(iter(again)).number > last
    again.close()


def test_a_camera_that_is_away_is_an_error_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(CameraError, match="does not answer"):
        open_live("http://127.0.0.1:9/", Tally(), stall_s=5)
    assert time.monotonic() - started < 2


def test_opencv_says_nothing_of_its_own_about_a_camera_that_is_away() -> None:
    # in a process of its own: FFMPEG looks at its log level once
    program = (
        "from edge.cameras.opencv import *\nprepare_opencv()\n"
        "try: NetworkCamera('http://127.0.0.1:9/', stall_s=5)\nexcept CameraError: print('away')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"away\n", b"")


def test_a_picture_without_a_number_is_an_error_where_numbers_are_expected(
    server: MjpegServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framecode, "stamp", lambda image, number: image)
    camera = open_live(server.url, Tally(), numbered=True, stall_s=5)
    with pytest.raises(CameraError, match="no readable frame code"):
        next(iter(camera))
    camera.close()


def test_passwords_are_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert public("rtsp://admin:secret@10.0.0.7/stream") == "rtsp://admin:***@10.0.0.7/stream"
    with pytest.raises(CameraError) as raised:
        open_live("http://admin:secret@127.0.0.1:9/", Tally(), stall_s=5)
    assert "secret" not in str(raised.value)


def test_a_camera_modules_pictures_are_dated_by_its_sensor(picamera2: ModuleType) -> None:
    camera = open_live("picamera:0", Tally())
    frame = next(iter(camera))
    camera.close()
    assert frame.image.shape == (480, 640, 3)
    assert 0.02 <= (time.monotonic_ns() - frame.steady_ns) / 1e9 < 5


def test_a_camera_module_that_does_not_say_when_is_dated_on_arrival(picamera2: ModuleType) -> None:
    picamera2.faults.add("no times")
    camera = open_live("picamera:0", Tally())
    before_ns = time.monotonic_ns()
    assert [frame.steady_ns > before_ns for frame in islice(camera, 3)][-1]
    camera.close()


@pytest.mark.parametrize(("uri", "fault"), [("picamera:1", ""), ("picamera:0", "busy")])
def test_a_camera_module_that_cannot_be_had_is_an_error(picamera2: ModuleType, uri: str, fault: str) -> None:
    picamera2.faults.add(fault)
    with pytest.raises(CameraError, match=f"camera {uri} does not answer: .*ribbon cable"):
        open_live(uri, Tally())


def test_an_unplugged_camera_module_has_gone_away_and_is_let_go(picamera2: ModuleType) -> None:
    camera = open_live("picamera:0", Tally())
    next(iter(camera))
    picamera2.faults.add("unplugged")
    with pytest.raises(CameraError, match="camera picamera:0 has gone away: Camera frontend has timed out"):
        for _ in camera:
            pass
    deadline = time.monotonic() + 5
    while picamera2.open_now:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_picamera2_is_asked_for_only_where_it_is_needed() -> None:
    with pytest.raises(CameraError, match="needs picamera2, which is not installed; on Raspberry Pi OS: apt install"):
        open_live("picamera:0", Tally())


@pytest.mark.skipif(Path("/dev/video63").exists(), reason="there is such a camera")
def test_a_usb_camera_that_is_not_plugged_in_is_an_error() -> None:
    with pytest.raises(CameraError, match="camera usb:63 does not answer; is it plugged in"):
        open_live("usb:63", Tally())
