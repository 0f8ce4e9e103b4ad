"""`tidegate gateway status` asks the gateway itself, and says clearly when there is none."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import tidegate
from edge import status as status_module
from edge.overview import Overview
from edge.status import SOCKET, Status, StatusSocket, read_status
from edge.status_table import lines, size, span
from models.errors import TidegateError
from models.health import CameraHealth, Challenge, Health

CAMERAS = (
    CameraHealth("door", "ok", 103, 90, 10, failed=3),
    CameraHealth("yard", "frozen", 40, 0, 0, 2, 40, pictures_withheld=6),
)
TOTAL = Health(
    at_us=1_700_000_000_000_000,
    window_s=93_784.0,
    model="coco",
    release=3,
    digest="ab" * 32,
    variant="int8",
    frames_seen=140,
    frames_inferred=90,
    memory_bytes=131_400_000,
    errors=2,
    last_error="camera yard has gone away",
    class_mix={"bottle": 12, "person": 40},
    detections=52,
    spool_records=7,
    spool_bytes=12_345,
    spool_age_s=75.0,
    swaps=1,
    failed_release="coco@4: it takes 31.0 ms a frame",
    configuration_refused="window_s must be in 0.1..3600, got 0",
    records_held=5,
    picture_parts_held=4,
    cpu_s=4000.0,
    temperature_c=61.3,
    throttled="under-voltage",
    disk_free_bytes=12_100_000_000,
    bytes_sent=1_500_000,
    cameras=CAMERAS,
    challenge=Challenge("coco", 5, "cd" * 32, frames=10, agreed=9),
)
WINDOW = replace(
    TOTAL, window_s=60.0, p50_ms=6.1, p95_ms=7.04, cpu_s=24.0, cameras=(replace(CAMERAS[0], inferred=900),)
)
STATUS = Status("g1", 42, "0.1.0", "mqtt broker:8883", Overview((WINDOW,), TOTAL, 0.5))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The state folder of a gateway that runs; its path is longer than a socket's address may be."""
    folder = tmp_path / ("a-long-name-" * 12)
    folder.mkdir()
    with closing(StatusSocket(folder, lambda: STATUS)):
        yield folder


def test_whoever_asks_is_told_all(state: Path) -> None:
    assert read_status(state) == STATUS
    assert read_status(state) == STATUS, "as often as he likes"
    assert (state / SOCKET).stat().st_mode & 0o777 == 0o600, "and nobody else's user"


def test_many_may_ask_at_once(state: Path) -> None:
    answers: list[Status | None] = []
    threads = [threading.Thread(target=lambda: answers.append(read_status(state))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [STATUS] * 20


def test_without_a_gateway_there_is_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    assert read_status(tmp_path / "nowhere") is None
    (tmp_path / "file").write_text("")
    assert read_status(tmp_path / "file") is None


def test_the_socket_of_a_gateway_that_was_killed_misleads_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    assert read_status(tmp_path) is None
    with closing(StatusSocket(tmp_path, lambda: STATUS)):
        assert read_status(tmp_path) == STATUS
    assert read_status(tmp_path) is None
    assert not (tmp_path / SOCKET).exists()


def test_whoever_hangs_up_or_does_not_listen_stops_nobody_else(state: Path) -> None:
    with status_module._reachable(state) as path:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as rude:
                rude.connect(path)
        assert read_status(state) == STATUS


def test_a_gateway_that_hangs_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / SOCKET))
        hung.listen()
        with pytest.raises(TidegateError, match=r"a gateway runs in .* but has not answered for 0\.1 s"):
            read_status(tmp_path)


@pytest.mark.parametrize("answer", [b"", b"what?", b"[]", b'{"gateway": "g1"}', b'{"gateway": "g1", "news": 1}'])
def test_another_version_s_answer_is_said_to_be_one(tmp_path: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / SOCKET))
        other.listen()

        def reply() -> None:
            asker, _ = other.accept()
            with asker:
                asker.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(TidegateError, match="as another version of tidegate would"):
            read_status(tmp_path)
        thread.join()


