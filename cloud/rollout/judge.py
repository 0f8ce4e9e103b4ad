"""Whether a candidate behaves on gateways: what they report, added up as it comes in, and judged at every look.

    ledger = Ledger(names, rings=..., model="coco", release=7, incumbent=6, window_s=60.0)
    ledger.add(windows, now_us)              # history first; what comes twice counts once
    ledger.touch(names_of_ring_0, marks)     # before anything of the candidate is added
    ledger.add(windows, now_us)
    verdicts = ledger.judge(now_us)          # a RingVerdict per ring, in order

A fresh process that touches as the state says and adds all of the lake comes to the same verdicts, in whatever order
the windows come; only silence begins anew, since it is measured by our own clock.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cloud.rollout.fleet import Progress
from cloud.rollout.limits import Limits
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.verdicts import GatewayVerdict, RingVerdict
from cloud.rollout.windows import Windows, renumbered


class Ledger:
    """The evidence of one roll-out.

    `rings` has the ring (0, 1 ...) of each of `gateways`, `hardware` its class ("" where unknown). `incumbent` is None
    at the first release ever. Windows of other gateways are ignored.
    """

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        rings: Sequence[int],
        model: str,
        release: int,
        incumbent: int | None,
        window_s: float,
        limits: Limits | None = None,
        promise: Promise = NO_PROMISE,
        hardware: Sequence[str] = (),
    ) -> None:
        self.gateways = tuple(gateways)
        self.rings = np.asarray(rings, np.int64)
        self.hardware = tuple(hardware) or ("",) * len(self.gateways)
        self.model, self.release, self.incumbent = model, release, incumbent
        self.window_s, self.limits, self.promise = window_s, limits or Limits(), promise
        self._index = {name: number for number, name in enumerate(self.gateways)}
        n = len(self.gateways)
        self._marks = np.full(n, np.iinfo(np.int64).max)  # of those touched: what is newer came since
        self._deployed_us = np.zeros(n, np.int64)
        self._absent = np.zeros(n, np.bool_)
        self._heard_us = np.zeros(n, np.int64)
        self._windows = np.zeros((2, n), np.int64)
        self._frames = np.zeros((2, n), np.int64)

    def touch(
        self,
        gateways: Iterable[str],
        marks: Mapping[str, int],
        *,
        deployed_us: int = 0,
        absent: Iterable[str] = (),
    ) -> None:
        """These gateways get the candidate. `marks` is each one's newest report when that was decided, by its own
        clock (0 where it had none); `deployed_us` is 0 until the deployment is made: say it again then. `absent` ones
        had been silent."""
        away = set(absent)
        for name in gateways:
            number = self._index[name]
            self._marks[number] = marks.get(name, 0)
            self._deployed_us[number] = deployed_us
            self._absent[number] = name in away

    def add(self, windows: Windows, now_us: int) -> None:
        """Take windows into account, in any order; a row that was added before counts once."""
        gateway = renumbered(windows.gateway, windows.gateways, self._index)
        since = windows.at_us > self._marks[gateway]
        known = gateway >= 0
        for role, rows in enumerate(
            (known & ~since & (windows.release == self.incumbent), known & since & (windows.release == self.release))
        ):
            np.add.at(self._windows[role], gateway[rows], 1)
            np.add.at(self._frames[role], gateway[rows], windows.frames[rows])
        self._heard_us[gateway[known]] = now_us

    def judge(self, now_us: int, progress: Mapping[str, Progress] | None = None) -> tuple[RingVerdict, ...]:
        """How each ring is, in order. `progress` is of the touched gateways' deployments, as far as asked for."""
        verdicts = []
        touched = self._marks < np.iinfo(np.int64).max
        enough = (self._windows[1] >= self.limits.windows) & (self._frames[1] >= self.limits.frames)
        silence_us = self.limits.silence_windows * self.window_s * 1e6
        present = (self._heard_us > 0) & (now_us - self._heard_us <= silence_us)
        ready = present & (self._windows[0] >= self.limits.baseline_windows)
        for ring in range(int(self.rings.max(initial=-1)) + 1):
            mine = self.rings == ring
            well, unknown = int((mine & touched & enough).sum()), int((mine & touched & ~enough).sum())
            verdicts.append(
                RingVerdict(
                    "well" if well and not unknown else "unknown",
                    f"{well} of {well + unknown} gateways have shown enough",
                    int(mine.sum()),
                    well=well,
                    unknown=unknown,
                    present=int((mine & present).sum()),
                    ready=int((mine & ready).sum()),
                )
            )
        return tuple(verdicts)

    def gateway_verdicts(self, ring: int, now_us: int) -> tuple[GatewayVerdict, ...]:
        """Every gateway of a ring, for people; slower than `judge`."""
        return tuple(
            GatewayVerdict(
                name,
                "unknown",
                "",
                windows=int(self._windows[1][number]),
                frames=int(self._frames[1][number]),
            )
            for number, name in enumerate(self.gateways)
            if self.rings[number] == ring
        )
