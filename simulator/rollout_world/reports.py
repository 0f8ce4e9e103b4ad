"""What the gateways of a simulated fleet report, window by window: tapes of real runs, in the fleet's weather.

Nothing is made worse here. A candidate's faults are in its tape, or in its measured run times and memory.
"""

from dataclasses import dataclass, field

import numpy as np

from cloud.rollout.windows import Windows, windows_of
from edge.budget import Budget
from simulator.rollout_world.films import Bool, Int64
from simulator.rollout_world.releases import HARDWARE
from simulator.rollout_world.tapes import COLUMNS
from simulator.rollout_world.weather import NEVER, SIZE, WINDOW_S, Weather
from simulator.rollout_world.worlds import CHALLENGER_SEES, INCUMBENT, World

INCUMBENT_RELEASE, CANDIDATE_RELEASE = 1, 2
START_US = 1_780_000_000_000_000
KEEP_WINDOWS = 10  # for which the model before stands by (keep_s)
_WINDOW_US = int(WINDOW_S * 1e6)
_BINS = slice(COLUMNS.index("bin0"), COLUMNS.index("bin0") + 10)
_SESSION_BYTES = 6e6  # of a model that stands by or looks on


@dataclass(eq=False)
class Deployed:
    """Who runs the candidate: from window `since` to window `until` (it gave it up, saying `why`); `beside` is the
    window from which it looks on as a challenger. NEVER where it does not."""

    since: Int64 = field(default_factory=lambda: np.full(SIZE, NEVER, np.int64))
    until: Int64 = field(default_factory=lambda: np.full(SIZE, NEVER, np.int64))
    beside: Int64 = field(default_factory=lambda: np.full(SIZE, NEVER, np.int64))
    why: dict[int, str] = field(default_factory=dict)


