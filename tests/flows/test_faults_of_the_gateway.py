"""The real gateway process while its link, disk, clock, camera and models fail: what it recorded reaches the cloud."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from models.records import Tombstone
from models.wire import StreamAck, encode_acks
from simulator.bad_link import BadLink, Knobs
from simulator.camera_server import Camera, CameraServer
from simulator.nucleus.faults import Clock
from simulator.scenes import Shot, Truth
from tests.disks import disk_that_can_freeze, freeze, small_disk_at, thaw, use_up
from tests.flows.fast_clock import write_speed
from tests.flows.plant import Kind, Plant, finish, wait_for

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
FRAMES = 400
# paho, in the simulated nucleus of this process, forgets its socket when a handshake fails; Python closes it
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
DAY_S = 86_400
HOUR_US = 3_600_000_000


def soak(*values: object) -> object:
    return pytest.param(*values, marks=pytest.mark.soak)


class MakePlant(Protocol):
    def __call__(
        self,
        *,
        camera: Mapping[str, object] | None = None,
        kind: Kind = "mqtt",
        pointers: Path | None = None,
        state: Path | None = None,
        ack_timeout_s: float = 1.0,
        window_s: float = 0.3,
    ) -> Plant:
        """A plant with release 1 and a file of FRAMES frames, unless told otherwise."""
        ...


@pytest.fixture
def make_plant(
    tmp_path: Path, belt: Mapping[str, object], make_release: MakeRelease, trust: Path
) -> Iterator[MakePlant]:
    plants: list[Plant] = []

    def make(
        *,
        camera: Mapping[str, object] | None = None,
        kind: Kind = "mqtt",
        pointers: Path | None = None,
        state: Path | None = None,
        ack_timeout_s: float = 1.0,
        window_s: float = 0.3,
    ) -> Plant:
        plant = Plant(
            tmp_path / "plant",
            camera=camera or belt,
            trust=trust,
            package=None if pointers else make_release(1),
            pointers=pointers,
            kind=kind,
            state=state,
            ack_timeout_s=ack_timeout_s,
            window_s=window_s,
        )
        plants.append(plant)
        if kind == "aws" and plant.broker.kind != "mosquitto":
            pytest.skip("the embedded broker knows no MQTT 5; install mosquitto")
        return plant

    yield make
    for plant in plants:
        plant.close()


@pytest.fixture
def belt(make_video: MakeVideo) -> Mapping[str, object]:
    return {"name": "belt", "uri": str(make_video(FRAMES)), "fps": 100}


def seen(plant: Plant) -> int:
    return len(plant.cloud.frame_numbers("belt"))


def see_more(plant: Plant, count: int = 1, *, timeout_s: float = 40) -> None:
    """Wait until so many more frames are in the cloud, or all of them are."""
    wanted = min(FRAMES, seen(plant) + count)
    wait_for(lambda: seen(plant) >= wanted, timeout_s=timeout_s)


def check_all_are_there_once(plant: Plant) -> None:
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES)), "every frame of the file, once"
    assert set(plant.recorded()) == {(stream, seq) for _, stream, seq in plant.cloud.frames}
    assert plant.cloud.losses == []


@pytest.mark.parametrize("kind", [soak("mqtt"), "aws", soak("ipc")])
def test_kills_and_cuts_on_a_line_that_loses_a_third(kind: Kind, make_plant: MakePlant) -> None:
    plant = make_plant(kind=kind)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    plant.link.knobs = Knobs(delay_s=0.05, loss=0.3)
    process = plant.start()
    for step in range(3):
        see_more(plant)
        if step == 1:
            plant.link.cut()
            time.sleep(chance.uniform(0, 1))
            plant.link.mend()
            plant.link.knobs = Knobs(delay_s=0.05, loss=0.3)
        else:
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
            finish(process)
            process = plant.start()
    plant.complete(process, FRAMES)
    check_all_are_there_once(plant)


@pytest.mark.parametrize("kind", [soak("mqtt"), soak("aws"), soak("ipc")])
def test_a_line_with_a_third_lost_and_two_seconds_each_way(kind: Kind, make_plant: MakePlant) -> None:
    plant = make_plant(kind=kind, ack_timeout_s=15)
    plant.link.knobs = Knobs(delay_s=2.0, loss=0.3)
    began = time.monotonic()
    plant.complete(plant.start(), FRAMES, timeout_s=280)
    print(f"{time.monotonic() - began:.0f} s, {plant.link.connections} connections, {plant.cloud.messages} messages")
    check_all_are_there_once(plant)


@pytest.mark.parametrize(("kind", "silent_s"), [("mqtt", 3), soak("mqtt", 60), soak("aws", 60), soak("ipc", 60)])
def test_a_line_that_goes_silent_is_waited_for(kind: Kind, silent_s: float, make_plant: MakePlant) -> None:
    plant = make_plant(kind=kind)
    process = plant.start()
    wait_for(lambda: seen(plant) > 20)
    plant.link.knobs.dead = True  # nobody is told: no packet comes, none is refused
    before = seen(plant)
    time.sleep(silent_s)  # 60 s: longer than the broker and every keep-alive wait
    assert seen(plant) == before
    plant.link.knobs.dead = False
    plant.complete(process, FRAMES)
    check_all_are_there_once(plant)


@pytest.mark.parametrize("kind", ["mqtt", soak("aws"), soak("ipc")])
def test_hostile_and_refusing_answers_are_reported_once_and_change_nothing(kind: Kind, make_plant: MakePlant) -> None:
    plant = make_plant(kind=kind)
    process = plant.start()
    wait_for(lambda: seen(plant) > 20)
    plant.say(b"garbage that is no protobuf")
    plant.say(b"x" * 200_000)
    plant.say(encode_acks([StreamAck("00000000000000ff", 5)]))
    ignored = 2 if kind == "ipc" else 3  # nucleus lite keeps what is large to itself
    wait_for(lambda: any(report.messages_ignored == ignored for report in plant.reports()))
    # a batch that the cloud set aside: acknowledged, and named
    stream = next(key[1] for key in plant.cloud.frames)
    plant.silent = True
    wait_for(lambda: plant.cloud.held["line-1", stream] > 0)
    plant.say(encode_acks([StreamAck(stream, plant.cloud.held["line-1", stream], refused=(Tombstone(1, 1, "no"),))]))
    plant.silent = False
    plant.complete(process, FRAMES)
    check_all_are_there_once(plant)
    told = [report for report in plant.reports() if "ignored" in report.last_error]
    assert len(told) == 1
    assert plant.reports()[-1].messages_ignored == ignored


def test_a_disk_that_is_full_and_has_room_again_costs_no_frame(tmp_path: Path, make_plant: MakePlant) -> None:
    with small_disk_at(tmp_path / "disk", "4m") as disk:
        plant = make_plant(state=disk / "state")
        process = plant.start()
        wait_for(lambda: seen(plant) > 50)
        plant.link.cut()  # so that nothing leaves the spool, and what is seen needs room
        ballast = use_up(disk)
        time.sleep(3)
        assert process.poll() is None
        ballast.unlink()
        plant.link.mend()
        code, _, err = finish(process)
        assert code == 0, err
        assert "cannot be written" in err
        assert "Traceback" not in err
        check_all_are_there_once(plant)
        assert any("cannot be written" in report.last_error for report in plant.reports())
        plant.close()


@pytest.mark.soak
def test_a_disk_that_is_full_at_the_start_is_one_line_and_the_next_start_goes_on(
    tmp_path: Path, make_plant: MakePlant
) -> None:
    with small_disk_at(tmp_path / "disk", "4m") as disk:
        plant = make_plant(state=disk / "state")
        process = plant.start()
        wait_for(lambda: seen(plant) > 50)
        process.kill()
        finish(process)
        ballast = use_up(disk)
        process = plant.start()
        time.sleep(3)
        if process.poll() is None:  # it may as well wait for room
            ballast.unlink()
            code, _, err = finish(process)
            assert code == 0, err
        else:
            code, _, err = finish(process)
            assert code == 1
            assert "Traceback" not in err
            ballast.unlink()
            code, _, err = finish(plant.start())
            assert code == 0, err
        check_all_are_there_once(plant)
        plant.close()


@pytest.mark.soak
def test_a_disk_that_hangs_is_reported_and_a_gateway_that_is_told_to_end_says_what_it_leaves(
    tmp_path: Path, make_plant: MakePlant
) -> None:
    with disk_that_can_freeze(tmp_path / "disk") as disk:
        plant = make_plant(state=disk / "state")
        process = plant.start()
        wait_for(lambda: seen(plant) > 50)
        freeze(disk)
        time.sleep(4)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        # all that it does; the kernel keeps a process whose write has not come back
        last = next(line for line in process.stderr if b"records are not written" in line)
        print(f"said {time.monotonic() - asked:.1f} s after it was told to: {last.decode()}")
        thaw(disk)
        code, _, _ = finish(process)
        assert code == 1
        assert b"has not answered for" in last
        plant.complete(plant.start(), FRAMES)
        check_all_are_there_once(plant)
        plant.close()


def damage(spool: Path, *, whole: bool) -> None:
    """Rubbish over half of the pages, or over all there is."""
    chance = random.Random(0)
    for file in [spool, spool.with_name("spool.db-wal")] if whole else [spool]:
        with file.open("r+b") as pages:
            for offset in range(0 if whole else 4_096, file.stat().st_size, 4_096 if whole else 8_192):
                pages.seek(offset)
                pages.write(chance.randbytes(min(4_096, file.stat().st_size - offset)))


@pytest.mark.parametrize("running", [False, True], ids=["between two runs", "while it runs"])
def test_a_damaged_spool_is_reported_and_costs_at_most_what_was_damaged(running: bool, make_plant: MakePlant) -> None:
    plant = make_plant()
    process = plant.start()
    wait_for(lambda: seen(plant) > 50)
    plant.link.cut()
    time.sleep(1)
    if not running:
        process.kill()
        finish(process)
    damage(plant.state / "spool.db", whole=running)
    plant.link.mend()
    if not running:
        process = plant.start()
    code, _, err = finish(process)
    assert code == 0, err
    assert "Traceback" not in err
    there = plant.cloud.frame_numbers("belt")
    lost = sum(stone.last - stone.first + 1 for _, stone in plant.cloud.losses)
    missing = set(range(FRAMES)) - set(there)
    assert len(missing) <= lost, "what is not there was reported as lost"
    # what rots under an open database is often healed by what SQLite still has in memory
    assert any("damaged" in report.last_error for report in plant.reports()) or (running and not missing)


def test_a_clock_that_is_set_right_back_a_day_and_forward_a_year_neither_loses_nor_reorders(
    tmp_path: Path, make_plant: MakePlant, make_release: MakeRelease
) -> None:
    pointers = tmp_path / "work"
    point(pointers, make_release(1))
    plant = make_plant(pointers=pointers)
    clock = plant.folder / "clock"
    on_clock = {"SHIFTED_CLOCK": str(clock)}
    shifts_s = [
        60 - time.time(),  # a board without a clock of its own begins in 1970
        0,
        -DAY_S,
        365 * DAY_S,
        0,
    ]
    Clock(clock).set(shifts_s[0])
    process = plant.start(program="tests.flows.shifted_clock", environment=on_clock)
    for shift_s in shifts_s[1:4]:
        see_more(plant, 60)
        Clock(clock).set(shift_s)
    see_more(plant, 60)
    process.kill()
    finish(process)
    # its model's signatures have expired by this clock; the copy in the store runs on
    process = plant.start(program="tests.flows.shifted_clock", environment=on_clock)
    see_more(plant, 20)
    Clock(clock).set(shifts_s[4])
    plant.complete(process, FRAMES)
    check_all_are_there_once(plant)
    frames = sorted(plant.cloud.frames.items(), key=lambda item: item[1].frame)
    walls_us = [result.captured_at_us for _, result in frames]
    jumps = [round((later - earlier) / 1e6 / DAY_S) for earlier, later in pairwise(walls_us)]
    expected = [round((later - earlier) / DAY_S) for earlier, later in pairwise(shifts_s)]
    assert [jump for jump in jumps if jump] == expected, "wall time is told as it was"
    for (one, earlier), (other, later) in pairwise(frames):
        if one[1] == other[1]:  # of one stream
            assert later.steady_us > earlier.steady_us
    assert sum(report.clock_jumps for report in plant.reports()) >= 3


class Flat:
    """A scene of nothing but a colour; frame n as in make_video."""

    def truth(self, number: int) -> Truth:
        return Truth(("blue", "green", "red")[number % 3])

    def frame(self, number: int) -> Shot:
        return Shot(np.full((48, 128, 3), np.eye(3)[number % 3] * 200, np.uint8), self.truth(number))


@pytest.mark.soak
def test_a_camera_that_is_gone_for_an_hour_is_tried_all_the_time_and_comes_back(make_plant: MakePlant) -> None:
    """An hour by the gateway's clock, which goes 200 times as fast meanwhile."""
    with CameraServer({"door": Camera(Flat(), fps=30)}) as server:
        cable = BadLink(int(server.url.rsplit(":", 1)[1]))
        uri = f"http://127.0.0.1:{cable.port}/door"
        plant = make_plant(camera={"name": "belt", "uri": uri, "numbered": True, "stall_s": 1.0}, window_s=5)
        speed = plant.folder / "speed"
        write_speed(speed, 1)
        process = plant.start(
            "--keep-running", program="tests.flows.fast_clock", environment={"FAST_CLOCK": str(speed)}
        )
        wait_for(lambda: seen(plant) > 20)
        cable.cut()
        wait_for(lambda: plant.reports()[-1].camera_state == "down")
        gone_us, connections = plant.reports()[-1].at_us, cable.refused
        write_speed(speed, 200)
        wait_for(lambda: plant.reports()[-1].at_us > gone_us + HOUR_US, timeout_s=60)
        write_speed(speed, 1)
        connections = cable.refused - connections
        cable.mend()
        wait_for(lambda: plant.reports()[-1].camera_state == "ok", timeout_s=30)
        see_more(plant, 20)
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        assert code == 0, err
        cable.close()
    hour = [report for report in plant.reports() if gone_us < report.at_us <= gone_us + HOUR_US]
    assert {report.camera_state for report in hour} == {"down"}
    assert sum(report.window_s for report in hour) == pytest.approx(3600, rel=0.05), "it was told all the time"
    # of the disk it may complain, which is as slow as ever
    assert not [report for report in hour if report.last_error.startswith("camera")], "and complained of once"
    assert 360 <= connections <= 720, "tried every five to ten seconds"
    numbers = plant.cloud.frame_numbers("belt")
    assert len(set(numbers)) == len(numbers)


