"""Nothing of a component outlives its nucleus."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from simulator.nucleus.script import Script
from tests.simulator.nucleus.desk import alive, group_of
from tests.simulator.nucleus.waiting import eventually


def start(script: str, folder: Path, **environment: str) -> Script:
    return Script(script, folder=folder, environment={"PATH": os.environ["PATH"], **environment}, log=folder / "log")


def test_a_script_ends_with_its_status_and_its_words_are_in_the_log(tmp_path: Path) -> None:
    script = start('echo "$GREETING to $(pwd)"; echo bad >&2; cat; exit 3', tmp_path, GREETING="hello")
    assert script.wait(20) == 3
    script.kill()
    assert (tmp_path / "log").read_text() == f"hello to {tmp_path}\nbad\n"


def test_exec_makes_the_program_the_first_process_without_a_child(tmp_path: Path) -> None:
    script = start("exec sleep 1000", tmp_path)
    eventually(lambda: (Path("/proc") / str(script.pid) / "comm").read_text() == "sleep\n")
    assert (Path("/proc") / str(script.pid) / "task" / str(script.pid) / "children").read_text() == ""
    script.terminate()
    assert script.wait(20) == -signal.SIGTERM
    script.kill()


def test_kill_reaches_the_whole_group_and_may_be_called_twice(tmp_path: Path) -> None:
    script = start("trap '' TERM; (trap '' TERM HUP; sleep 1000) & echo ready; sleep 1001", tmp_path)
    eventually(lambda: "ready" in (tmp_path / "log").read_text())
    group = group_of(script.pid)
    script.terminate()
    assert script.wait(0.1) is None
    script.kill()
    script.kill()
    assert script.wait(20) == -signal.SIGKILL
    eventually(lambda: not alive(group))


def test_a_script_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    scripts: list[Script] = []
    thread = threading.Thread(target=lambda: scripts.append(start("exec sleep 1000", tmp_path)))
    thread.start()
    thread.join()
    assert scripts[0].wait(0.2) is None
    scripts[0].kill()
    scripts[0].wait()


def test_all_processes_die_with_a_nucleus_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from simulator.nucleus.script import Script\n"
        "folder = Path(sys.argv[1])\n"
        "words = 'sleep 1000 & trap : TERM HUP; sleep 1001'\n"
        "script = Script(words, folder=folder, environment={}, log=folder / 'log')\n"
        "print(script.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as nucleus:
        assert nucleus.stdout is not None
        leader = int(nucleus.stdout.readline())
        eventually(lambda: len(group_of(leader)) >= 4, what="shell, two sleeps and the watcher run")
        group = group_of(leader)
        nucleus.kill()
    eventually(lambda: not alive(group), what="nothing is left")