class Reports:
    """Makes the windows of a fleet. `candidate` is the name of a variant, by class of hardware; `leak` the part of
    pictures that it keeps."""

    def __init__(self, world: World, weather: Weather, candidate: dict[str, str], *, leak: float) -> None:
        self.world, self.weather, self.leak = world, weather, leak
        self.names = tuple(gateway.name for gateway in weather.gateways)
        classes = list(HARDWARE)
        self._candidates = [candidate[name] for name in classes]
        self.deployed = Deployed()
        self._failures = [""]
        self._numbers: dict[str, int] = {"": 0}
        self._used = np.flatnonzero(
            sum(
                world.tables[name][side][:, len(COLUMNS) :].sum(axis=0)
                for name in {INCUMBENT, *self._candidates}
                for side in (0, 1)
            )
        )
        self.labels = tuple(world.labels[k] for k in self._used)

    def slower(self, gateway: int) -> float:
        """How many times as long as the incumbent's a run of the candidate really takes on a gateway."""
        name = self._candidates[self.weather.hardware[gateway]]
        return self.world.real_ms[name] / self.world.real_ms[INCUMBENT]

    def deploy(self, gateway: int, window: int) -> None:
        """The gateway gets the candidate in a window, and weighs it as gateways do (edge/active_model.py)."""
        weather, deployed = self.weather, self.deployed
        deployed.since[gateway] = window + 1  # the window in which it swaps is cut short
        hardware = list(HARDWARE)[weather.hardware[gateway]]
        signed = self.world.signed_ms[self.world.variants[self._candidates[weather.hardware[gateway]]].base][hardware]
        before = self.world.real_ms[INCUMBENT] * weather.slower[gateway]
        foreseen = max(1.0, signed / self.world.signed_ms[INCUMBENT][hardware])
        why = Budget().too_slow(before * self.slower(gateway), before, foreseen=foreseen)
        if why:
            self._give_up(gateway, window, why)

    def make(self, gateway: Int64, window: Int64) -> Windows:
        """The reports of n windows, each of a gateway, in any order."""
        weather, deployed = self.weather, self.deployed
        self._fail(gateway, window)
        frames = weather.frames[gateway, window]
        runs = (window >= deployed.since[gateway]) & (window < deployed.until[gateway])
        beside = (window >= deployed.beside[gateway]) & (window < deployed.since[gateway])
        counts = self._count(gateway, window, frames, runs)
        failed = counts[:, 1]
        ratio = np.array([self.slower(g) for g in range(SIZE)])
        base_ms = self.world.real_ms[INCUMBENT] * weather.slower[gateway] * weather.load[gateway, window]
        block = weather.block[gateway, window]
        speed = np.where(runs, ratio[gateway], 1.0)
        p50_ms = base_ms * speed * self.world.scatter.p50[block]
        looking = weather.camera[gateway, window]
        errors = failed + weather.stray[gateway, window] + ~looking
        columns: dict[str, object] = {
            "gateway": gateway,
            "at_us": self.at_us(gateway, window),
            "window_s": WINDOW_S,
            "release": np.where(runs, CANDIDATE_RELEASE, INCUMBENT_RELEASE),
            "digest": np.where(runs, 2, 1),
            "stream": weather.rebooted[gateway, window] + 1,
            "seq": window + 1,
            "looking": looking,
            "frames": counts[:, 0],
            "crashed": failed,
            "errors": errors,
            "p50_ms": np.where(counts[:, 0] > 0, p50_ms, 0.0),
            "p95_ms": np.where(counts[:, 0] > 0, base_ms * speed * self.world.scatter.p95[block], 0.0),
            "memory_bytes": self._memory(gateway, window, runs, beside),
            "temperature_c": weather.temperature[gateway, window],
            "detections": counts[:, 2],
            "bins": counts[:, _BINS],
            "mix": counts[:, len(COLUMNS) + self._used],
            "failed": self._failed(gateway, window),
        }
        if beside.any():
            columns |= self._shadow(gateway, window, frames, beside, base_ms * ratio[gateway], errors)
        return windows_of(self.names, self.labels, digests=("", "a" * 64, "b" * 64), failures=self._failures, **columns)  # type: ignore[arg-type]

    def at_us(self, gateway: Int64 | int, window: Int64 | int) -> Int64:
        """When a window ends, by the gateway's own clock."""
        at = START_US + (np.asarray(window) + 1) * _WINDOW_US + self.weather.skew_us[gateway]
        return np.asarray(at, np.int64)

    def _count(self, gateway: Int64, window: Int64, frames: Int64, runs: Bool) -> Int64:
        counts = np.zeros((len(gateway), len(COLUMNS) + len(self.world.labels)), np.int64)
        hardware = self.weather.hardware[gateway]
        for name in (INCUMBENT, *dict.fromkeys(self._candidates)):
            rows = ~runs if name == INCUMBENT else runs & np.isin(hardware, self._classes(name))
            if rows.any():
                counts[rows] = self._stretch(name, gateway[rows], window[rows], frames[rows], challenger=False)
        return counts

    def _stretch(self, name: str, gateway: Int64, window: Int64, frames: Int64, *, challenger: bool) -> Int64:
        weather = self.weather
        reel = self.world.reels(name)[challenger]
        at = (gateway, window)
        return np.asarray(
            reel.count(weather.night[at], weather.mount[gateway], weather.film[at], weather.start[at], frames), np.int64
        )

    def _classes(self, name: str) -> list[int]:
        return [number for number, candidate in enumerate(self._candidates) if candidate == name]

    def _shadow(
        self, gateway: Int64, window: Int64, frames: Int64, beside: Bool, took_ms: np.ndarray, errors: Int64
    ) -> dict[str, object]:
        ours = np.zeros((len(gateway), len(COLUMNS) + len(self.world.labels)), np.int64)
        theirs = np.zeros_like(ours)
        hardware = self.weather.hardware[gateway]
        ours[beside] = self._stretch(INCUMBENT, gateway[beside], window[beside], frames[beside], challenger=True)
        for name in dict.fromkeys(self._candidates):
            rows = beside & np.isin(hardware, self._classes(name))
            if rows.any():
                theirs[rows] = self._stretch(name, gateway[rows], window[rows], frames[rows], challenger=True)
        # a challenger that fails is unfit from then on, and the gateway counts one error (edge/challenger.py)
        unfit = beside & (theirs[:, 1] > 0)
        errors[unfit & (window == self.deployed.beside[gateway])] += 1
        ours[unfit] = theirs[unfit] = 0
        return {
            "errors": errors,
            "shadow": np.where(beside, CANDIDATE_RELEASE, 0),
            "shadow_frames": theirs[:, 0],
            "shadow_agreed": theirs[:, 3],
            "shadow_matched": theirs[:, 4],
            "shadow_ours": ours[:, 2],
            "shadow_theirs": theirs[:, 2],
            "shadow_iou": np.where(theirs[:, 4] > 0, theirs[:, 5] / 1000 / np.maximum(1, theirs[:, 4]), 0.0),
            "shadow_our_bins": ours[:, _BINS],
            "shadow_their_bins": theirs[:, _BINS],
            "shadow_p50_ms": np.where(theirs[:, 0] > 0, took_ms, 0.0),
        }

    def _memory(self, gateway: Int64, window: Int64, runs: Bool, beside: Bool) -> np.ndarray:
        """What the process takes: a leak grows with the frames looked at since it began, until there is no more."""
        weather = self.weather
        base = weather.memory[gateway, window] + _SESSION_BYTES * (beside | (runs & (window < weather.frames.shape[1])))
        if not self.leak:
            return np.asarray(base)
        shown = np.cumsum(weather.frames, axis=1)
        per_frame = self.leak * self.world.leak_bytes
        began = np.where(runs, self.deployed.since[gateway], np.minimum(self.deployed.beside[gateway], window))
        looked = shown[gateway, window] - shown[gateway, np.minimum(began, window)]
        leaked = np.where(runs, looked, np.where(beside, looked / CHALLENGER_SEES, 0)) * per_frame
        # who runs out of it is killed and begins anew
        return np.asarray(base + np.mod(leaked, np.maximum(1.0, weather.limit[gateway] - base)))

    def _fail(self, gateway: Int64, window: Int64) -> None:
        """A model that raises an error while the one before stands by is given up at once (edge/active_model.py)."""
        deployed = self.deployed
        on_trial = (window >= deployed.since[gateway]) & (window < deployed.since[gateway] + KEEP_WINDOWS)
        rows = np.flatnonzero(on_trial & (window < deployed.until[gateway]))
        if not len(rows):
            return
        runs = np.zeros(len(gateway), np.bool_)
        runs[rows] = True
        frames = np.where(runs, self.weather.frames[gateway, window], 0)
        failed = self._count(gateway[rows], window[rows], frames[rows], runs[rows])[:, 1]
        for row in rows[failed > 0]:
            first = int(gateway[row])
            if window[row] < deployed.until[first]:
                self._give_up(first, int(window[row]), "the model answers with scores that are not finite")

    def _give_up(self, gateway: int, window: int, why: str) -> None:
        self.deployed.until[gateway] = window
        said = f"{self.world.name}@{CANDIDATE_RELEASE}: {why}"
        if said not in self._numbers:
            self._numbers[said] = len(self._failures)
            self._failures.append(said)
        self.deployed.why[gateway] = said

    def _failed(self, gateway: Int64, window: Int64) -> Int64:
        number = np.zeros(SIZE, np.int64)
        for who, said in self.deployed.why.items():
            number[who] = self._numbers[said]
        return np.where(window >= self.deployed.until[gateway], number[gateway], 0)
