"""Draws docs/pictures/rollout_statistics.svg: what the judge of a roll-out sees in a day. Run it from the repository's
root: python docs/pictures/rollout_statistics.py"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "tidegate", "svg.fonttype": "none", "font.size": 9}

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cloud.rollout.sequential import half_width, log_e  # noqa: E402

HOURS = np.arange(1, 24 * 3 + 1) / 3
NOISE, UNSURE = 0.13, 0.025  # of a slot of twenty minutes, and of what no slot makes surer
TOLERANCE, SIZE, MARGIN, LIMIT = 0.05, 0.3, 0.45, 100


def main() -> None:
    draw = np.random.default_rng(6)
    variance = NOISE**2 / np.arange(1, len(HOURS) + 1) + UNSURE**2
    left, right = plt.subplots(1, 2, figsize=(9.5, 3.6), constrained_layout=True)[1]
    for shift, colour, name in (
        (0.0, "tab:green", "as promised"),
        (-0.16, "tab:orange", "finds 15 % less than promised"),
        (-0.36, "tab:red", "finds 30 % less than promised"),
    ):
        slots = shift + NOISE * draw.standard_normal(len(HOURS))
        estimate = slots.cumsum() / np.arange(1, len(HOURS) + 1) + UNSURE * draw.standard_normal()
        odds = np.exp(log_e(estimate, variance, tolerance=TOLERANCE, size=SIZE))
        over = int(np.argmax(odds >= LIMIT)) if (odds >= LIMIT).any() else len(odds) - 1
        shown = slice(0, over + 1)
        left.plot(HOURS[shown], odds[shown], color=colour, label=name)
        if odds[over] >= LIMIT:
            left.plot(HOURS[over], odds[over], "o", color=colour)
        if shift == 0.0:
            width = half_width(variance, alpha=0.1, size=SIZE)
            right.fill_between(HOURS, np.exp(estimate - width), np.exp(estimate + width), color=colour, alpha=0.2)
            right.plot(HOURS, np.exp(estimate), color=colour)
            right.plot(HOURS, np.exp(slots), ".", color="grey", markersize=3)
    left.axhline(LIMIT, color="black", linewidth=1, linestyle="--")
    left.text(24, LIMIT * 1.15, "limit: undone here", ha="right", va="bottom")
    left.axhline(1, color="grey", linewidth=0.5)
    left.text(24, 1.12, "even odds", ha="right", color="grey")
    left.set(yscale="log", ylim=(0.003, 1000), xlim=(0, 24.5), xlabel="hours since the first report",
             ylabel="odds against the candidate, 1 to", title="Is it a surprise?")  # fmt: skip
    left.legend(loc="lower right", frameon=False)
    right.axhline(np.exp(MARGIN), color="black", linewidth=1, linestyle="--")
    right.axhline(np.exp(-MARGIN), color="black", linewidth=1, linestyle="--")
    right.text(24, np.exp(MARGIN) * 1.02, "good enough lies between the lines", ha="right", va="bottom")
    right.set(ylim=(0.5, 1.9), xlim=(0, 24.5), xlabel="hours since the first report",
              ylabel="things found, times what was expected", title="Is it known well enough to go on?")  # fmt: skip
    path = Path(__file__).with_suffix(".svg")
    plt.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
