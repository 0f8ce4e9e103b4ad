"""How many different things a camera has shown: the unit of trust in a promise made on reference pictures.

A camera before which a new part lies every second tells thousands of opinions a day; one that looks at the same five
parked cars tells five, however many frames it counts. What tells the two apart is how much the incumbent's own answers
vary from one slot of time to the next: as if each detection were a new thing, or as if each thing were counted a
hundred times. Where they vary less than if all were new, the scene stands still, and only what one frame shows counts.
"""

import numpy as np

from cloud.rollout import account
from cloud.rollout.book import Book
from cloud.rollout.windows import Float64, Int64

MOST = 400.0  # things of one camera: what it shows is alike in other ways
_SLOTS = 6  # fewer tell nothing
_RARE = 0.05


def clumps(book: Book, gateways: Int64) -> Float64:
    """How many times each thing is counted, by gateway: of the incumbent's windows; NaN where the scene stands still
    or was seen too little."""
    versions = book.account.changes[:, gateways].sum(axis=0)
    found = np.empty(len(gateways))
    stale = []
    for place, (number, version) in enumerate(zip(gateways.tolist(), versions.tolist(), strict=True)):
        known = book.clumps.get(number)
        if known is None or known[0] < version * 0.98:
            stale.append(place)
        else:
            found[place] = known[1]
    if stale:
        values = _work_out(book, gateways[stale])
        found[stale] = values
        for place, value in zip(stale, values.tolist(), strict=True):
            book.clumps[int(gateways[place])] = (int(versions[place]), value)
    return found


def things(detections: Float64, clump: Float64, per_frame: Float64, *, still: float) -> Float64:
    """How many different things so many detections are of; all broadcast. A frame of a scene that stands still shows
    `per_frame` of them, a whole day of it `still` times as many."""
    least = np.maximum(np.nan_to_num(per_frame), 1.0) * still
    moving = np.where(np.isfinite(clump), detections / np.where(np.isfinite(clump), clump, 1.0), 0.0)
    return np.clip(moving, least, np.maximum(MOST, least))


def _work_out(book: Book, gateways: Int64) -> Float64:
    kept = book.account
    slots = kept.by_slot[: len(kept.slots), gateways]
    shares = [account.HIGH, account.LOW, *range(account.FIXED, slots.shape[-1])]
    part, whole = slots[..., shares], slots[..., account.DETECTIONS, None]
    total, all_of = part.sum(axis=0), whole.sum(axis=0)
    share = total / np.where(all_of > 0, all_of, np.inf)
    told = (share > _RARE) & (share < 1 - _RARE)
    spread = ((part - share * whole) ** 2).sum(axis=0) / np.where(all_of > 0, all_of, np.inf)
    times = np.where(told, spread / np.where(told, share * (1 - share), 1.0), np.nan)
    enough = ((whole > 0).sum(axis=0)[:, 0] >= _SLOTS) & told.any(axis=1)
    middle = np.full(len(gateways), np.nan)
    if enough.any():
        middle[enough] = np.nanmedian(times[enough], axis=1)
    return np.where(middle >= 1.0, middle, np.nan)