def test_a_camera_that_goes_is_reported_and_comes_back(make_plant: MakePlant) -> None:
    with CameraServer({"door": Camera(Flat(), fps=30)}) as server:
        cable = BadLink(int(server.url.rsplit(":", 1)[1]))
        uri = f"http://127.0.0.1:{cable.port}/door"
        camera = {"name": "belt", "uri": uri, "numbered": True, "stall_s": 1.0}
        plant = make_plant(camera=camera)
        process = plant.start()
        wait_for(lambda: seen(plant) > 20)
        cable.cut()
        wait_for(lambda: plant.reports()[-1].camera_state == "down")
        cable.mend()
        wait_for(lambda: plant.reports()[-1].camera_state == "ok", timeout_s=30)
        see_more(plant, 20)
        cable.knobs.dead = True
        wait_for(lambda: plant.reports()[-1].camera_state == "stalled")
        cable.knobs.dead = False
        see_more(plant, 20)
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        assert code == 0, err
        cable.close()
    numbers = plant.cloud.frame_numbers("belt")
    assert len(set(numbers)) == len(numbers)
    colours = ("blue", "green", "red")
    assert all(result.labels[0] == colours[result.frame % 3] for result in plant.cloud.frames.values())
    in_the_cloud = {(stream, seq) for _, stream, seq in plant.cloud.frames}
    waiting = set(plant.recorded()) - in_the_cloud
    assert len(waiting) <= 10, "at most what was recorded in the last moments waits in the spool"


