"""What a fleet has reported over days, as columns: read a few hours at a time, for a day of it is many messages."""

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np

from cloud.rollout.windows import COLUMNS, Report, Windows, renumbered, windows_of_reports
from models.errors import DataError

SLICE_US = 3 * 3_600_000_000

Between = Callable[[int, int], Sequence[Report]]  # health reported from then until before then; may raise LakeError


def read_windows(
    between: Between, *, model: str, gateways: Collection[str], since_us: int, until_us: int
) -> Iterator[Windows]:
    """The windows of these gateways, slice by slice; `joined` makes one of them."""
    mine = frozenset(gateways)
    for begin_us in range(since_us, until_us, SLICE_US):
        reports = between(begin_us, min(begin_us + SLICE_US, until_us))
        yield windows_of_reports((report for report in reports if report.gateway in mine), model=model)


def slices(since_us: int, until_us: int) -> int:
    """How many windows `read_windows` makes."""
    return len(range(since_us, until_us, SLICE_US))


def joined(parts: Sequence[Windows]) -> Windows:
    """One after the other; what each of them names, all know by one number. DataError for none at all."""
    if not parts:
        raise DataError("there are no windows to join")
    names = {
        kind: tuple(dict.fromkeys(name for part in parts for name in getattr(part, kind)))
        for kind in ("gateways", "labels", "digests", "failures")
    }
    numbers = {kind: {name: number for number, name in enumerate(known)} for kind, known in names.items()}
    columns = {}
    for column in COLUMNS:
        if column == "mix":
            columns[column] = np.concatenate([_mix(part, numbers["labels"]) for part in parts])
        elif (kind := _NAMED.get(column)) is not None:
            columns[column] = np.concatenate(
                [renumbered(getattr(part, column), getattr(part, kind), numbers[kind]) for part in parts]
            )
        else:
            columns[column] = np.concatenate([getattr(part, column) for part in parts])
    return Windows(**names, **columns)  # type: ignore[arg-type]


_NAMED = {"gateway": "gateways", "digest": "digests", "failed": "failures"}


def _mix(part: Windows, numbers: dict[str, int]) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    wide = np.zeros((len(part), len(numbers)), np.int64)
    wide[:, [numbers[label] for label in part.labels]] = part.mix
    return wide
