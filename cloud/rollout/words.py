"""Figures in a sentence, for a tired person."""

from collections.abc import Sequence
from datetime import datetime

from cloud.rollout.hours import zone


def names_text(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def several(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3 h, 1.5 days."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86400:.3g} days"


def bytes_text(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.3g} {units[0]}"


def clock_text(now_us: int, timezone: str) -> str:
    """The wall clock there."""
    return f"{datetime.fromtimestamp(now_us / 1e6, zone(timezone)):%H:%M}"


def hours_text(hours: Sequence[int]) -> str:
    """Hours of the day: 2:00, 3:00 and 4:00."""
    said = [f"{hour}:00" for hour in hours]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
