"""YOLOX-nano and FastestDet through import and compress as a user would, for the bars about real detectors."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.learning import real_data
from cloud.run_folder import read_report
from models.manifest import read_manifest

DETECTORS = {"yolox_nano": "yolox", "FastestDet": "fastestdet"}


@dataclass(frozen=True, slots=True)
class Compressed:
    """A detector's variants, the report's rows by name, and the one that ships."""

    chosen: str
    variants: dict[str, dict[str, Any]]

    def against_fp32(self, variant: str) -> tuple[float, float, float]:
        """AP, bytes and p50 latency of a variant as parts of fp32's."""
        ours, full = self.variants[variant], self.variants["fp32"]
        return ours["accuracy"] / full["accuracy"], ours["bytes"] / full["bytes"], ours["p50_ms"] / full["p50_ms"]


def compress_detectors() -> dict[str, Compressed]:
    """Each detector, calibrated on the 28 training pictures of coco128 and judged on all 61."""
    models, pictures = real_data("models"), real_data("coco128")
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        calibration, judged = to_compress_with(Path(temporary))
        for name, adapter in DETECTORS.items():
            run = Path(temporary) / name
            _tidegate(
                *("import", str(models / f"{name}.onnx"), "--adapter", adapter, "--name", "coco", "--out", str(run)),
                *("--labels", str(models / "coco.names"), "--golden", str(pictures / "images")),
            )
            _tidegate("compress", str(run), "--data", str(calibration), "--val", str(judged))
            variants = {row["name"]: row for row in read_report(run)["variants"]}
            found[name] = Compressed(read_manifest(run).chosen, variants)
    return found


def to_compress_with(folder: Path) -> tuple[Path, Path]:
    """Folders of pictures to calibrate on, and to judge by."""
    pictures = real_data("coco128")
    calibration, judged = folder / "calibration", folder / "judged"
    for kind in ("images", "labels"):
        shutil.copytree(pictures / kind / "train2017", calibration / kind)
        for part in ("train2017", "val2017"):  # one folder: of two, that for training would not be judged by
            shutil.copytree(pictures / kind / part, judged / kind, dirs_exist_ok=True)
    for place in (calibration, judged):
        shutil.copy(pictures / "classes.txt", place)
    return calibration, judged


def worst(parts: tuple[float, float, float], limits: Mapping[str, float]) -> float:
    """How far a variant's AP, bytes and latency are from limits `ap` (at least), `bytes` and `latency` (at most): the
    worst of the three as a part of its limit, 1 being the limit."""
    ap, size, latency = parts
    return max(limits["ap"] / max(ap, 1e-9), size / limits["bytes"], latency / limits["latency"])


def say(name: str, variant: str, parts: tuple[float, float, float]) -> str:
    ap, size, latency = parts
    return f"{name} {variant}: AP {ap:.3f} x fp32, bytes {size:.3f} x, latency {latency:.2f} x"


def _tidegate(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "tidegate", *words], check=True, stdout=sys.stderr)
