"""Where trials say how far they are, and hear whether to go on."""

from collections import defaultdict

from cloud.search.pareto import hopeless
from cloud.search.trial import Progress


class Board:
    """On a cluster one of them lives as long as the search, for all its trials: the study is out of their reach.
    `noted` is where trials were after which epoch before it began, by their numbers."""

    def __init__(self, noted: dict[int, list[Progress]]) -> None:
        self._noted: defaultdict[int, list[Progress]] = defaultdict(list, noted)

    def is_hopeless(self, number: int, progress: Progress) -> bool:
        """Note where trial `number` is, and tell whether it should stop there."""
        others = [
            (other.metric, other.parameters)
            for trial, noted in self._noted.items()
            for other in noted
            if trial != number and other.epoch == progress.epoch
        ]
        self._noted[number].append(progress)
        return hopeless(progress.metric, progress.parameters, others)
