"""What a roll-out remembers."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.rollout.events import Event, Row
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, Ring, Wave, Wishes, gateways_named
from cloud.rollout.state import (
    LeaseHeldError,
    Rollout,
    Touched,
    Undo,
    append_audit,
    clear_request,
    lease,
    read_audit,
    read_rollout,
    request_revert,
    revert_requested,
    write_rollout,
)
from models.errors import RolloutError

ROLLOUT = Rollout(
    id="flange@2-x",
    plan=Plan(
        "flange",
        2,
        1,
        "shop",
        (Ring((Wave("shop_flange-ring-0", gateways_named(["a", "b"])),)),),
        Wishes(soak_s=(60.0, 0.0), approve=(1,), hours="22:00-05:00", max_in_flight=3),
    ),
    limits=Limits(windows=3),
    window_s=5.0,
    started_us=1,
    phase="reverting",
    touched=(Touched({"a": 17}, ("b",), "deployment-1", 20),),
    undo=Undo("it was slow", deployments=("deployment-2",), marks={"a": 30}, since_us=40),
)
EVENT = Event(7, "flange@2-x", "advance", "ring 0 is well", 1, (Row("a", 0, 2, "well", windows=3, fps=8.0),))


@pytest.mark.parametrize(
    "rollout", [ROLLOUT, replace(ROLLOUT, undo=None, plan=replace(ROLLOUT.plan, incumbent=None), touched=())]
)
def test_what_is_written_is_read(tmp_path: Path, rollout: Rollout) -> None:
    write_rollout(tmp_path, rollout)

    assert read_rollout(tmp_path) == rollout


def test_there_may_be_none(tmp_path: Path) -> None:
    assert read_rollout(tmp_path / "nowhere") is None
    assert read_audit(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not a roll-out's state"),
        ('{"format": 3}', "not a roll-out's state"),
        ('{"format": 2, "id": "x"}', "missing key 'plan'"),
    ],
)
def test_a_state_that_is_none_says_so(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "state.json").write_text(text)

    with pytest.raises(RolloutError, match=message):
        read_rollout(tmp_path)


def test_the_audit_log_only_grows(tmp_path: Path) -> None:
    append_audit(tmp_path, EVENT)
    before = (tmp_path / "audit.jsonl").read_bytes()
    append_audit(tmp_path, replace(EVENT, rollout="another"))

    assert (tmp_path / "audit.jsonl").read_bytes().startswith(before)
    assert [event.rollout for event in read_audit(tmp_path)] == ["flange@2-x", "another"]
    assert read_audit(tmp_path, "flange@2-x") == [EVENT]


def test_half_a_line_in_the_audit_log_spoils_no_other(tmp_path: Path) -> None:
    append_audit(tmp_path, EVENT)
    with (tmp_path / "audit.jsonl").open("ab") as file:
        file.write(json.dumps(EVENT.as_dict()).encode()[:40])  # a power cut

    append_audit(tmp_path, EVENT)

    assert read_audit(tmp_path) == [EVENT, EVENT]


def test_a_request_to_go_back_is_found_and_cleared(tmp_path: Path) -> None:
    assert revert_requested(tmp_path) is None

    request_revert(tmp_path, "ann@desk")

    assert revert_requested(tmp_path) == "ann@desk"
    clear_request(tmp_path)
    assert revert_requested(tmp_path) is None


def test_only_one_process_acts_and_its_death_lets_the_next_one(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from cloud.rollout.state import lease\n"
        "with lease(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        with (
            pytest.raises(LeaseHeldError, match=rf"another process \(pid {other.pid}\) is rolling out"),
            lease(tmp_path),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait(10)

        with lease(tmp_path):
            pass
