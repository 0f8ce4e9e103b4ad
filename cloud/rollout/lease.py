"""Who may act on a roll-out: one process at a time, for as long as it keeps writing.

A lease lies in the roll-out's record and is renewed by every write of it. It runs out when the record has not been
written for `for_s`, by the store's clock, so that nobody's own clock matters. Fencing is the record's version: whoever
lost the lease cannot write any more, and nothing is done that was not written before.
"""

import getpass
import os
import secrets
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from models.errors import RolloutError

LEASE_S = 120.0  # longer than any call that a holder makes between two writes


class LeaseHeldError(RolloutError):
    """Another process acts on this roll-out: `holder`, in a clause."""

    def __init__(self, message: str, holder: str = "another process acts on it") -> None:
        super().__init__(message)
        self.holder = holder


class LeaseLostError(RolloutError):
    """Another process has taken the roll-out over; what is done next is its business."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`id` is drawn anew each time; `who` as in `operator()`; `process` as in `this_process()`."""

    id: str
    who: str
    process: str = ""
    for_s: float = LEASE_S


def new_lease(who: str, for_s: float = LEASE_S) -> Lease:
    """A lease that nobody had before, for this process."""
    return Lease(secrets.token_hex(8), who, this_process(), for_s)


def is_free(lease: Lease | None, age_s: float) -> bool:
    """Whether others may act: `age_s` is how long ago the record was written."""
    # far in the future is as good as long ago: the machine's clock was put back, and a living holder writes soon
    return lease is None or abs(age_s) > lease.for_s or _is_dead(lease.process)


def held_text(lease: Lease, age_s: float) -> str:
    """Who holds it, since when, until when."""
    pid = lease.process.rpartition("/")[2]
    process = f" (pid {pid})" if pid else ""
    return (
        f"{lease.who}{process} acts on it, seen {max(0, round(age_s))} s ago; should that process be dead, the lease "
        f"runs out in {max(0, round(lease.for_s - age_s))} s"
    )


def operator() -> str:
    """user@host, for the audit log; TIDEGATE_OPERATOR says it better where a role acts for many."""
    said = os.environ.get("TIDEGATE_OPERATOR") or os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    if said:
        return said
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())  # a container's user may have no name
    return f"{user}@{socket.gethostname()}"


def this_process() -> str:
    """This process among all of all machines: boot, PID namespace and PID; empty where that cannot be told."""
    machine = _machine()
    return f"{machine}/{os.getpid()}" if machine else ""


def _is_dead(process: str) -> bool:
    """Whether the process ran on this machine, since it was started, and is no more. A pid that is somebody else's
    now only costs time: its lease runs out."""
    machine, _, pid = process.rpartition("/")
    if not machine or machine != _machine():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
