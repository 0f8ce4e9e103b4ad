"""tidegate rollout plan: a rehearsal. What a roll-out would do, take and risk; changes nothing."""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from cloud.commands.rollout_options import Verbs, add_lake, lake_of
from cloud.commands.rollout_wishes import add_wishes, preferences_of, wishes_of
from cloud.rollout.begin import survey
from cloud.rollout.fleet import Fleet
from cloud.rollout.forecast import Forecast, forecast
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.groups import changes
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan
from cloud.rollout.rehearsal import HISTORY_S, Odds, Trial, needed_s, odds_of, rehearse, too_short
from cloud.rollout.reported import joined, read_windows, slices
from cloud.rollout.run import utc_us
from cloud.rollout.windows import Windows
from cloud.rollout.words import bytes_text, duration, several
from greengrass.objects import open_store
from greengrass.registry import ReleaseId, parse_release, read_release
from models.errors import UsageError

WINDOW_S = 60.0
TRIALS = 20
_DAY_S = 86_400.0


def add_verbs(verbs: Verbs) -> None:
    verb = verbs.add_parser("plan", help="a rehearsal: rings, bytes, time, odds of being undone; changes nothing")
    verb.set_defaults(act=_plan)
    verb.add_argument("release", metavar="NAME@RELEASE", help="registered with `tidegate deploy`")
    verb.add_argument("--fleet", required=True, metavar="GROUP", help="the thing group of the gateways")
    add_wishes(verb)
    verb.add_argument(
        "--rehearsals", type=int, default=TRIALS, metavar="N",
        help="roll-outs of the release before, on what the fleet has reported; 0: none (default: %(default)s)",
    )  # fmt: skip
    verb.add_argument(
        "--window-s", type=float, help=f"how often the gateways report (default: as they do, else {WINDOW_S:g})"
    )
    verb.add_argument(
        "--registry", metavar="URI", help="where releases are published: whether the report predicts what will shift"
    )
    add_lake(verb)
    verb.add_argument("--json", action="store_true", help="print it as one JSON document")


def _plan(args: argparse.Namespace) -> int:
    wanted = parse_release(args.release)
    if args.rehearsals < 0:
        raise UsageError(f"--rehearsals must be 0 or more, got {args.rehearsals}")
    if args.window_s is not None and not 0 < args.window_s < float("inf"):
        raise UsageError(f"--window-s must be above 0 seconds, got {args.window_s}")
    fleet, console = GreengrassFleet(), Console(stderr=args.json, highlight=False)
    limits = Limits()
    plan = survey(
        fleet,
        model=wanted.name,
        release=wanted.release,
        group=args.fleet,
        shares=args.rings,
        first=args.first,
        wishes=wishes_of(args),
        prefer=preferences_of(args),
    )
    now_us = utc_us()
    window_s = args.window_s or WINDOW_S
    history = _history(args, plan, now_us, window_s, limits, console)
    if history is not None and len(history) and args.window_s is None:
        window_s = float(np.median(history.window_s))
    changing = changes(plan, fleet)
    seen = forecast(
        plan,
        now_us=now_us,
        window_s=window_s,
        limits=limits,
        heard_us=None if history is None else _heard(history),
        groups=_counted(fleet, changing.joins, console),
        changes=changing,
        predicted=_predicted(args, wanted),
    )
    odds = _odds(plan, history, window_s, limits, args.rehearsals, console)
    if args.json:
        print(json.dumps(_document(plan, seen, odds), indent=2))
    else:
        _show(console, plan, seen, odds)
    return 0


def _history(
    args: argparse.Namespace, plan: Plan, now_us: int, window_s: float, limits: Limits, console: Console
) -> Windows | None:
    """What the fleet reported lately: enough to rehearse on. None without a lake."""
    if not args.lake:
        return None
    back_s = max(HISTORY_S, limits.silence_windows * window_s)
    if args.rehearsals and plan.incumbent is not None:
        back_s = 1.1 * needed_s(plan, window_s, limits) + HISTORY_S + _DAY_S
    since_us = now_us - int(back_s * 1e6)
    parts = read_windows(
        lake_of(args).health, model=plan.model, gateways=plan.names(), since_us=since_us, until_us=now_us
    )
    with _progress(console) as bar:
        return joined(list(bar.track(parts, total=slices(since_us, now_us), description="reading the lake")))


def _heard(history: Windows) -> dict[str, int]:
    """Each gateway's newest report, by its own clock."""
    newest = np.zeros(len(history.gateways), np.int64)
    np.maximum.at(newest, history.gateway, history.at_us)
    return dict(zip(history.gateways, newest.tolist(), strict=True))


