"""`tidegate search --ray` runs the same trials on a cluster's nodes, and one that dies takes only its trial along."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tidegate
from cloud.run_folder import read_report
from cloud.search.study import open_study
from cloud.search.worker import Job
from cloud.train.request import Request
from cloud.train.tasks import TASKS
from models.errors import DataError
from models.manifest import read_manifest
from tests.cloud.boxes.shapes import paint_shapes

REPOSITORY = Path(__file__).resolve().parents[3]
_SEARCH = ("--name", "colours", "--epochs", "2", "--minutes", "8", "--json")


@dataclass(frozen=True)
class TwoNodes:
    """Where a cluster is, and what a process must have in its environment to be let in."""

    address: str
    environment: dict[str, str]
    process: "subprocess.Popen[str]"

    def kill_the_second(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("kill", file=self.process.stdin, flush=True)
        assert self.process.stdout.readline().strip() == "killed"

    def search(self, pictures: Path, out: Path, *more: str) -> "subprocess.Popen[str]":
        words = ["search", "--data", str(pictures), "--out", str(out), "--ray", self.address, *_SEARCH, *more]
        return subprocess.Popen(
            [sys.executable, "-m", "tidegate", *words],
            env=self.environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="the extra [scale] is not installed")
    # Ray's sockets have long names, and all of one may have 107 bytes
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as short:
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": short,
            "TMPDIR": str(tmp_path_factory.mktemp("t")),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(REPOSITORY),
        }
        command = [sys.executable, str(Path(__file__).with_name("two_nodes.py"))]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, text=True, start_new_session=True
        ) as process:
            try:
                assert process.stdout is not None
                address = process.stdout.readline().strip()
                assert address, "the cluster did not start"
                yield TwoNodes(address, environment, process)
                process.communicate(timeout=60)  # its input ends, and so does it
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # whatever of it is left


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_same_trials_run_on_two_nodes_and_one_may_die(two_nodes: TwoNodes, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = two_nodes.search(pictures, out, "--trials", "2")
    printed, talk = first.communicate(timeout=600)
    assert first.returncode == 0, talk
    document = json.loads(printed)
    assert document["tried"]["complete"] + document["tried"]["pruned"] == 2
    manifest = read_manifest(out)
    assert manifest.lineage["search"]["trial"] == document["chosen"]["trial"]
    assert read_report(out)["search"]["chosen"] == document["chosen"]["trial"]

    two_nodes.kill_the_second()
    second = two_nodes.search(pictures, out, "--trials", "4")  # the study goes on, with the node that is left
    printed, talk = second.communicate(timeout=600)
    assert second.returncode == 0, talk
    assert printed.startswith("{"), printed
    tried = json.loads(printed)["tried"]
    assert tried["complete"] + tried["pruned"] == 4
    study = open_study(tmp_path / "run.study", seed=0)
    assert all(trial.state.is_finished() for trial in study.get_trials())


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_trial_that_dies_with_its_node_is_counted_and_another_takes_its_place(
    two_nodes: TwoNodes, pictures: Path, tmp_path: Path
) -> None:
    searching = two_nodes.search(pictures, tmp_path / "run", "--trials", "3", "--epochs", "8")
    scratch = Path(two_nodes.environment["TMPDIR"])
    while len(list(scratch.glob("tidegate-*/run.checkpoint"))) < 2:  # both nodes are in the midst of one
        assert searching.poll() is None
        time.sleep(0.05)
    two_nodes.kill_the_second()
    printed, talk = searching.communicate(timeout=600)
    assert searching.returncode == 0, talk
    tried = json.loads(printed)["tried"]
    assert tried["complete"] + tried["pruned"] == 3
    assert tried["failed"] == 1
    study = open_study(tmp_path / "run.study", seed=0)
    assert all(trial.state.is_finished() for trial in study.get_trials())


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_ctrl_c_leaves_nothing_on_nodes_and_a_study_to_go_on_with(
    two_nodes: TwoNodes, pictures: Path, tmp_path: Path
) -> None:
    searching = two_nodes.search(pictures, tmp_path / "run", "--trials", "2", "--epochs", "8")
    scratch = Path(two_nodes.environment["TMPDIR"])
    while not list(scratch.glob("tidegate-*/run.checkpoint")):
        assert searching.poll() is None
        time.sleep(0.05)
    searching.send_signal(signal.SIGINT)
    _, talk = searching.communicate(timeout=60)
    assert searching.returncode == 1
    assert "no trial came to an end" in talk  # Ray may have more to say after it
    assert not list(scratch.glob("tidegate-*"))
    again = two_nodes.search(pictures, tmp_path / "run", "--trials", "1", "--epochs", "8")
    printed, talk = again.communicate(timeout=400)
    assert again.returncode == 0, talk
    tried = json.loads(printed)["tried"]
    assert tried["complete"] == 1
    assert tried["failed"] >= 1


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_cluster_lets_nobody_in_without_its_token(two_nodes: TwoNodes, pictures: Path, tmp_path: Path) -> None:
    stranger = TwoNodes(
        two_nodes.address, {**two_nodes.environment, "RAY_AUTH_TOKEN": secrets.token_hex(32)}, two_nodes.process
    )
    process = stranger.search(pictures, tmp_path / "run", "--trials", "1")
    _, talk = process.communicate(timeout=240)
    assert process.returncode == 2
    assert f"--ray {two_nodes.address} cannot be joined" in talk.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_an_open_cluster_is_not_joined(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra [scale] is not installed")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    words = ["search", "--data", str(pictures), "--out", str(tmp_path / "run"), "--ray", "127.0.0.1:1", *_SEARCH]
    assert tidegate.main(words) == 2
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    assert tidegate.main(words) == 2
    assert "--ray 127.0.0.1:1: nobody answers there" in capsys.readouterr().err.splitlines()[-1]


def test_without_ray_installed_the_extra_is_named(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "cloud.search.on_ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["search", "--data", str(pictures), "--out", str(tmp_path / "run"), "--ray", "127.0.0.1:1", *_SEARCH]
    assert tidegate.main(words) == 2
    assert "pip install 'tidegate[scale]'" in capsys.readouterr().err.splitlines()[-1]


def test_pictures_that_a_node_would_read_otherwise_do_not_travel(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra [scale] is not installed")
    from cloud.search.on_ray import _packed

    paint_shapes(tmp_path / "train", count=8, seed=1)
    request = Request(
        "shapes", tmp_path / "train", task="detection", net=TASKS["detection"].net, settings=TASKS["detection"].settings
    )
    job = Job(tmp_path, request, TASKS["detection"].prepare(request).digest, 1.0, 1, 0.0, (), 0)
    data, val = _packed(job)
    assert (len(data) > 1000, val) == (True, b"")
    (tmp_path / "train" / "classes.txt").rename(tmp_path / "classes.txt")  # where it is found as well, but left behind
    assert TASKS["detection"].prepare(request).digest == job.digest
    with pytest.raises(DataError, match=r"train by itself, as it goes to the cluster's nodes, is not what it is here"):
        _packed(job)
