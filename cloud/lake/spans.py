"""Ranges of seqs, both ends included."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from models.detections import Int64

Span = tuple[int, int]


def covered(seqs: Int64, spans: Iterable[Span]) -> npt.NDArray[np.bool_]:
    """Which of the seqs lie in one of the spans."""
    inside = np.zeros(len(seqs), np.bool_)
    for first, last in spans:
        inside |= (seqs >= first) & (seqs <= last)
    return inside


def subtract(span: Span, spans: Sequence[Span]) -> list[Span]:
    """What is left of `span` outside all of `spans`, in order."""
    left, start = [], span[0]
    for first, last in sorted(spans):
        if last < start or first > span[1]:
            continue
        if first > start:
            left.append((start, first - 1))
        start = last + 1
    if start <= span[1]:
        left.append((start, span[1]))
    return left


def merge(seqs: Iterable[int]) -> list[Span]:
    """The fewest spans that hold exactly these seqs."""
    spans: list[Span] = []
    for seq in sorted(set(seqs)):
        if spans and spans[-1][1] == seq - 1:
            spans[-1] = (spans[-1][0], seq)
        else:
            spans.append((seq, seq))
    return spans
