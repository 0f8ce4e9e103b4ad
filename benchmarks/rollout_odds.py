"""How well roll-outs tell good models from bad ones: `python -m benchmarks.rollout_odds --json`.

1,000 seeded roll-outs on a simulated fleet of 200 (simulator/rollout_world): half of the candidates are good, half were
made worse in ten ways, of which "accuracy down" counts as three (5, 10 and 20 %). What the gateways report is resampled
from real runs of real ONNX graphs on real pictures; the roll-out is the product's own plan, ledger, judge and decide.
Thresholds were chosen on seeds 0-999; the bar is seeds 1000-1999.

    python -m benchmarks.rollout_odds --seeds 0:200 --failures     # for tuning: who was stopped wrongly, or not at all

Making the worlds (training, quantising, running all graphs) is kept in --cache, by the content of all it depends on;
results are kept in --out, by the code that made them: a killed run goes on where it was.
"""

import argparse
import hashlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.progress
from rich.console import Console
from rich.table import Table

from benchmarks.bar import Bar, report
from benchmarks.learning import on_two_cores, real_data
from benchmarks.rollout_odds_plot import draw_odds
from cloud.rollout.limits import Limits
from simulator.rollout_world.intervals import wilson
from simulator.rollout_world.trial import Outcome, choose, run_trial
from simulator.rollout_world.variants import WAYS
from simulator.rollout_world.worlds import WORLDS, World, open_world

