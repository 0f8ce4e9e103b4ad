"""The manifest: strict about what it knows, careful with what it doesn't."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import PackageError
from models.manifest import InputSpec, Manifest, Variant, manifest_bytes, parse_manifest, read_manifest, write_manifest

VARIANT = {"name": "fp32", "file": "model.onnx", "sha256": "ab", "bytes": 5}
DOCUMENT: dict[str, Any] = {
    "name": "parts",
    "task": "classification",
    "labels": ["good", "defect"],
    "input": {"height": 96, "width": 128},
    "variants": [VARIANT],
}


def parsed(document: Any) -> Manifest:
    return parse_manifest(json.dumps(document).encode(), where="manifest.json")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = Manifest(
        "parts",
        "detection",
        ("läger", "nut"),
        InputSpec(416, 320, "letterbox", "area"),
        threshold=0.3,
        chosen="int8",
        fallback="w8",
        variants=(
            Variant("int8", "model.int8.onnx", "ab" * 32, 100, 0.97, {"x86_64": 1.25}),
            Variant("w8", "model.w8.onnx", "cd" * 32, 100, 0.97, {"x86_64": 1.25}, weights_only=True),
        ),
        release=7,
        floor=3,
        lineage={"data": {"digest": "ab", "files": [1, 2.5, None, True]}},
        gate={"margin": 0.01},
        predicted_shift={"pictures": 3},
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_fields_of_a_newer_tidegate_are_kept() -> None:
    document = DOCUMENT | {
        "model_card": {"by": ["us"]},
        "unknown": "even this",
        "variants": [VARIANT | {"energy_mj": 3.5}],
    }
    manifest = parsed(document)
    again = json.loads(manifest_bytes(manifest.with_variants(Variant("int8", "b.onnx", "cd", 2))))
    assert (again["model_card"], again["unknown"]) == ({"by": ["us"]}, "even this")
    assert [variant.get("energy_mj") for variant in again["variants"]] == [3.5, None]


def test_a_manifest_of_before_there_were_fallbacks_is_read() -> None:
    manifest = parsed(DOCUMENT)
    assert (manifest.fallback, manifest.gate, manifest.predicted_shift) == (None, {}, {})
    assert not manifest.variant().weights_only


def test_the_same_manifest_is_the_same_bytes() -> None:
    shuffled = dict(reversed(DOCUMENT.items()))
    assert manifest_bytes(parsed(shuffled)) == manifest_bytes(parsed(DOCUMENT))


def test_what_was_not_measured_is_left_out() -> None:
    variant = Variant("fp32", "model.onnx", "ab", 5, latency_ms={"x86_64": float("nan"), "aarch64": 1.0})
    manifest = Manifest(
        "parts", "detection", ("a",), InputSpec(8, 8), variants=(variant,), lineage={"loss": float("inf")}
    )
    document = json.loads(manifest_bytes(manifest), parse_constant=pytest.fail)
    (written,) = document["variants"]
    assert written["latency_ms"] == {"aarch64": 1.0}
    assert "accuracy" not in written
    assert document["lineage"] == {}
    assert parsed(document).variants[0].accuracy != parsed(document).variants[0].accuracy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2 is not known here"),
        ({"name": "No Good"}, "name must be lower-case"),
        ({"name": "x" * 64}, "name must be lower-case"),
        ({"task": "segmentation"}, "task must be one of classification, detection"),
        ({"labels": []}, "labels must name at least one class"),
        ({"labels": "good"}, "labels must be a list"),
        ({"labels": ["good", ""]}, "a label must be one line of printable text"),
        ({"labels": ["go\nod"]}, "a label must be one line of printable text"),
        ({"labels": ["\ud800"]}, "a label must be one line of printable text"),
        ({"threshold": 1.5}, "threshold must be in 0..1"),
        ({"threshold": float("nan")}, "threshold must be in 0..1"),
        ({"release": -1}, "need 0 <= floor <= release"),
        ({"release": 2, "floor": 3}, "need 0 <= floor <= release"),
        ({"input": {"height": 0, "width": 5}}, "input must be 1..4096 pixels a side"),
        ({"input": {"height": 9, "width": 5, "mean": 3}}, "input: unknown key 'mean'"),
        ({"input": None}, "input: expected a table"),
        ({"variants": {}}, "variants must be a list"),
        ({"variants": None}, "variants must be a list"),
        ({"variants": ["x"]}, r"variants\[0\]: expected a table"),
        ({"variants": [VARIANT, VARIANT]}, "two variants have the same name"),
        ({"variants": [VARIANT | {"file": "../model.onnx"}]}, "a variant's file must be a plain name"),
        ({"variants": [VARIANT | {"file": ".."}]}, "a variant's file must be a plain name"),
        ({"variants": [VARIANT | {"file": ""}]}, "a variant's file must be a plain name"),
        ({"variants": [{"name": "fp32"}]}, r"variants\[0\]: missing key 'file'"),
        ({"fallback": "w8"}, "fallback names no variant: 'w8'"),
        ({"fallback": 3}, "fallback must be a text"),
        ({"gate": []}, "gate must be a table"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        parsed(DOCUMENT | change)


def test_a_variant_that_is_not_there_is_named() -> None:
    with pytest.raises(PackageError, match="model parts: no variant 'int8'; it has fp32"):
        parsed(DOCUMENT).variant("int8")
    assert parsed(DOCUMENT).variant().file == "model.onnx"


def test_a_folder_without_a_manifest_is_told_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"holds no manifest\.json: expected a run folder"):
        read_manifest(tmp_path)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Manifest.__dataclass_fields__]), JSON, max_size=4), JSON)
def test_no_document_ends_in_another_error(change: dict[str, Any], whole: Any) -> None:
    for document in (DOCUMENT | change, whole):
        try:
            manifest = parsed(document)
        except PackageError:
            continue
        assert parse_manifest(manifest_bytes(manifest), where="again").labels == manifest.labels


@given(st.binary(max_size=60))
def test_noise_is_no_manifest(noise: bytes) -> None:
    with pytest.raises(PackageError):
        parse_manifest(noise, where="manifest.json")