def test_a_folder_that_takes_no_socket_is_said_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SOCKET).mkdir()
    with closing(StatusSocket(tmp_path, lambda: STATUS)):
        assert "`tidegate gateway status` will not reach this gateway" in caplog.text


def test_the_table_tells_the_state_of_everything() -> None:
    text = "\n".join(lines(STATUS))
    for words in (
        "gateway g1 (process 42, tidegate 0.1.0), up 1 d 2 h",
        "coco@3 (int8, abababababab), changed 1 time",
        "given up    coco@4: it takes 31.0 ms a frame",
        "refused     the last configuration: window_s must be in 0.1..3600, got 0",
        "6.1 ms, 95 % within 7.0 ms",
        "52: person 40, bottle 12",
        "coco@5: 9 of 10 frames seen alike",
        "mqtt broker:8883, 1.5 MB sent",
        "7 records wait (12.3 kB, the oldest for 1 min 15 s); 5 held back by the budget",
        "6 of events withheld",
        "memory 131.4 MB, 0.40 cores, 61 °C, held back: under-voltage, 12.1 GB free",
        "2, the last: camera yard has gone away",
    ):
        assert words in text
    door, yard = text.splitlines()[-2:]
    assert door.split() == ["door", "ok", "103", "90", "10", "0", "0", "3", "15.0"]
    assert yard.split() == ["yard", "frozen", "40", "0", "0", "2", "40", "0"]


def test_the_table_of_a_gateway_that_has_just_started() -> None:
    fresh = Health(at_us=1, window_s=0.4, model="coco", release=0, digest="", variant="")
    text = "\n".join(lines(Status("g1", 42, "0.1.0", "ipc", Overview((), fresh, 0.0))))
    assert "none yet; waiting for coco" in text
    assert "0 records wait (0 B)" in text
    assert "nothing so far" in text


def test_the_table_says_why_there_is_no_model() -> None:
    refused = replace(TOTAL, digest="", swaps=0, spool_records=1, failed_release="coco@1: no root of trust")
    text = "\n".join(lines(replace(STATUS, overview=Overview((), refused, 0.0))))
    assert "none yet; waiting for coco\n  given up    coco@1: no root of trust" in text
    assert "1 record waits" in text


def test_rates_are_the_whole_window_s_also_where_two_models_shared_it() -> None:
    parts = replace(WINDOW, window_s=9.5, cpu_s=3.8, cameras=()), replace(WINDOW, window_s=0.5, cpu_s=0.2)
    text = "\n".join(lines(replace(STATUS, overview=Overview(parts, TOTAL, 0.5))))
    assert "0.40 cores" in text
    assert text.splitlines()[-2].split()[-1] == "90.0"


def test_a_window_without_a_frame_was_not_fast() -> None:
    idle = replace(WINDOW, frames_inferred=0, p50_ms=0.0, p95_ms=0.0)
    text = "\n".join(lines(replace(STATUS, overview=Overview((idle,), TOTAL, 0.5))))
    assert "no frame in the last window" in text
    assert "0.0 ms" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3725, "1 h 2 min"), (86_400 * 400 + 60, "400 d 0 h")],
)
def test_a_span_in_words(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (160_000_000, "160.0 MB"), (10**16, "10000.0 TB")]
)
def test_a_size_in_words(count: int, text: str) -> None:
    assert size(count) == text


def test_the_command_asks(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidegate.main(["gateway", "status", "--state", str(state)]) == 0
    assert capsys.readouterr().out.startswith("gateway g1 (process 42")
    assert tidegate.main(["gateway", "status", "--state", str(state), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["running"] is True
    assert document["overview"]["total"]["frames_inferred"] == 90


def test_the_command_says_that_none_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidegate.main(["gateway", "status", "--state", str(tmp_path)]) == 1
    assert f"no gateway runs with its state in {tmp_path}" in capsys.readouterr().out
    assert tidegate.main(["gateway", "status", "--state", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"running": False}
