"""The model card says what is known of a model, and what is not."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloud.model_card import model_card
from models.manifest import InputSpec, Manifest, Variant

MANIFEST = Manifest(
    "parts",
    "classification",
    ("good", "defect|<b>"),
    InputSpec(96, 128),
    chosen="int8",
    fallback="w8",
    variants=(
        Variant("int8", "model.int8.onnx", "ab", 100, 0.95, {"x86_64-avx2": 1.5}),
        Variant("w8", "model.w8.onnx", "ab", 110, 0.96, {"x86_64-avx2": 2.0, "aarch64-cortex-a72": 20.0}),
    ),
    release=3,
    floor=1,
    lineage={"data_sha256": "feed", "seed": 7, "parent": "parts@2", "split": {"train": 80, "val": 20}},
    gate={
        "metric": "top-1",
        "pictures": 20,
        "hardware": "x86_64-avx2",
        "calibration_sha256": "beef",
        "limits": {"accuracy_margin": 0.01},
        "variants": {"fp16": {"accepted": False, "reasons": ["nothing is gained"]}},
    },
)
REPORT: dict[str, Any] = {
    "training": {
        "pictures": {"train": {"good": 60, "defect|<b>": 20}, "val": {"good": 15, "defect|<b>": 5}},
        "conflicts": ["a.png (train) and b.png (train) are one picture under different labels"],
        "settings": {"epochs": 5},
    },
    "evaluation": {
        "metric": "top-1",
        "accuracy": 0.95,
        "pictures": 20,
        "by_class": {
            "good": {"pictures": 15, "recall": 1.0, "precision": 0.94},
            "defect|<b>": {"pictures": 5, "recall": 0.6, "precision": None},
        },
    },
    "variants": [{"name": "fp16", "bytes": 200, "accuracy": 0.95, "p50_ms": 2.0}],
}


def test_the_card_tells_what_ships_what_was_refused_and_where_the_model_is_weak() -> None:
    card = model_card(MANIFEST, REPORT)
    assert card.startswith("# parts@3\n")
    for line in (
        "- Ships as: int8; w8 where that is wrong or slower on the gateway's own processor",
        "| fp16 | 200 | 0.95 | 2 | - | - | refused | nothing is gained |",
        "- Weak on defect\\|&lt;b&gt;: 0.600.",
        "- defect\\|&lt;b&gt;: judged on 5 only, so its figures say little.",
        "- Its speed is known on aarch64-cortex-a72, x86_64-avx2 and nowhere else.",
        "| w8 | 20 | 2 |",
        "| good | 60 | 15 |",
        "- One picture under two labels: a.png (train) and b.png (train) are one picture under different labels",
        "- Split: train 80, val 20",
        "| parent | parts@2 |",
        "| calibration set | beef |",
    ):
        assert line in card, line


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    card = model_card(Manifest("parts", "detection", ("nut",), InputSpec(64, 64)), {})
    for line in ("Its accuracy was not measured", "Its speed is known on no hardware", "Nothing is known of it."):
        assert line in card


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["training", "evaluation", "variants", "import"]), JSON),
    st.dictionaries(st.sampled_from(["variants", "limits", "metric"]), JSON),
    st.dictionaries(st.sampled_from(["import", "split", "parent"]), JSON),
)
def test_a_report_of_any_shape_makes_a_card(
    report: dict[str, Any], gate: dict[str, Any], lineage: dict[str, Any]
) -> None:
    manifest = Manifest("parts", "detection", ("nut",), InputSpec(64, 64), gate=gate, lineage=lineage)
    assert model_card(manifest, report).count("\n## ") == 9
