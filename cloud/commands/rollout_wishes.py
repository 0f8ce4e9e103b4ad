"""What an operator may ask of a roll-out beyond the release, as options of `rollout plan` and `rollout start`."""

import argparse
import re

from cloud.rollout.hours import parse_hours
from cloud.rollout.plan import WHOLE_DAY_S, Wishes
from cloud.rollout.rings import DEFAULT_RINGS, Preference, parse_preference
from models.errors import UsageError

# a model that is broken at night shows it at night only
SOAK_S = (WHOLE_DAY_S, 3600.0)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
_BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "B": 1.0, "": 1.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def add_wishes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rings",
        default=DEFAULT_RINGS,
        help="sizes of the rings where the model has none yet: counts, percents, rest (default: %(default)s)",
    )
    parser.add_argument(
        "--prefer", action="append", default=[], metavar="KIND=VALUE",
        help="canaries, where the model has no rings yet: hardware=CLASS, site=SITE or tag=TAG (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--first", action="store_true", help="no release of the model runs there yet")
    parser.add_argument(
        "--shadow", metavar="TIME",
        help="let the release look on beside the one before on ring 0 for so long, before it answers: 30m",
    )  # fmt: skip
    parser.add_argument(
        "--soak", metavar="TIME[,TIME ...]",
        help="how long each ring is watched, the last one for all further rings (default: 24h,1h; --first: 0)",
    )  # fmt: skip
    parser.add_argument("--approve", metavar="RING[,RING ...]", help="rings that wait for `tidegate rollout approve`")
    parser.add_argument("--hours", metavar="HH:MM-HH:MM", help="gateways' local time in which they are given it")
    parser.add_argument("--max-in-flight", type=int, metavar="N", help="gateways that may be on the way to it at once")
    parser.add_argument("--max-bytes-in-flight", metavar="BYTES", help="that they may download at once: 50MB")
    parser.add_argument("--site-bytes", metavar="BYTES", help="that gateways at one site may download at once")
    parser.add_argument(
        "--covered", default="50%", metavar="SHARE",
        help="of a ring that must be well, the others may be away (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--cover-within", default="24h", metavar="TIME",
        help="after its soak; else the roll-out is undone (default: %(default)s)",
    )  # fmt: skip


def wishes_of(args: argparse.Namespace) -> Wishes:
    """What `add_wishes` was told; UsageError for what is none."""
    soak: tuple[float, ...] = () if args.first else SOAK_S
    if args.soak is not None:
        soak = tuple(_seconds(item, "--soak") for item in args.soak.split(","))
    if args.hours:
        parse_hours(args.hours)
    return Wishes(
        shadow_s=_seconds(args.shadow, "--shadow") if args.shadow else 0.0,
        soak_s=soak,
        approve=tuple(_ring(item) for item in args.approve.split(",")) if args.approve else (),
        hours=args.hours or "",
        max_in_flight=args.max_in_flight,
        max_bytes_in_flight=_bytes(args.max_bytes_in_flight, "--max-bytes-in-flight"),
        site_bytes=_bytes(args.site_bytes, "--site-bytes"),
        covered=_share(args.covered),
        cover_s=_seconds(args.cover_within, "--cover-within"),
    )


def preferences_of(args: argparse.Namespace) -> tuple[Preference, ...]:
    return tuple(parse_preference(text) for text in args.prefer)


def _seconds(text: str, flag: str) -> float:
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _SECONDS:
        raise UsageError(f"{flag} takes a time such as 90s, 30m, 24h or 2d, got {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def _bytes(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _BYTES:
        raise UsageError(f"{flag} takes an amount such as 500kB, 50MB or 2GB, got {text!r}")
    return int(float(match[1]) * _BYTES[match[2]])


def _ring(text: str) -> int:
    if not text.strip().isdigit():
        raise UsageError(f"--approve takes numbers of rings such as 1,3, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%", text.strip())
    if match is None or not 0 < float(match[1]) <= 100:
        raise UsageError(f"--covered takes a share such as 50%, got {text!r}")
    return float(match[1]) / 100
