"""What a Raspberry Pi, another machine and a broken sensor say of themselves."""

import time
from pathlib import Path

import pytest

from edge.machine import Machine

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
FIRMWARE_OF_A_PI_5 = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def zone(number: int, kind: str, milli: str) -> dict[str, str]:
    folder = f"sys/class/thermal/thermal_zone{number}"
    return {f"{folder}/type": kind, f"{folder}/temp": milli}


@pytest.mark.parametrize(
    ("files", "temperature_c"),
    [
        (zone(0, "cpu-thermal", "61322"), 61.322),  # a Raspberry Pi
        (zone(0, "cpu-thermal", "-4500"), -4.5),  # in a shed in winter
        ({**zone(0, "acpitz", "27800"), **zone(1, "x86_pkg_temp", "48000")}, 48.0),  # a small x86 box
        (zone(0, "iwlwifi_1", "39000"), 0.0),  # only that of the radio is known
        (zone(0, "cpu-thermal", "not ready"), 0.0),
        (zone(0, "cpu-thermal", ""), 0.0),
        ({}, 0.0),
    ],
)
def test_the_temperature_is_the_processors(tmp_path: Path, files: dict[str, str], temperature_c: float) -> None:
    assert Machine(tmp_path, root=write(tmp_path, files)).look().temperature_c == temperature_c


@pytest.mark.parametrize(
    ("bits", "throttled"),
    [
        ("0", ""),
        ("50005", "under-voltage, throttled"),
        ("2", "capped"),
        ("80008", "soft temperature limit"),
        ("50000", ""),  # of long ago
        ("what?", ""),
    ],
)
@pytest.mark.parametrize("file", [FIRMWARE, FIRMWARE_OF_A_PI_5])
def test_what_holds_the_processor_back_now(tmp_path: Path, file: str, bits: str, throttled: str) -> None:
    assert Machine(tmp_path, root=write(tmp_path, {file: bits})).look().throttled == throttled


def test_a_dip_between_two_looks_is_told_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=write(tmp_path, {FIRMWARE: "20000"}))
    assert machine.look().throttled == ""
    write(tmp_path, {FIRMWARE: "30000"})
    assert machine.glance().throttled == "", "it is over"
    assert machine.look().throttled == "under-voltage"
    assert machine.look().throttled == ""


def test_a_kernel_without_the_firmwares_file_still_tells_of_the_supply(tmp_path: Path) -> None:
    files = {
        "sys/class/hwmon/hwmon0/name": "cpu_thermal",
        "sys/class/hwmon/hwmon2/name": "rpi_volt",
        "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "1",
    }
    machine = Machine(tmp_path, root=write(tmp_path, files))
    assert machine.look().throttled == "under-voltage"
    write(tmp_path, {"sys/class/hwmon/hwmon2/in0_lcrit_alarm": "0"})
    assert machine.look().throttled == ""


def test_a_folder_in_the_place_of_a_sensor_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / FIRMWARE).mkdir(parents=True)
    (tmp_path / "sys/class/thermal/thermal_zone0/type").mkdir(parents=True)
    condition = Machine(tmp_path, root=tmp_path).look()
    assert (condition.throttled, condition.temperature_c) == ("", 0.0)


def test_this_very_machine(tmp_path: Path) -> None:
    before = Machine(tmp_path).look()
    ends = time.process_time() + 0.05
    while time.process_time() < ends:
        pass
    after = Machine(tmp_path).look()
    assert after.memory_bytes > 10 << 20
    assert after.cpu_s >= before.cpu_s + 0.05
    assert after.disk_free_bytes > 0
    assert Machine(tmp_path / "gone").look().disk_free_bytes == 0
