"""Lanes: records that matter alike. Each lane has streams of its own, a place in the order of sending, and one in the
order in which records are given up."""

from typing import Literal, get_args

from models.health import Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Record

# Of frames, `spare` holds those that are wanted least when not all can be kept or sent: see Spool.thin.
Lane = Literal["alarms", "health", "events", "aggregates", "frames", "spare", "pictures"]
LANES: tuple[Lane, ...] = get_args(Lane)
GIVEN_UP_FIRST: tuple[Lane, ...] = ("pictures", "spare", "frames", "aggregates", "events", "health", "alarms")
_LIVE_ORDER: tuple[Lane, ...] = ("alarms", "health", "events", "aggregates", "frames")
_BACKLOG_ORDER: tuple[Lane, ...] = ("health", "events", "aggregates", "frames", "spare", "pictures")


def lane_of(record: Record) -> Lane:
    """Where a record goes; ValueError for a tombstone, which stays where what it stands for was."""
    match record:
        case FrameResult():
            return "frames"
        case Event():
            return "alarms" if record.alarm else "events"
        case Aggregate():
            return "aggregates"
        case Health():
            return "health"
        case PicturePart():
            return "pictures"
    raise ValueError("a tombstone goes into no lane")


def is_backlog(lane: Lane, *, live: bool) -> bool:
    """Whether a stream of this lane stands back behind what is recorded now."""
    return lane in ("spare", "pictures") or (lane != "alarms" and not live)


def precedence(lane: Lane, *, live: bool) -> int:
    """Which stream is sent first, the least one: alarms of any age, what is live, the backlog, then pictures."""
    if is_backlog(lane, live=live):
        return len(_LIVE_ORDER) + _BACKLOG_ORDER.index(lane)
    return _LIVE_ORDER.index(lane)