CACHE = Path.home() / ".cache" / "tidegate" / "rollout-odds"
STOPPED, WRONGLY, MINUTES, NOTICED = 0.97, 0.02, 15.0, 3
_WORKERS = 2
_ROOT = Path(__file__).resolve().parents[1]
_worlds: dict[str, World] = {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1000:2000", help="first:last, the last not included (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--shadow", type=float, default=1800.0, metavar="S", help="seconds in shadow first (0: none)")
    parser.add_argument("--every-window", action="store_true", help="look at every roll-out in every window: slow")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="which (default: %(default)s)")
    parser.add_argument("--failures", action="store_true", help="list every roll-out that ended wrongly")
    parser.add_argument("--workers", type=int, default=_WORKERS, help="processes (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/rollout-odds"), metavar="DIR", help="default: %(default)s"
    )
    args = parser.parse_args()
    real_data("fashion-mnist")
    on_two_cores()
    console = Console(stderr=True)
    first, last = (int(number) for number in args.seeds.split(":"))
    began = time.monotonic()
    names = args.worlds.split(",")
    _make_worlds(names, args.cache, console)
    made_s = time.monotonic() - began
    for name in names:
        _worlds[name] = open_world(name, real_data(""), args.cache, say=console.print)
    key = _key((args.shadow, args.every_window), names)
    kept = args.out / f"{key}.jsonl"
    outcomes, ran_s = _run(
        range(first, last), (args.shadow, args.every_window), kept, workers=args.workers, console=console
    )
    found = summary(outcomes)
    found |= {"made_s": round(made_s, 1), "ran_s": round(ran_s, 1), "shadow_s": args.shadow, "key": key}
    (args.out / "report.json").write_text(json.dumps(found, indent=1))
    draw_odds(args.out / "odds.png", outcomes)
    show(found, console)
    if args.failures:
        for outcome in failures(outcomes):
            console.print(
                f"{outcome.seed} {outcome.variant} in {outcome.world}: {outcome.end}, ring {outcome.ring}, after "
                f"{outcome.minutes} min: {outcome.because}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    return report(_bar(found))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Shares with intervals: all ways together, by way, and good candidates by kind."""
    good = [outcome for outcome in outcomes if not outcome.way]
    bad = [outcome for outcome in outcomes if outcome.way]
    stopped = [outcome for outcome in bad if outcome.stopped_early]
    slow = [outcome for outcome in bad if outcome.way == "twice-as-slow" and outcome.end == "stopped"]
    in_time = [outcome for outcome in slow if outcome.noticed <= NOTICED]
    return {
        "bad": _share(len(stopped), len(bad)),
        "good_stopped": _share(sum(outcome.end == "stopped" for outcome in good), len(good)),
        "good_unfinished": sum(outcome.end == "unfinished" for outcome in good),
        "ways": {
            way: {
                **_share(sum(outcome.stopped_early for outcome in mine), len(mine)),
                "in_shadow": sum(outcome.stopped_early and outcome.ring < 0 for outcome in mine),
                "later": sum(outcome.end == "stopped" and outcome.ring > 0 for outcome in mine),
                "median_minutes": statistics.median([o.minutes for o in mine if o.stopped_early] or [0]),
            }
            for way in WAYS
            if (mine := [outcome for outcome in bad if outcome.way == way])
        },
        "kinds": {
            base: _share(sum(outcome.end == "stopped" for outcome in mine), len(mine))
            for base in sorted({outcome.base for outcome in good})
            if (mine := [outcome for outcome in good if outcome.base == base])
        },
        "worlds": {
            world: {
                "bad": _share(
                    sum(o.stopped_early for o in bad if o.world == world), sum(o.world == world for o in bad)
                ),
                "good_stopped": _share(
                    sum(o.end == "stopped" for o in good if o.world == world), sum(o.world == world for o in good)
                ),
            }
            for world in sorted({outcome.world for outcome in outcomes})
        },
        "slow_in_time": _share(len(in_time), len(slow)),
        "seconds_each": round(statistics.mean(outcome.seconds for outcome in outcomes), 3) if outcomes else 0.0,
    }


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Good ones that were stopped or did not arrive, and bad ones that were not stopped in time."""
    wrong = [o for o in outcomes if (not o.stopped_early if o.way else o.end != "done")]
    return sorted(wrong, key=lambda o: (o.way, o.world, o.seed))


def show(found: dict[str, Any], console: Console) -> None:
    """The table by way, for people."""
    table = Table("made worse", "stopped in shadow or ring 0", "95 % interval", "in shadow", "later", "median minutes")
    for way, row in found["ways"].items():
        table.add_row(
            way,
            f"{row['count']} of {row['of']}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            str(row["in_shadow"]),
            str(row["later"]),
            f"{row['median_minutes']:.0f}",
        )
    table.add_section()
    for kind, row in {"all bad": found["bad"], "good, stopped": found["good_stopped"], **found["kinds"]}.items():
        table.add_row(kind, f"{row['count']} of {row['of']}", f"{row['low']:.3f} to {row['high']:.3f}", "", "", "")
    console.print(table)


def _bar(found: dict[str, Any]) -> Bar:
    bad, good = found["bad"], found["good_stopped"]
    minutes = found["ran_s"] / 60
    held = good["share"] <= WRONGLY and minutes <= MINUTES
    hardest = min(found["ways"].items(), key=lambda item: item[1]["share"], default=("none", bad))
    measured = (
        f"of {bad['of']} made worse in ten ways {bad['count']} stopped in shadow or ring 0 ({bad['low']:.3f} to "
        f"{bad['high']:.3f}), hardest {hardest[0]} {hardest[1]['count']} of {hardest[1]['of']}; of {good['of']} good "
        f"ones {good['count']} stopped ({good['share']:.3f}, {good['low']:.3f} to {good['high']:.3f}; at most "
        f"{WRONGLY:g}), {found['good_unfinished']} not finished; twice as slow noticed within {NOTICED} windows: "
        f"{found['slow_in_time']['count']} of {found['slow_in_time']['of']}; {minutes:.1f} min on {_WORKERS} cores (at "
        f"most {MINUTES:g}), and {found['made_s'] / 60:.1f} min to make what was not kept; 0 where one does not hold"
    )
    return Bar("bad models stopped in ring 0", bad["share"] if held else 0.0, STOPPED, "higher", "of bad", measured)


def _share(count: int, of: int) -> dict[str, float]:
    low, high = wilson(count, of)
    share = round(count / of, 4) if of else 0.0
    return {"count": count, "of": of, "share": share, "low": round(low, 4), "high": round(high, 4)}


def _make_worlds(names: Sequence[str], cache: Path, console: Console) -> None:
    """In processes of their own: what they opened must not be there when others are forked."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(_WORKERS, len(names))) as pool:
        for name in pool.imap_unordered(_make_world, [(name, str(cache)) for name in names]):
            console.print(f"world {name} is there")


def _make_world(wanted: tuple[str, str]) -> str:
    name, cache = wanted
    open_world(name, real_data(""), Path(cache), say=lambda what: print(what, file=sys.stderr, flush=True))
    return name


def _run(
    seeds: range, how: tuple[float, bool], kept: Path, *, workers: int, console: Console
) -> tuple[list[Outcome], float]:
    """The outcomes of all seeds, those that are kept from there; seconds that all of them took with these workers."""
    known = {outcome.seed: outcome for outcome in _read(kept)}
    missing = [(seed, how) for seed in seeds if seed not in known]
    missing.sort(key=lambda wanted: _candidate(wanted[0]))  # a worker that keeps to a candidate counts its films once
    kept.parent.mkdir(parents=True, exist_ok=True)
    bar = rich.progress.Progress(console=console)
    with bar, kept.open("a") as file, multiprocessing.get_context("fork").Pool(workers) as pool:
        task = bar.add_task("roll-outs", total=len(seeds), completed=len(seeds) - len(missing))
        for outcome in pool.imap_unordered(_one, missing, chunksize=4):
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            known[outcome.seed] = outcome
            bar.advance(task)
    outcomes = [known[seed] for seed in seeds]
    return outcomes, sum(outcome.wall_s for outcome in outcomes) / workers


def _one(wanted: tuple[int, tuple[float, bool]]) -> Outcome:
    seed, (shadow_s, every_window) = wanted
    return run_trial(seed, _worlds, shadow_s=shadow_s, every_window=every_window)


def _candidate(seed: int) -> tuple[str, str]:
    world, variant = choose(seed, _worlds)
    return world.name, variant.name


def _read(kept: Path) -> Iterator[Outcome]:
    if kept.exists():
        for line in kept.read_text().splitlines():
            try:
                yield Outcome(**json.loads(line))
            except (ValueError, TypeError):  # a killed run's last line
                continue


def _key(how: tuple[float, bool], names: Sequence[str]) -> str:
    """Of everything an outcome depends on: the code that judges and that simulates, limits, worlds."""
    digest = hashlib.sha256(repr((how, Limits(), list(names))).encode())
    for folder in ("cloud/rollout", "simulator/rollout_world"):
        for path in sorted((_ROOT / folder).glob("*.py")):
            digest.update(path.read_bytes())
    for world in _worlds.values():
        digest.update(world.digest.encode())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
