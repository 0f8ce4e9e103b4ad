"""What numbers a record may hold, so that every reader of the lake can show it."""

from collections.abc import Iterable

MAX_NUMBER = 2**63  # what int64 columns hold is below
MAX_TIME_US = 253_402_300_799_999_999  # the end of the year 9999: what every reader of the lake can show


def check_moment(frame: int, at_us: int) -> None:
    """ValueError for a frame's number or time (UTC, microseconds) out of range."""
    if not (0 <= frame < MAX_NUMBER and 0 <= at_us <= MAX_TIME_US):
        raise ValueError(
            f"a frame's number and its time in us must be in 0..{MAX_NUMBER - 1} and 0..{MAX_TIME_US}, "
            f"got {frame} and {at_us}"
        )


def check_counts(record: object, names: Iterable[str]) -> None:
    """ValueError for a field of that name which is no count: below 0, too large, or not a number."""
    for name in names:
        value = getattr(record, name)
        # nan too: whoever judges a roll-out by it would compare it with everything in vain
        if not 0 <= value < MAX_NUMBER:
            raise ValueError(f"{name} must be in 0..{MAX_NUMBER - 1}, got {value}")
