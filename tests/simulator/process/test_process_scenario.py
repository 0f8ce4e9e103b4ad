"""Scenarios of real component processes: everything goes wrong, nothing is lost, and the report says what happened."""

import json
import os
from pathlib import Path

import pytest

from cloud.lake.lake import Lake
from simulator.light.findings import Findings
from simulator.light.happenings import Deploy, Fault, RollOut
from simulator.light.plots import draw_all
from simulator.light.report import document, final_table
from simulator.light.scenario import Gateways, Scenario, read_scenario
from simulator.process.run import run_processes

SMALL = Scenario(
    "small",
    "Two gateways, one without power, one without a network and killed.",
    duration="16s",
    window_s=5,
    gateways=Gateways(2, kind="process", nucleus="both", fps=5, sites=2),
    faults=(
        Fault("partition", "1s", "6s", "site-1"),
        Fault("power_cut", "2s", "2s", "process-0002"),
        Fault("kill", "9s", where="process-0001"),
        Fault("camera", "10s", "5s", "process-0002", state="down"),
    ),
    commit_s=0.2,
)


def test_nothing_is_lost_when_processes_are_killed_and_cut_off(tmp_path: Path) -> None:
    before = dict(os.environ)
    found = run_processes(SMALL, tmp_path / "out", seed=1)
    assert found.holds, found.count
    assert found.count.recorded > 2 * 5 * 10
    assert {"no power", "killed", "camera down"} <= found.not_recorded.keys()
    assert [recovery.took_s is not None for recovery in found.recoveries] == [True, True]
    assert found.traffic.messages > 0
    assert all(tally.acknowledged <= tally.recorded for tally in found.lanes.values())
    frames = found.lanes["frames"]
    assert 6 < frames.slowest_s < 30  # what was recorded as the network went waited for it
    states = Lake(tmp_path / "out/lake").query("SELECT DISTINCT gateway, camera_state FROM health").to_pylist()
    assert {"gateway": "process-0002", "camera_state": "down"} in states
    told = json.loads(json.dumps(document(found)))
    assert (told["kind"], told["holds"], told["setup_s"] > 0) == ("process", True, True)
    assert final_table(found).row_count > 10
    assert all(path.stat().st_size > 5_000 for path in draw_all(found, tmp_path))
    assert dict(os.environ) == before


def ran(found: Findings, words: str) -> list[int | None]:
    """The exit codes of the commands that begin so."""
    return [command.code for command in found.commands if command.words.startswith(f"tidegate {words}")]


@pytest.mark.soak
def test_the_workshop_is_put_right_by_a_second_deployment(tmp_path: Path) -> None:
    found = run_processes(read_scenario("workshop"), tmp_path / "out", seed=3)
    assert found.holds, found.count
    first, second = found.commands
    assert (first.code, second.code) == (1, 0)
    assert "failed on process-0002" in first.said
    assert "its SHA-256 is" in first.said
    assert found.refused_by_aws  # and the second one outlasted it
    assert all(recovery.took_s is not None for recovery in found.recoveries)


@pytest.mark.soak
def test_a_release_that_sees_nothing_is_taken_back_and_the_next_one_goes_everywhere(tmp_path: Path) -> None:
    scenario = Scenario(
        "releases",
        "A blind release, then a good one while AWS throttles.",
        duration="4m",
        window_s=5,
        gateways=Gateways(3, kind="process", nucleus="both"),
        deploys=(Deploy("10s"),),
        rollouts=(RollOut("40s", 2, "1,rest", flaw="blind"), RollOut("100s", 3)),
        faults=(Fault("control_down", "105s", "15s"),),
    )
    found = run_processes(scenario, tmp_path / "out", seed=1)
    assert found.holds, found.count
    assert ran(found, "rollout start") == [1, 0]
    kinds = [event.kind for _, event in found.rollouts]
    assert kinds.index("revert") < kinds.index("reverted") < kinds.index("done")
    newest = Lake(tmp_path / "out/lake").query(
        "SELECT gateway, max_by(release, captured_at) AS release FROM frames GROUP BY gateway"
    )
    assert {row["release"] for row in newest.to_pylist()} == {3}
