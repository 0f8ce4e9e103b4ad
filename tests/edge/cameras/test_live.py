"""What a live camera makes of its source: times, sight, and everything that can go wrong behind it."""

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from edge.cameras.camera import Sight, StalledError, Tally
from edge.cameras.live import LiveCamera
from edge.cameras.motion import MotionGate, Stillness
from edge.cameras.sight import SightWatch
from edge.cameras.view import View
from models.detections import UInt8
from models.errors import CameraError
from models.frame import Frame

pytestmark = pytest.mark.timeout(30)
RNG = np.random.default_rng(5)


def scene(*, level: int = 120, shape: tuple[int, int] = (60, 80)) -> UInt8:
    """A picture of some scene, with noise."""
    ramp = np.linspace(-60, 60, shape[1])[None, :, None]
    return np.clip(level + ramp + RNG.normal(0, 5, (*shape, 3)), 0, 255).astype(np.uint8)


def black() -> UInt8:
    return RNG.integers(0, 8, (60, 80, 3), dtype=np.uint8)


class FakeSource:
    """Shows what it is given, when it is given."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.late_ns: int | None = None  # how old its pictures are, if it says
        self._shown: SimpleQueue[UInt8 | Exception | None] = SimpleQueue()
        self._grabbed: UInt8 | Exception = scene()

    def show(self, *pictures: "UInt8 | Exception | None") -> None:
        """None: gone away. An exception is raised while the picture is decoded."""
        for picture in pictures:
            self._shown.put(picture)

    def grab(self) -> bool:
        shown = self._shown.get()
        if shown is None:
            return False
        self._grabbed = shown
        return True

    def retrieve(self, into: UInt8 | None) -> UInt8 | None:
        if isinstance(self._grabbed, Exception):
            raise self._grabbed
        if into is None or into.shape != self._grabbed.shape:
            return self._grabbed.copy()
        into[:] = self._grabbed
        return into

    def taken_ns(self) -> int | None:
        return None if self.late_ns is None else time.monotonic_ns() - self.late_ns

    def release(self) -> None:
        self.released.set()


class World:
    """A source, and a camera that looks at it."""

    def __init__(
        self, *, dark_s: float = 0.0, frozen_s: float = 0.0, stall_s: float = 5.0, motion: bool = False
    ) -> None:
        self.source = FakeSource()
        self.tally = Tally()
        self.camera = LiveCamera(
            self.source,
            self.tally,
            name="door",
            numbered=False,
            fps=None,
            stall_s=stall_s,
            view=View(),
            sight=SightWatch(frozen_s=frozen_s, dark_s=dark_s),
            stillness=Stillness(MotionGate(threshold=20, area=0.01), every_s=60) if motion else None,
            keep=6,
        )
        self.frames = iter(self.camera)

    def shown(self, picture: UInt8) -> Frame:
        """The frame that comes of this picture."""
        self.source.show(picture)
        return next(self.frames)

    def sight(self) -> Sight:
        return self.camera.sight

    def wait_for(self, seen: int) -> None:
        deadline = time.monotonic() + 5
        while self.tally.seen < seen:
            assert time.monotonic() < deadline
            time.sleep(0.002)


@pytest.fixture
def worlds() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**settings: Any) -> World:
        made.append(World(**settings))
        return made[-1]

    yield make
    for world in made:
        world.camera.close()
        world.source.show(None)
        assert world.source.released.wait(5), "nothing stays open"


Worlds = Callable[..., World]


def test_a_picture_is_dated_when_it_was_taken(worlds: Worlds) -> None:
    world = worlds()
    world.source.late_ns = 700_000_000
    frame = world.shown(scene())
    assert 0.7 <= (time.monotonic_ns() - frame.steady_ns) / 1e9 < 5
    assert 0.7 <= (time.time_ns() - frame.captured_at_ns) / 1e9 < 5


@pytest.mark.parametrize("late_s", [-1, 11, 86_400 * 365])
def test_a_camera_whose_clock_is_wrong_is_not_believed(worlds: Worlds, late_s: float) -> None:
    world = worlds()
    world.source.late_ns = int(late_s * 1e9)
    before = time.monotonic_ns()
    assert before <= world.shown(scene()).steady_ns <= time.monotonic_ns()


def test_time_rises_though_the_source_repeats_itself(worlds: Worlds) -> None:
    world = worlds()
    times = []
    for late_ns in (0, 500_000_000, 900_000_000, 0):
        world.source.late_ns = late_ns
        times.append(world.shown(scene()).steady_ns)
    assert times == sorted(set(times))


def test_a_camera_that_goes_dark_says_so_with_a_frame_and_then_holds_back(worlds: Worlds) -> None:
    world = worlds(dark_s=0.6, stall_s=0.3)
    assert world.shown(scene()).number == 0
    stop = threading.Event()

    def darkness() -> None:
        while not stop.wait(0.02):
            world.source.show(black())

    thread = threading.Thread(target=darkness, daemon=True)
    thread.start()
    while world.sight() != "dark":
        last = next(world.frames)
    threading.Timer(1.2, world.source.show, [scene()]).start()
    back = next(world.frames)  # four times the stall time: a dark camera lives
    stop.set()
    thread.join()
    assert world.sight() == "ok"
    assert back.number >= last.number + 20
    assert world.tally.still >= 20


def test_a_frozen_camera_says_so_and_comes_back(worlds: Worlds) -> None:
    world = worlds(frozen_s=0.3)
    stuck = scene()
    while world.sight() != "frozen":
        world.shown(stuck)
        time.sleep(0.02)
    seen = world.tally.seen
    world.source.show(stuck, stuck, stuck)
    world.wait_for(seen + 3)
    assert world.tally.still == 3
    assert world.shown(scene()).number == seen + 3
    assert world.sight() == "ok"


def test_still_pictures_keep_a_camera_from_counting_as_stalled(worlds: Worlds) -> None:
    world = worlds(motion=True, stall_s=0.3)
    world.shown(scene())
    for at in range(10):
        threading.Timer(0.1 * at, world.source.show, [scene()]).start()
    threading.Timer(1.0, world.source.show, [scene()[:, ::-1].copy()]).start()
    assert next(world.frames).number == 11
    assert world.tally.still == 10
    with pytest.raises(StalledError):
        next(world.frames)


def test_a_camera_may_change_its_pictures_size(worlds: Worlds) -> None:
    world = worlds(motion=False)
    for shape in ((60, 80), (120, 160), (60, 80), (8, 8), (480, 640)):
        assert world.shown(scene(shape=shape)).image.shape == (*shape, 3)


def test_what_breaks_on_the_reading_thread_is_raised_where_frames_are_taken(worlds: Worlds) -> None:
    world = worlds()
    world.source.show(ZeroDivisionError("a fault of ours"))
    with pytest.raises(ZeroDivisionError):
        next(world.frames)


def test_what_was_shown_before_it_went_away_is_still_delivered(worlds: Worlds) -> None:
    world = worlds()
    world.source.show(scene(), scene(), None)
    assert world.source.released.wait(5)
    assert [next(world.frames).number, next(world.frames).number] == [0, 1]
    with pytest.raises(CameraError, match="camera door has gone away"):
        next(world.frames)
