"""Scenario files: what is refused, and what the seed decides."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from simulator.light.happenings import seconds
from simulator.light.scenario import Scenario, read_scenario, shipped

SMALL = """
about = "Two gateways."
duration = "10m"
[gateways]
count = 2
"""


REAL = """
about = "Two process gateways."
duration = "1m"
[gateways]
kind = "process"
count = 2
"""
FAULT = '[[faults]]\nat = "1s"\n'


def read(folder: Path, text: str) -> Scenario:
    path = folder / "mine.toml"
    path.write_text(text)
    return read_scenario(str(path))


def test_a_scenario_is_read_with_its_defaults(tmp_path: Path) -> None:
    scenario = read(tmp_path, SMALL)
    assert (scenario.name, scenario.duration_s, scenario.gateways.count, scenario.window_s) == ("mine", 600, 2, 60)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_can_be_read(name: str) -> None:
    assert read_scenario(name).name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "speeed = 2", "unknown key 'speeed'; known keys: count, kind"),  # in the table of gateways
        ("sped = 2" + SMALL, "unknown key 'sped'; did you mean 'speed'?"),
        (SMALL.replace("10m", "10 minutes"), "duration must be like 90s"),
        (SMALL.replace("count = 2", "count = 0"), "count must be in 1..5000 for kind light, got 0"),
        (SMALL + '[[faults]]\nwhat = "flood"\nat = "1m"', "what must be one of link, partition"),
        (SMALL + '[[faults]]\nwhat = "partition"\nat = "1m"\nloss = 0.5', "loss does not go with what = 'partition'"),
        (SMALL + '[[faults]]\nwhat = "partition"\nat = "11m"', "is after the end (10m)"),
        (SMALL + '[[faults]]\nwhat = "partition"\nat = "1m"\nwhere = "site-2"', "there is no site-2"),
        (SMALL + '[[faults]]\nwhat = "broker_down"\nat = "1m"', "needs `lasts`"),
        (SMALL + '[[faults]]\nwhat = "link"\nat = "1m"\nloss = 1.5', "loss and double must be"),
        (
            SMALL + '[[faults]]\nwhat = "partition"\nat = "1m"\ntimes = 3',
            "times (1..10000, got 3) and within go together",
        ),
        (SMALL.replace("count = 2", "count = 2\nkind = 'proces'"), "kind must be one of light, process"),
        (SMALL + 'nucleus = "java"', "nucleus is for gateways of kind process"),
        (SMALL + FAULT + 'what = "kill"', "kill is for gateways of kind process, and these are of kind light"),
        (SMALL + FAULT + 'what = "control_down"\nlasts = "9s"\nshare = 0.5', "share is for gateways of kind process"),
        (SMALL + '[[deploys]]\nat = "1s"', "[[deploys]] is for gateways of kind process"),
        (
            SMALL + '[[rollouts]]\nat = "1s"\nrelease = 2\nflaw = "slow"',
            "a roll-out's flaw is not for gateways",
        ),
        (REAL.replace("count = 2", "count = 65"), "count must be in 1..64 for kind process"),
        ("speed = 5" + REAL, "gateways of kind process live in real time: leave out speed and [[paces]]"),
        (REAL + '[[paces]]\nat = "1s"\nspeed = 5', "gateways of kind process live in real time"),
        ("workers = 2" + REAL, "variations and workers are for gateways of kind light"),
        (REAL + FAULT + 'what = "release"\nrelease = 2', "release is for gateways of kind light, and these"),
        (REAL + FAULT + 'what = "link"\njitter_s = 2', "jitter_s is for gateways of kind light, and these"),
        (REAL + FAULT + 'what = "kill"\nlasts = "9s"', "kill happens at once: leave `lasts` out"),
        (
            REAL + FAULT + 'what = "kill"\nwhere = "light-0001"',
            "there is no light-0001, only process-0001 to",
        ),
        (REAL + FAULT + 'what = "slow_cpu"\nslow = 50', "slow must be in 1..20 for gateways of kind process"),
        (REAL + '[[rollouts]]\nat = "1s"\nrelease = 2\np95_ms = 90', "a roll-out's p95_ms is not for gateways of kind"),
        (REAL + '[[rollouts]]\nat = "1s"\nrelease = 4', "roll-outs to process gateways are of releases 2, 3"),
        (REAL + '[[deploys]]\nat = "2m"', "what begins at 2m is after the end (1m)"),
        ("duration = ", "is not TOML"),
        ('duration = "10m"\nabout = "x"', "missing key 'gateways'"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text)
    assert said in str(raised.value)
    assert "mine.toml" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_name_that_nobody_knows_is_told_what_there_is() -> None:
    with pytest.raises(ConfigError, match="calm-day, clock-chaos"):
        read_scenario("calm-dya")


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1.5h", 5400), ("2d", 172_800), ("10m", 600)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text, what="x") == expected
