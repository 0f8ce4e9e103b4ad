"""What a gateway that keeps its pictures grows by: measured in a process of its own, which has no memory to spare.

python -m simulator.rollout_world.leak RUN      prints bytes for each picture kept
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

from edge.memory import measure
from models.manifest import read_manifest
from models.runner import open_runner

_KEPT = 64 << 20  # bytes of pictures
_RUN_EVERY = 64  # few of the runs are made: they take long, and leave nothing behind


def leak_per_frame(run: Path) -> float:
    """Bytes by which a process with the model of a run folder grows for each fitted picture that it does not let go."""
    said = subprocess.run(
        [sys.executable, "-m", "simulator.rollout_world.leak", str(run)], check=True, capture_output=True, text=True
    )
    return float(said.stdout)


def main() -> int:
    run = Path(sys.argv[1])
    manifest = read_manifest(run)
    runner = open_runner(run, manifest)
    frame = np.full((manifest.input.height, manifest.input.width, 3), 99, np.uint8)
    for _ in range(20):
        runner.run_fitted(frame)
    kept = [frame.copy() for _ in range(20)]
    before, count = measure().resident, max(50, _KEPT // frame.nbytes)
    for number in range(count):
        kept.append(frame.copy())
        if number % _RUN_EVERY == 0:
            runner.run_fitted(kept[-1])
    print((measure().resident - before) / count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
