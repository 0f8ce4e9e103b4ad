"""What a release's own signed report says against it. A roll-out watches for what nobody predicted; what was predicted
is no surprise, so somebody has to want it."""

import math

from cloud.rollout.promise import Said, read_shift
from models.manifest import Manifest

MOST_LOST = 0.02  # of the accuracy that the incumbent's report names
LEAST_KEPT = 0.6  # of what the incumbent sees on the reference pictures
MOST_RATIO = 2.0  # times as many detections, or as few
_LEAST_PICTURES, _LEAST_THINGS = 30, 50  # of the reference, which golden frames are not: they were chosen


def misgivings(candidate: Manifest, incumbent: Manifest) -> str:
    """Why an operator should be asked before the release answers for anything, in a clause; "" where its report gives
    no reason."""
    before = f"{incumbent.name}@{incumbent.release}"
    ours, theirs = (manifest.variant(manifest.chosen).accuracy for manifest in (incumbent, candidate))
    # of two kinds of data nothing could be said; the metric at least is the task's
    if candidate.task == incumbent.task and math.isfinite(ours) and theirs < ours - MOST_LOST:
        return f"its own report says that it is less right: accuracy {theirs:.3f}, {before} {ours:.3f}"
    shift = candidate.predicted_shift
    said = _said(shift)
    if said is None or shift.get("against") != before or shift.get("reference") != "pictures":
        return ""
    if said.pictures < _LEAST_PICTURES or said.things < _LEAST_THINGS:
        return ""
    on = f"on {said.pictures} pictures"
    if said.kept is not None:
        row = shift["by_score"]
        kept = sum(row["kept"]) / max(1.0, sum(row["parent"]))
        if kept < LEAST_KEPT:
            return f"its own report says that it sees only {kept:.0%} of what {before} sees, {on}"
    if not 1 / MOST_RATIO <= said.per_frame_ratio <= MOST_RATIO:
        return f"its own report says that it sees {said.per_frame_ratio:.1f} times as many things as {before}, {on}"
    return ""


def _said(shift: dict[str, object]) -> Said | None:
    try:
        return read_shift(shift)
    except (KeyError, TypeError, ValueError, AttributeError):  # a later tidegate's, or somebody's own
        return None
