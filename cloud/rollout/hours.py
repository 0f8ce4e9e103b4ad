"""Hours of the day in which a gateway may be given a release, by its own local time."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from models.errors import UsageError

MINUTE_US = 60_000_000
_HOURS = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]|24):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` until before `end`, over midnight where `end` is the earlier one; both the same: the whole day."""

    begin: time
    end: time

    def contain(self, local: time) -> bool:
        if self.begin == self.end:
            return True
        if self.begin < self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


def parse_hours(text: str) -> Hours:
    """Hours as 22:00-05:00; UsageError for anything else."""
    match = _HOURS.fullmatch(text.strip())
    if match is None or (match[3] == "24" and match[4] != "00"):
        raise UsageError(f"hours must be given as 22:00-05:00, got {text!r}")
    return Hours(time(int(match[1]), int(match[2])), time(int(match[3]) % 24, int(match[4])))


def zone(name: str) -> tzinfo:
    """The time zone; UTC also on machines without a time zone database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def is_open(hours: Hours, timezone: str, now_us: int) -> bool:
    """Whether it is within these hours there now."""
    return hours.contain(_local(timezone, now_us).time())


def opens_us(hours: Hours, timezone: str, now_us: int) -> int:
    """When these hours begin there next, or now where they have begun: by the wall clock, whatever daylight saving
    does in between."""
    if is_open(hours, timezone, now_us):
        return now_us
    local = _local(timezone, now_us)
    for days in range(3):
        wall = datetime.combine(local.date() + timedelta(days=days), hours.begin, tzinfo=local.tzinfo)
        # where the clock leaps over it in spring, the later reading lies before the leap and the earlier one behind it
        earliest, latest = sorted(_us(wall.replace(fold=fold)) for fold in (0, 1))
        at_us = next((at for at in range(earliest, latest, MINUTE_US) if is_open(hours, timezone, at)), latest)
        if at_us > now_us:
            return at_us
    raise AssertionError("every day has its hours")


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _local(timezone: str, now_us: int) -> datetime:
    return datetime.fromtimestamp(now_us / 1e6, zone(timezone))
