"""The picture of benchmarks/rollout_odds.py: what was stopped where, and when."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.plots import BLUE, GREEN, GREY, ORANGE, RED, drawing
from simulator.rollout_world.intervals import wilson
from simulator.rollout_world.trial import Outcome
from simulator.rollout_world.variants import WAYS


def draw_odds(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Left: the share of each way that was stopped, with its interval; right: how long that took."""
    rows = [(way, [outcome for outcome in outcomes if outcome.way == way]) for way in ("", *WAYS)]
    rows = [(way or "good", mine) for way, mine in rows if mine]
    at = np.arange(len(rows))[::-1]
    with drawing(path, width=11, height=0.4 * len(rows) + 1.6, columns=2) as (left, right):
        begin = np.zeros(len(rows))
        for said, colour, chosen in (
            ("in shadow", GREEN, lambda o: o.end == "stopped" and o.ring < 0),
            ("in ring 0", BLUE, lambda o: o.end == "stopped" and o.ring == 0),
            ("later", ORANGE, lambda o: o.end == "stopped" and o.ring > 0),
            ("not stopped", "#e5e7eb", lambda o: o.end != "stopped"),
        ):
            part = np.array([sum(map(chosen, mine)) / len(mine) for _, mine in rows])
            left.barh(at, part, left=begin, color=colour, label=said)
            begin += part
        for place, (way, mine) in zip(at, rows, strict=True):
            count = sum(o.end == "stopped" if way == "good" else o.stopped_early for o in mine)
            left.plot(wilson(count, len(mine)), [place, place], color="black", linewidth=1)
        left.set_yticks(at, [f"{way} ({len(mine)})" for way, mine in rows])
        left.set_xlim(0, 1)
        left.set_xlabel("of the roll-outs, with the 95 % interval")
        left.set_title("Where they were stopped")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, fontsize=8)
        for place, (way, mine) in zip(at, rows, strict=True):
            minutes = [o.minutes for o in mine if o.end == "stopped"]
            spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(minutes))
            right.scatter(np.maximum(minutes, 1), place + spread, s=6, color=RED if way == "good" else GREY, alpha=0.6)
        right.set_yticks(at, [""] * len(rows))
        right.set_xscale("log")
        for minutes_, said_ in ((30, "30 min"), (60, "1 h"), (1440, "1 day")):
            right.axvline(minutes_, color=GREY, linewidth=0.5)
            right.text(minutes_, len(rows) - 0.4, said_, fontsize=8, color=GREY, ha="center")
        right.set_xlabel("minutes from the roll-out's beginning to its stop")
        right.set_title("When")