def point(pointers: Path, package: Path) -> None:
    """As a model component does."""
    pointer = pointers / "tidegate.Model.colour" / "pointer"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    draft = pointer.with_suffix(".draft")
    draft.write_text(f"{package}\n")
    draft.rename(pointer)


def test_a_model_that_is_cut_short_on_the_disk_is_replaced_and_costs_no_frame(
    tmp_path: Path, make_plant: MakePlant, make_release: MakeRelease
) -> None:
    pointers = tmp_path / "work"
    point(pointers, make_release(1))
    plant = make_plant(pointers=pointers)
    process = plant.start()
    wait_for(lambda: seen(plant) > 20)
    point(pointers, make_release(2))
    wait_for(lambda: any(result.release == 2 for result in list(plant.cloud.frames.values())))
    process.kill()
    finish(process)
    for model in sorted((plant.state / "models").rglob("*.onnx")):
        os.truncate(model, model.stat().st_size // 2)
    process = plant.start()
    see_more(plant, 20)
    plant.complete(process, FRAMES)
    check_all_are_there_once(plant)
    assert plant.reports()[-1].release == 2


def test_swaps_that_are_killed_cost_no_frame_and_end_with_the_release_that_is_wanted(
    tmp_path: Path, make_plant: MakePlant, make_release: MakeRelease
) -> None:
    pointers = tmp_path / "work"
    packages = {release: make_release(release) for release in (1, 2, 3)}
    point(pointers, packages[1])
    plant = make_plant(pointers=pointers)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for release in (2, 3):
        process = plant.start()
        see_more(plant)
        point(pointers, packages[release])
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        finish(process)
    plant.complete(plant.start(), FRAMES)
    check_all_are_there_once(plant)
    assert plant.reports()[-1].release == 3


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", [soak("mqtt"), soak("aws"), soak("ipc")])
def test_everything_at_once(
    kind: Kind, tmp_path: Path, make_plant: MakePlant, make_video: MakeVideo, make_release: MakeRelease
) -> None:
    """A minute or two in which something goes wrong every second; at the end all is well, and all is there."""
    frames = 2_000
    seed = int(os.environ.get("TIDEGATE_SEED", random.randrange(2**32)))
    print(f"TIDEGATE_SEED={seed}")
    chance = random.Random(seed)
    pointers = tmp_path / "work"
    packages = [make_release(release) for release in (1, 2, 3)]
    point(pointers, packages[0])
    with small_disk_at(tmp_path / "disk", "8m") as disk:
        camera = {"name": "belt", "uri": str(make_video(frames, name="long.avi")), "fps": 40}
        plant = make_plant(camera=camera, kind=kind, pointers=pointers, state=disk / "state")
        process = plant.start()
        ballast: Path | None = None
        while seen(plant) < frames * 0.9:
            time.sleep(chance.uniform(0.2, 1.5))
            fault = chance.choice(
                ["kill", "cut", "slow", "dead", "mend", "mend", "silent", "broker", "full", "swap", "stop"]
            )
            if ballast is not None:
                ballast.unlink()
                ballast = None
            plant.silent = fault == "silent"
            if fault == "kill" or process.poll() is not None:
                process.kill()
                finish(process)
                process = plant.start()
            if fault == "cut":
                plant.link.cut()
            if fault == "slow":
                plant.link.knobs = Knobs(delay_s=chance.uniform(0, 0.3), loss=0.3)
            if fault == "dead":
                plant.link.knobs.dead = True
            if fault == "mend":
                plant.link.mend()
            if fault == "broker":
                plant.broker.kill()
                time.sleep(chance.uniform(0, 1))
                plant.broker.start()
            if fault == "full":
                ballast = use_up(disk)
            if fault == "stop":  # a machine that sleeps
                process.send_signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0, 3))
                process.send_signal(signal.SIGCONT)
            if fault == "swap":
                point(pointers, chance.choice(packages))
        if ballast is not None:
            ballast.unlink()
        plant.silent = False
        plant.link.mend()
        process.terminate()  # it may have ended already, on a full disk with an error
        finish(process)
        plant.complete(plant.start(), frames)
        assert plant.cloud.frame_numbers("belt") == list(range(frames)), "every frame of the file, once"
        assert set(plant.recorded()) == {(stream, seq) for _, stream, seq in plant.cloud.frames}
        assert plant.cloud.losses == []
        plant.close()
