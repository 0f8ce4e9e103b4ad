"""A small fleet through the real broker and ingest, with everything going wrong: nothing lost, nothing twice."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tidegate
from simulator.light.findings import Findings
from simulator.light.happenings import Fault, RollOut
from simulator.light.plots import draw_all
from simulator.light.report import document
from simulator.light.run import run_scenario
from simulator.light.scenario import Gateways, Scenario

ROOT = Path(tidegate.__file__).parent
HAS_MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") is not None
STORY = Scenario(
    "story",
    "Everything goes wrong.",
    duration="11m",
    gateways=Gateways(6, sites=2, fps=2.5, spool_mb=0.12),
    faults=(
        Fault("link", "1m", "6m", "site-1", loss=0.2, double=0.2, delay_s=0.3, jitter_s=2.0),
        Fault("partition", "2m", "4m", "site-2"),
        Fault("power_cut", "3m", "40s", "one", times=5, within="7m"),
        Fault("broker_down", "4m", "20s"),
        Fault("ingest_down", "7m", "30s"),
        Fault("clock", "2m", "5m", "light-0001", clock_s=-86_400),
        Fault("disk_full", "8m", "1m", "light-0002"),
        Fault("camera", "8m", "1m", "light-0003", state="dark"),
        Fault("slow_cpu", "8m", "1m", "light-0004", slow=3),
        Fault("release", "9m", "2m", "light-0005", release=2, p95_ms=200),
        Fault("release", "9m", "2m", "light-0006", release=3, refused="no signature"),
    ),
    variations=3,
    commit_s=0.1,
)


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> tuple[Findings, Path]:
    if not HAS_MOSQUITTO:
        pytest.skip("mosquitto is not installed")
    out = tmp_path_factory.mktemp("simulation")
    return run_scenario(STORY, out, seed=7), out


def test_nothing_is_lost_and_nothing_comes_twice(findings: tuple[Findings, Path]) -> None:
    found, _ = findings
    assert found.holds, found.count
    assert found.count.recorded > 6 * 12 * 100


def test_faults_have_left_their_mark(findings: tuple[Findings, Path]) -> None:
    found, _ = findings
    traffic = found.traffic
    assert traffic.lost
    assert traffic.doubled
    assert traffic.resent
    assert traffic.overtaken
    assert traffic.connections > 6 * 2  # the broker was restarted
    assert {"no power", "disk full", "camera dark", "processor too slow"} <= found.not_recorded.keys()
    assert all(recovery.took_s is not None for recovery in found.recoveries if recovery.strike.end_s < 600)


def test_health_tells_what_was_wrong(findings: tuple[Findings, Path]) -> None:
    from cloud.lake.lake import Lake

    _, out = findings
    health = Lake(out / "lake").query(
        "SELECT gateway, camera_state, release, failed_release, frames_skipped FROM health"
    )
    told = health.to_pylist()
    assert any(row["camera_state"] == "dark" for row in told if row["gateway"] == "light-0003")
    assert any(row["release"] == 2 for row in told if row["gateway"] == "light-0005")
    assert any("no signature" in row["failed_release"] for row in told if row["gateway"] == "light-0006")
    assert any(row["frames_skipped"] for row in told if row["gateway"] == "light-0004")


def test_the_report_and_the_plots_are_drawn(findings: tuple[Findings, Path], tmp_path: Path) -> None:
    found, _ = findings
    told = json.loads(json.dumps(document(found)))
    assert told["holds"] is True
    assert told["seed"] == 7
    assert told["count"]["lost"] == told["count"]["repeated"] == 0
    drawn = draw_all(found, tmp_path)
    assert {path.name for path in drawn} == {"timeline.png", "gateways.png", "latency.png", "machine.png"}
    assert all(path.stat().st_size > 10_000 for path in drawn)


def test_a_spool_that_is_too_small_gives_up_and_says_so(tmp_path: Path) -> None:
    if not HAS_MOSQUITTO:
        pytest.skip("mosquitto is not installed")
    small = replace(STORY, gateways=Gateways(2, spool_mb=0.02), faults=(Fault("partition", "1m", "8m"),))
    found = run_scenario(small, tmp_path, seed=1)
    assert found.holds
    assert found.count.given_up > 0
    assert found.count.in_lake + found.count.given_up == found.count.recorded


def test_the_command_runs_a_file_on_the_embedded_broker(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('about = "x"\nduration = "2m"\ncommit_s = 0.1\n[gateways]\ncount = 2\n')
    command = [sys.executable, str(ROOT / "tidegate.py"), "simulate", "mine.toml", "--embedded-broker", "--json"]
    ran = subprocess.run([*command, "--seed", "3"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["broker"], told["seed"], told["holds"]) == ("amqtt", 3, True)
    assert (tmp_path / "out/mine/timeline.png").exists()
    assert json.loads((tmp_path / "out/mine/report.json").read_text()) == told


@pytest.mark.parametrize(
    ("words", "said"), [(["bad.toml"], "did you mean 'speed'?"), (["nothing-like-it"], "there is no scenario")]
)
def test_calling_it_wrongly_is_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text('about = "x"\nduration = "2m"\nsped = 2\n[gateways]\ncount = 2\n')
    assert tidegate.main(["simulate", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1
    assert not Path("out").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("keep")
    assert tidegate.main(["simulate", "calm-day", "--out", str(tmp_path)]) == 2
    assert "not from an earlier simulation" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_dry_run_says_what_would_happen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        tidegate.main(["simulate", "power-cuts", "--dry-run", "--out", str(tmp_path / "out"), "--duration", "1h"]) == 0
    )
    told = capsys.readouterr().out
    assert "60 light gateways at 4 sites for 1h" in told
    assert "80 times within 100m from 5m on: power cut x80 (one), for 45s" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
def test_a_bad_release_is_taken_back_by_the_real_roll_out(tmp_path: Path) -> None:
    if not HAS_MOSQUITTO:
        pytest.skip("mosquitto is not installed")
    scenario = Scenario(
        "bad-release",
        "A release that is slow.",
        duration="22m",
        gateways=Gateways(4, fps=1.25),
        faults=(Fault("control_down", "6m", "1m"),),
        rollouts=(RollOut("6m", 2, "1,rest", p95_ms=300, errors=0.3),),
        window_s=20,
        variations=2,
        commit_s=0.1,
    )
    found = run_scenario(scenario, tmp_path, seed=1)
    assert found.holds
    kinds = [event.kind for _, event in found.rollouts]
    assert "trouble" in kinds  # the control plane answered nothing
    assert kinds.index("deployed") < kinds.index("revert") < kinds.index("reverted")
    touched = {event.ring for _, event in found.rollouts if event.kind == "deployed"}
    assert touched == {0}
