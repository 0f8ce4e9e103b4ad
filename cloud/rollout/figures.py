"""Figures of answers that are compared: class mixes and scores."""

from collections.abc import Mapping, Sequence


def mix_distance(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Total variation distance of two class mixes, 0 (the same shares) .. 1 (no class in common); 0 where one is
    empty: that nothing was seen is told by the detections per frame."""
    total_a, total_b = sum(a.values()), sum(b.values())
    if not total_a or not total_b:
        return 0.0
    return sum(abs(a.get(label, 0) / total_a - b.get(label, 0) / total_b) for label in {*a, *b}) / 2


def mean_score(histogram: Sequence[int]) -> float:
    """The mean of scores known by their bin of equal width over 0..1; 0 for no scores."""
    total = sum(histogram)
    if not total:
        return 0.0
    return sum(count * (index + 0.5) / len(histogram) for index, count in enumerate(histogram)) / total