def _counted(fleet: Fleet, newcomers: Sequence[str], console: Console) -> dict[str, int]:
    with _progress(console) as bar:
        task = bar.add_task("counting thing groups", total=len(newcomers))
        counted = {}
        for name in newcomers:
            counted[name] = fleet.count_groups(name)
            bar.advance(task)
    return counted


def _predicted(args: argparse.Namespace, wanted: ReleaseId) -> bool | None:
    if not args.registry:
        return None
    return bool(read_release(open_store(args.registry), wanted).predicted_shift)


def _odds(
    plan: Plan,
    history: Windows | None,
    window_s: float,
    limits: Limits,
    wanted: int,
    console: Console,
) -> Odds:
    if history is None:
        return Odds(why_not="no --lake")
    if not wanted:
        return Odds(why_not="no rehearsal was asked for")
    short = too_short(plan, history, window_s=window_s, limits=limits)
    if short:
        return Odds(why_not=short)
    trials: list[Trial] = []
    with _progress(console) as bar:
        task = bar.add_task("rehearsing", total=wanted)
        for trial in rehearse(plan, history, window_s=window_s, limits=limits, trials=wanted, seed=0):
            trials.append(trial)
            bar.advance(task)
    return odds_of(trials)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _document(plan: Plan, seen: Forecast, odds: Odds) -> dict[str, Any]:
    return {
        "release": plan.candidate,
        "incumbent": plan.incumbent,
        "fleet": plan.fleet,
        "gateways": seen.gateways,
        "seconds": seen.seconds,
        "bytes_each": seen.bytes_each,
        "bytes": seen.bytes_each * seen.gateways,
        "bytes_by_site": dict(seen.bytes_by_site),
        "rings": [dataclasses.asdict(ring) for ring in seen.rings],
        "odds": dataclasses.asdict(odds),
        "warnings": list(seen.warnings),
        "plan": dataclasses.asdict(plan),
    }


def _show(console: Console, plan: Plan, seen: Forecast, odds: Odds) -> None:
    before = "no release" if plan.incumbent is None else f"{plan.model}@{plan.incumbent}"
    console.print(
        f"{plan.candidate} in place of {before} on {several(seen.gateways, 'gateway')} of {plan.fleet}", style="bold"
    )
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("ring", "gateways", "waves", "hardware", "sites", "away", "downloads", "begins", "ends"):
        table.add_column(name, justify="right" if name in ("gateways", "away", "downloads") else "left")
    for ring in seen.rings:
        table.add_row(
            str(ring.ring) + (" (approval)" if ring.approval else ""),
            str(len(ring.gateways)),
            _waves(ring.waves),
            _counts(ring.hardware),
            _counts(ring.sites),
            str(len(ring.away) or ""),
            bytes_text(ring.bytes) if seen.bytes_each else "?",
            _clock(ring.begins_us),
            _clock(ring.ends_us),
        )
    console.print(table)
    for ring in seen.rings[:1]:
        console.print(f"canaries: {', '.join(ring.gateways)}", soft_wrap=True)
    if seen.bytes_each:
        total = bytes_text(seen.bytes_each * seen.gateways)
        console.print(f"downloads: {bytes_text(seen.bytes_each)} each, {total} in all{_by_site(seen.bytes_by_site)}")
    console.print(
        f"time: {duration(seen.seconds)} if all goes well, beside downloads"
        + (" and approvals" if any(ring.approval for ring in seen.rings) else "")
    )
    console.print(f"odds that a good release is undone: {_odds_text(odds)}", soft_wrap=True)
    for example in odds.examples:
        console.print(Text(f"  {example}", "dim"), soft_wrap=True)
    for warning in seen.warnings:
        console.print(Text(f"warning: {warning}", "yellow"), soft_wrap=True)
    console.print("nothing was changed", style="dim")


def _odds_text(odds: Odds) -> str:
    if odds.why_not:
        return f"not known ({odds.why_not})"
    stuck = f"; {odds.stuck} did not come to an end" if odds.stuck else ""
    return f"{odds.undone} of {odds.trials} rehearsals were, so at most {odds.at_most:.0%}{stuck}"


def _waves(sizes: Sequence[int]) -> str:
    if len(sizes) == 1:
        return "1"
    return f"{len(sizes)} of {max(sizes)}" if len(set(sizes)) == 1 else f"{len(sizes)} of up to {max(sizes)}"


def _counts(counts: Mapping[str, int]) -> str:
    said = [f"{count} {name or '?'}" for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    return ", ".join(said[:3]) + (f" and {len(said) - 3} more" if len(said) > 3 else "")


def _by_site(bytes_by_site: Mapping[str, int]) -> str:
    if len(bytes_by_site) < 2:
        return ""
    most = max(bytes_by_site, key=lambda site: bytes_by_site[site])
    return f", at most {bytes_text(bytes_by_site[most])} at one site ({most or 'none given'})"


def _clock(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC).astimezone():%a %H:%M}"
