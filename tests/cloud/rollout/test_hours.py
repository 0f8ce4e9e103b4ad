"""Hours by the wall clock where the gateway is, over midnight and over the days when clocks change."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.hours import Hours, is_open, opens_us, parse_hours
from models.errors import UsageError

NIGHT = parse_hours("22:00-05:00")
BERLIN = "Europe/Berlin"


def us(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("hours", "local", "is_within"),
    [
        ("22:00-05:00", "2026-05-28T21:59:59", False),
        ("22:00-05:00", "2026-05-28T22:00", True),
        ("22:00-05:00", "2026-05-29T04:59", True),
        ("22:00-05:00", "2026-05-29T05:00", False),
        ("9:00-17:30", "2026-05-29T17:29", True),
        ("9:00-17:30", "2026-05-29T17:30", False),
        ("20:00-24:00", "2026-05-29T23:59", True),
        ("20:00-24:00", "2026-05-29T00:00", False),
        ("00:00-24:00", "2026-05-29T12:00", True),
        # clocks go back at 3:00: both times that it is 2:30 are within
        ("22:00-05:00", "2026-10-25T02:30", True),
    ],
)
def test_hours_are_the_wall_clocks(hours: str, local: str, is_within: bool) -> None:
    assert is_open(parse_hours(hours), BERLIN, us(local, BERLIN)) == is_within


@pytest.mark.parametrize("text", ["", "22-5", "22:00", "25:00-05:00", "22:00-05:60", "22:00-24:30", "22:00 05:00", "x"])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="hours must be given as 22:00-05:00, got"):
        parse_hours(text)


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        ("22:00-05:00", "2026-05-28T12:00", "2026-05-28T22:00+02:00"),
        ("9:00-17:00", "2026-05-28T18:00", "2026-05-29T09:00+02:00"),
        ("9:00-17:00", "2026-05-28T10:00", "2026-05-28T10:00+02:00"),  # they have begun
        # the night in which clocks go forward is an hour shorter, and 2:30 does not exist
        ("2:30-5:00", "2026-03-29T01:00", "2026-03-29T03:00+02:00"),
        ("4:00-5:00", "2026-03-29T01:00", "2026-03-29T04:00+02:00"),
        # and an hour longer in autumn
        ("4:00-5:00", "2026-10-25T01:00", "2026-10-25T04:00+01:00"),
    ],
)
def test_they_begin_next_by_the_wall_clock(hours: str, now: str, opens: str) -> None:
    found = opens_us(parse_hours(hours), BERLIN, us(now, BERLIN))

    assert datetime.fromtimestamp(found / 1e6, UTC) == datetime.fromisoformat(opens)


times = st.times(timezones=st.none()).map(lambda found: time(found.hour, found.minute))


@given(
    st.builds(Hours, times, times),
    st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
)
def test_they_begin_within_a_day_or_so_and_are_closed_until_then(hours: Hours, zone: str, now: datetime) -> None:
    now_us = int(now.timestamp() * 1e6)

    found = opens_us(hours, zone, now_us)

    assert now_us <= found <= now_us + int(timedelta(hours=26).total_seconds() * 1e6)
    for part in range(8):
        at = now_us + (found - now_us) * part // 8
        assert found == now_us or not is_open(hours, zone, at)
