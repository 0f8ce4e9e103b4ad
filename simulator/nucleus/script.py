"""Running a component's script in a session of its own, so that nothing of it outlives the nucleus."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from simulator.nucleus.users import User

_GONE_S = 2.0  # a process that the kernel does not let go of, in a system call that hangs, is not waited for

# The watcher reads from a pipe that only the nucleus can write to and never does: it ends when the nucleus ends,
# however that happens, and then the whole process group goes. PR_SET_PDEATHSIG would reach the first process only,
# would also fire when the *thread* that started it ends, and needs code between fork and exec. The double fork hands
# the watcher to init, so that the component has no child it does not know.
_LAUNCH = """\
exec 3<&0 </dev/null
( ( trap '' TERM INT HUP; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & )
exec 3<&-
exec /bin/sh -c "$1"
"""


class Script:
    """A running shell script and whatever it started; the first process is what `exec` in the script makes of it."""

    def __init__(
        self, script: str, *, folder: Path, environment: Mapping[str, str], log: Path, user: User | None = None
    ) -> None:
        pipe_end, self._lifeline = os.pipe()
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", _LAUNCH, "sh", script],
                    stdin=pipe_end,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=dict(environment),
                    start_new_session=True,
                    user=user.uid if user else None,
                    group=user.gid if user else None,
                    extra_groups=user.groups if user else None,
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(pipe_end)
        # the watcher stays in the group until `kill`, so until then the group's number belongs to nobody else
        self._lock = threading.Lock()
        self.killed = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit status of the first process (negative: by that signal), None when it has not ended in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        """SIGTERM to the first process: a program that the script did not `exec` never sees it."""
        self._process.terminate()

    def pause(self) -> None:
        """SIGSTOP to the group; SIGKILL reaches it nevertheless."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the group."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to all that is left of the group. May be called more than once."""
        with self._lock:
            if self.killed:
                return
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            os.close(self._lifeline)

    def wait_gone(self) -> None:
        """After `kill`: return when nobody of the group is alive any more."""
        deadline = time.monotonic() + _GONE_S
        while _alive(self._process.pid) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if not self.killed:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)


def _alive(group: int) -> bool:
    """Whether a process of the group lives. A zombie, which init may be slow to bury, does not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = process.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it has ended meanwhile
        if its_group == str(group) and state not in ("Z", "X"):
            return True
    return False
