"""How long to wait for an acknowledgement: as long as they take.

As TCP times its retransmissions (RFC 6298): a smoothed delay and four times its variation, doubled with every time-out,
and learnt only from what was sent once, since nobody can tell which copy of a message an answer is to (Karn). A cloud
that is behind thus gets everything once; sending it again would put it further behind.
"""

from collections.abc import Iterator

from edge.backoff import delays

CEILING_S = 60.0  # of the back-off, where acknowledgements do not take longer than that
MOST_S = 300.0  # however long they take


class Patience:
    """Never less than `least_s`. Not for threads."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._smooth_s: float | None = None
        self._variation_s = 0.0
        self._measured_s = least_s
        self._now_s = least_s
        self._backs_off = False
        self._longer = _back_off(least_s)

    @property
    def seconds(self) -> float:
        """After so long without an answer, a message is taken for lost."""
        return self._now_s

    def answered(self, took_s: float | None) -> bool:
        """An answer came, `took_s` after what it answers was sent; None where that was sent more than once: it tells
        nothing then, and the back-off stays. Whether the cloud keeps up; nothing new counts as yes."""
        if took_s is None:
            return True
        if self._smooth_s is None or self._backs_off:
            self._smooth_s, self._variation_s = took_s, took_s / 2
        else:
            self._variation_s += (abs(took_s - self._smooth_s) - self._variation_s) / 4
            self._smooth_s += (took_s - self._smooth_s) / 8
        # also where they take the same each time
        margin_s = max(4 * self._variation_s, self._smooth_s / 2)
        self._measured_s = max(self._least_s, min(self._smooth_s + margin_s, MOST_S))
        self._start_over()
        return took_s <= self._least_s

    def unanswered(self) -> None:
        """No answer came in time."""
        self._backs_off = True
        self._now_s = next(self._longer)

    def _start_over(self) -> None:
        self._backs_off = False
        self._now_s = self._measured_s
        self._longer = _back_off(self._measured_s)


def _back_off(from_s: float) -> Iterator[float]:
    return delays(2 * from_s, max(CEILING_S, 2 * from_s))
