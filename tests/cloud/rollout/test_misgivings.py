"""What a release's own report says against it keeps it from answering until somebody wants it."""

from dataclasses import replace
from typing import Any

import pytest

from cloud.rollout.misgivings import misgivings
from cloud.rollout.plan import Gateway, Plan, Ring, Wave
from cloud.rollout.starting import new_rollout
from cloud.rollout.state import Order, Said
from models.manifest import InputSpec, Manifest, Variant

INCUMBENT = Manifest(
    name="coco",
    task="detection",
    labels=("cat", "dog"),
    input=InputSpec(64, 64, "letterbox", "linear"),
    threshold=0.25,
    chosen="fp32",
    variants=(Variant("fp32", "model.onnx", "0" * 64, 1, accuracy=0.376),),
    release=6,
)


def report(*, now: int = 190, kept: int = 180, **fields: Any) -> dict[str, Any]:
    """Of 60 pictures on which coco@6 saw 200 things; `now`: how many this release sees, `kept`: how many of those."""

    def bins(count: int) -> list[int]:
        return [0, 0, 0, count // 2, 0, 0, 0, 0, count - count // 2, 0]

    return {
        "against": "coco@6",
        "reference": "pictures",
        "pictures": 60,
        "parent": {"score_histogram": bins(200), "class_mix": {"cat": 200}},
        "this": {"score_histogram": bins(now), "class_mix": {"cat": now}},
        "by_score": {"parent": bins(200), "kept": bins(kept), "this": bins(now), "confirmed": bins(min(kept, now))},
        **fields,
    }


@pytest.mark.parametrize(
    ("accuracy", "shift", "said"),
    [
        (0.374, report(), ""),
        (float("nan"), {}, ""),
        (0.175, report(), "is less right: accuracy 0.175, coco@6 0.376"),
        (0.374, report(kept=60), "sees only 30% of what coco@6 sees, on 60 pictures"),
        (0.374, report(now=700), "sees 3.5 times as many things as coco@6"),
        (0.374, report(now=90, kept=140), "sees 0.5 times as many"),
        # a release that sees more, and all that was seen
        (0.40, report(now=300, kept=195), ""),
        # of another release's, of what was chosen for being clear, of too little, or said by a later tidegate otherwise
        (0.374, report(kept=60, against="coco@5"), ""),
        (0.374, report(kept=60, reference="golden frames"), ""),
        (0.374, report(kept=60, pictures=6), ""),
        (0.374, {"against": "coco@6", "reference": "pictures", "pictures": 60, "parent": 7}, ""),
    ],
)
def test_a_report_that_says_it_is_worse_is_reason_to_ask(accuracy: float, shift: dict[str, Any], said: str) -> None:
    variant = replace(INCUMBENT.variants[0], accuracy=accuracy)
    candidate = replace(INCUMBENT, release=7, variants=(variant,), predicted_shift=shift)

    told = misgivings(candidate, INCUMBENT)

    assert said in told
    assert bool(told) == bool(said)


def test_ring_0_waits_for_somebody_who_wants_it_all_the_same() -> None:
    plan = Plan("coco", 7, 6, "shop", (Ring((Wave("shop_coco-ring-0", (Gateway("one"),)),)),))
    against = "its own report says that it is less right"

    begun, event = new_rollout(
        plan, Order(7, "anna", "rest", said=Said(misgivings=against)), window_s=60.0, now_us=1_795_000_000_000_000
    )

    assert begun.plan.wishes.approve == (0,)
    assert event.text.endswith(f"; {against}, so ring 0 waits for an approval")
    unharmed, event = new_rollout(plan, Order(7, "anna", "rest"), window_s=60.0, now_us=1_795_000_000_000_000)
    assert unharmed.plan.wishes.approve == ()
    assert "approval" not in event.text
