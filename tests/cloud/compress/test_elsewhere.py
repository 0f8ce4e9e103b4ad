"""A device's latencies come back, and the gate judges for that kind of hardware."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tidegate
from cloud.compress.elsewhere import enter_latency, read_bench
from cloud.run_folder import add_variant, read_report, write_report
from models.errors import PackageError
from models.golden import read_golden, record_golden, write_golden
from models.manifest import read_manifest, write_manifest
from models.runner import open_runner

BYTES = {"fp32": 1000, "w8": 300, "int8": 310}


@pytest.fixture
def judged_run(colour_run: Path) -> Path:
    """As compress leaves it on x86, where int8 was too slow."""
    for name in ("w8", "int8"):
        shutil.copy(colour_run / "model.onnx", colour_run / f"model.{name}.onnx")
        add_variant(colour_run, name, f"model.{name}.onnx", latency_ms={"x86_64-avx2": 1.0})
    manifest = read_manifest(colour_run)
    gate = {
        "metric": "top-1",
        "hardware": "x86_64-avx2",
        "limits": {"accuracy_margin": 0.01},
        "chosen": "w8",
        "variants": {"int8": {"accepted": False, "reasons": ["takes 1.40 x the time of fp32 here, more than 1.05"]}},
    }
    write_manifest(colour_run, replace(manifest, chosen="w8", fallback="w8", gate=gate))
    rows = [
        {"name": name, "bytes": size, "accuracy": 0.9, "p50_ms": 1.0, "p95_ms": 1.1, "pictures": 100}
        for name, size in BYTES.items()
    ]
    write_report(colour_run, {"variants": rows, "gate": gate})
    runners = {name: open_runner(colour_run, manifest, name) for name in BYTES}
    write_golden(colour_run, record_golden(list(read_golden(colour_run).frames.values()), runners))
    return colour_run


def benched(run: Path, into: Path, *, int8_ms: float, **int8: Any) -> Path:
    """What a Raspberry Pi would print."""
    rows = [
        {
            "name": variant.name,
            "sha256": variant.sha256,
            "bytes": variant.bytes,
            "p50_ms": {"fp32": 10.0, "w8": 10.1}.get(variant.name, int8_ms),
            "p95_ms": 12.0,
            "peak_memory_bytes": 5_000_000,
            "differences": [],
            "error": "",
        }
        | (int8 if variant.name == "int8" else {})
        for variant in read_manifest(run).variants
    ]
    into.write_text(json.dumps({"name": "colour", "hardware": "aarch64-cortex-a72", "variants": rows}))
    return into


@pytest.mark.parametrize(("int8_ms", "chosen"), [(6.0, "int8"), (14.0, "w8")])
def test_the_gate_chooses_for_the_hardware_that_was_measured(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], int8_ms: float, chosen: str
) -> None:
    file = benched(judged_run, tmp_path / "pi.json", int8_ms=int8_ms)
    assert tidegate.main(["models", "latency", str(judged_run), str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in printed["variants"] if row["chosen"]] == [chosen]
    manifest, report = read_manifest(judged_run), read_report(judged_run)
    assert (manifest.chosen, manifest.fallback) == (chosen, "w8")
    assert manifest.gate["hardware"] == report["gate"]["hardware"] == "aarch64-cortex-a72"
    assert manifest.gate["variants"]["int8"]["accepted"] == (chosen == "int8")
    assert manifest.variant("int8").latency_ms == {"x86_64-avx2": 1.0, "aarch64-cortex-a72": int8_ms}
    rows = {row["name"]: row for row in report["variants"]}
    assert (rows["int8"]["p50_ms"], rows["int8"]["accuracy"]) == (int8_ms, 0.9)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"differences": ["000.png: class 1 is gone"]}, "000.png: class 1 is gone"),
        ({"error": "no such operator", "p50_ms": 0.0}, "no such operator"),
    ],
)
def test_what_is_wrong_or_does_not_run_there_is_refused_for_it(
    judged_run: Path, tmp_path: Path, said: dict[str, Any], reason: str
) -> None:
    file = benched(judged_run, tmp_path / "pi.json", int8_ms=1.0, **said)
    assert tidegate.main(["models", "latency", str(judged_run), str(file)]) == 0
    verdict = read_manifest(judged_run).gate["variants"]["int8"]
    assert verdict == {"accepted": False, "reasons": [f"not fit to run on aarch64-cortex-a72: {reason}"]}
    assert read_manifest(judged_run).chosen == "w8"


def test_figures_of_other_files_are_not_entered(judged_run: Path, tmp_path: Path) -> None:
    before = read_manifest(judged_run)
    file = benched(judged_run, tmp_path / "pi.json", int8_ms=6.0, sha256="ab" * 32)
    assert tidegate.main(["models", "latency", str(judged_run), str(file)]) == 1
    assert read_manifest(judged_run) == before


def test_figures_without_the_reference_prove_nothing(judged_run: Path, tmp_path: Path) -> None:
    file = benched(judged_run, tmp_path / "pi.json", int8_ms=6.0)
    document = json.loads(file.read_bytes())
    document["variants"] = document["variants"][1:]
    file.write_text(json.dumps(document))
    with pytest.raises(PackageError, match="nothing to judge against"):
        enter_latency(judged_run, read_bench(file))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "colour", "hardware": "x", "variants": [{"name": 3}]}'])
def test_a_file_that_no_bench_wrote_is_named(
    judged_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "pi.json").write_text(content)
    assert tidegate.main(["models", "latency", str(judged_run), str(tmp_path / "pi.json")]) == 1
    assert "is not what `tidegate gateway bench --json` prints" in capsys.readouterr().err


def test_a_run_that_was_never_judged_takes_the_figures(
    colour_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidegate.main(["gateway", "bench", str(colour_run), "--seconds", "0.1", "--json"]) == 0
    (tmp_path / "here.json").write_text(capsys.readouterr().out)
    assert tidegate.main(["models", "latency", str(colour_run), str(tmp_path / "here.json")]) == 0
    assert all(ms > 0 for ms in read_manifest(colour_run).variant().latency_ms.values())
    assert read_manifest(colour_run).variant().latency_ms
