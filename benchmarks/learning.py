"""Training and compressing as a user would, for the bars that do it on real pictures."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloud.run_folder import read_report
from models.errors import DataError

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CORES = 2


@dataclass(frozen=True, slots=True)
class Learned:
    """`seconds` of training, reading the pictures and exporting included; `variants` are the report's rows by name."""

    seconds: float
    variants: dict[str, dict[str, Any]]


def real_data(name: str) -> Path:
    """A folder of real data; it lies beside the checkout, or where TIDEGATE_BENCH_DATA says."""
    folder = Path(os.environ.get("TIDEGATE_BENCH_DATA", DATA)) / name
    if not folder.exists():
        raise DataError(f"{folder} is not there: this bar is measured on real data (or set TIDEGATE_BENCH_DATA)")
    return folder


def on_two_cores() -> None:
    """Keep this process, and what it starts, on two cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def learn(run: Path, data: Path, *recipe: str) -> Learned:
    """`tidegate train` with the flags of `recipe`, then `tidegate compress` with the same --data (and --val)."""
    started = time.monotonic()
    _tidegate("train", "--data", str(data), "--name", run.name, "--out", str(run), "--threads", str(CORES), *recipe)
    seconds = time.monotonic() - started
    _tidegate("compress", str(run), "--data", str(data))
    return Learned(seconds, {row["name"]: row for row in read_report(run)["variants"]})


def _tidegate(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "tidegate", *words], check=True, stdout=sys.stderr)
