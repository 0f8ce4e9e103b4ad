"""The memory that a variant takes, measured in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path

from models.errors import ModelError

RUNS = 10
_TIMEOUT_S = 300.0
_STATUS = Path("/proc/self/status")


def peak_memory_bytes(folder: Path, variant: str) -> int:
    """How much the peak of a new process' memory rises when it opens this variant of a run folder or package and
    answers golden frames with it; 0 where the system does not tell.

    ModelError when it cannot be run. A process of its own, because memory that another model has freed is used again.
    """
    command = [sys.executable, "-m", "models.footprint", str(folder.absolute()), variant]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment, check=False)
    except subprocess.TimeoutExpired as exc:
        raise ModelError(f"{folder}: {RUNS} runs of variant {variant!r} took more than {_TIMEOUT_S:g} s") from exc
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ModelError(f"{folder}: variant {variant!r} could not be run to measure its memory: {reason}")
    return int(json.loads(done.stdout))


def _measure(folder: Path, variant: str) -> int:
    # onnxruntime's own few MB are no variant's: import it before the first look
    from models.golden import read_golden
    from models.manifest import read_manifest
    from models.runner import open_runner

    manifest = read_manifest(folder)
    frames = list(read_golden(folder).frames.values())
    _forget_high_water()
    before = _high_water_bytes()
    runner = open_runner(folder, manifest, variant)
    for frame in islice(cycle(frames), RUNS):
        runner.run_fitted(frame)
    return max(0, _high_water_bytes() - before)


def _high_water_bytes() -> int:
    """The most memory that this process ever had. getrusage would count its parent's too, across the exec."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _forget_high_water() -> None:
    # "5": start over from what is resident now (proc_pid_clear_refs(5)); where that is not allowed, importing counts
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), sys.argv[2])))
