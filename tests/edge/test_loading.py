"""Which variant of a release a gateway runs is settled by that gateway."""

import json
import logging
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cloud.run_folder import add_variant
from cloud.sign import Keys, sign_files, sign_release
from edge.active_model import ActiveModel
from edge.loading import CHOICE, load
from edge.model_store import ModelStore
from models.errors import ModelError
from models.golden import read_golden, record_golden, write_golden
from models.manifest import Manifest, read_manifest, sha256_file, write_manifest
from models.runner import open_runner
from tests.edge.odd_models import see, slow_copy

BLUE = np.full((48, 64, 3), (200, 0, 0), np.uint8)
UNTIL = datetime.now(UTC) + timedelta(days=1)


def with_fallback(run: Path, *, chosen: str, fallback: str) -> Manifest:
    """Enter both variants, whose files are there, and their golden answers."""
    for name in (chosen, fallback):
        if name != "fp32":
            add_variant(run, name, f"model.{name}.onnx")
    manifest = replace(read_manifest(run), chosen=chosen, fallback=fallback)
    write_manifest(run, manifest)
    frames = list(read_golden(run).frames.values())
    runners = {variant.name: open_runner(run, manifest, variant.name) for variant in manifest.variants}
    write_golden(run, record_golden(frames, runners))
    return manifest


@pytest.fixture
def slow_int8(colour_run: Path) -> Path:
    """A run whose chosen variant is right, and many times slower than its fallback."""
    slow_copy(colour_run / "model.onnx", colour_run / "model.int8.onnx")
    shutil.copy(colour_run / "model.onnx", colour_run / "model.w8.onnx")
    with_fallback(colour_run, chosen="int8", fallback="w8")
    return colour_run


@pytest.fixture
def fast_int8(colour_run: Path) -> Path:
    """A run whose fallback is many times slower than its chosen variant."""
    shutil.copy(colour_run / "model.onnx", colour_run / "model.int8.onnx")
    slow_copy(colour_run / "model.onnx", colour_run / "model.w8.onnx")
    with_fallback(colour_run, chosen="int8", fallback="w8")
    return colour_run


def answers_otherwise_here(folder: Path, *variants: str) -> None:
    """What stands for hardware that rounds in its own way: expected answers that these variants don't give."""
    path = folder / "golden" / "golden.json"
    document = json.loads(path.read_bytes())
    for variant in variants:
        document[variant]["000.png"]["classes"] = [2]
    path.write_text(json.dumps(document))


def test_the_package_carries_both_variants_and_the_registry_keeps_the_rest(
    slow_int8: Path, keys: Keys, tmp_path: Path
) -> None:
    package = sign_release(slow_int8, keys, release=1, floor=0, expires=UNTIL, out=tmp_path / "package")
    assert [variant.name for variant in read_manifest(package).variants] == ["int8", "w8"]
    assert sorted(path.name for path in package.glob("*.onnx")) == ["model.int8.onnx", "model.w8.onnx"]


def test_a_gateway_on_which_the_chosen_variant_is_slower_runs_the_fallback_and_says_so(
    slow_int8: Path, keys: Keys, trust: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = sign_release(slow_int8, keys, release=1, floor=0, expires=UNTIL, out=tmp_path / "package")
    active = ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=60)
    with caplog.at_level(logging.WARNING):
        active.offer(package)
    model, found = see(active, BLUE)
    assert (model.variant, found.class_ids.tolist()) == ("w8", [0])
    assert model.digest == sha256_file(slow_int8 / "model.w8.onnx")
    (line,) = caplog.messages
    assert line.startswith("colour@1 runs as w8, not as int8: it takes ")


def test_what_was_measured_is_remembered_over_a_restart(
    slow_int8: Path, keys: Keys, trust: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = sign_release(slow_int8, keys, release=1, floor=0, expires=UNTIL, out=tmp_path / "package")
    ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=60).offer(package)
    caplog.clear()
    again = ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=60)
    again.resume()
    assert see(again, BLUE)[0].variant == "w8"
    assert caplog.messages == []


def test_a_gateway_on_which_the_chosen_variant_is_faster_runs_it(fast_int8: Path) -> None:
    model = load(fast_int8, read_manifest(fast_int8))
    assert model.variant == "int8"


def test_a_chosen_variant_that_disagrees_with_its_golden_frames_gives_way_to_the_fallback(
    fast_int8: Path, keys: Keys, trust: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "package"
    shutil.copytree(fast_int8, package)
    answers_otherwise_here(package, "int8")
    manifest = read_manifest(package)
    write_manifest(package, replace(manifest, release=1, variants=manifest.shipped))
    sign_files(package, keys, version=1, expires=UNTIL)
    active = ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=60)
    active.offer(package)
    assert see(active, BLUE)[0].variant == "w8"
    assert active.failed_release == ""
    assert "runs as w8, not as int8: colour@1 does not answer here as it did" in caplog.text


def test_a_release_of_which_no_variant_is_right_here_is_refused(fast_int8: Path) -> None:
    answers_otherwise_here(fast_int8, "int8", "w8")
    with pytest.raises(ModelError, match="does not answer here as it did when it was made: 000"):
        load(fast_int8, read_manifest(fast_int8))


def test_a_fallback_that_does_not_work_leaves_the_chosen_variant(fast_int8: Path) -> None:
    answers_otherwise_here(fast_int8, "w8")
    assert load(fast_int8, read_manifest(fast_int8)).variant == "int8"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"variant": "int8", "why": "", "on": "another machine"}',
        b'{"variant": "fp16", "why": "", "on": "another machine"}',
    ],
)
def test_a_memory_that_is_damaged_or_of_another_machine_is_made_anew(
    slow_int8: Path, tmp_path: Path, content: bytes
) -> None:
    memory = tmp_path / CHOICE
    memory.write_bytes(content)
    assert load(slow_int8, read_manifest(slow_int8), keep=memory.parent).variant == "w8"
    assert json.loads(memory.read_bytes())["variant"] == "w8"


def test_a_remembered_variant_that_fails_meanwhile_is_not_clung_to(slow_int8: Path, tmp_path: Path) -> None:
    memory = tmp_path / CHOICE
    manifest = read_manifest(slow_int8)
    assert load(slow_int8, manifest, keep=memory.parent).variant == "w8"
    answers_otherwise_here(slow_int8, "w8")
    assert load(slow_int8, manifest, keep=memory.parent).variant == "int8"
