"""Simulated time, and what is to happen when.

Gateways and their faults live in simulated time; the broker and ingest are real processes and need real time. At a
given speed the two run side by side, and a cloud that is slow is slow. As fast as possible, time leaps from one
happening to the next, and every gateway has a time of its own: one that waits for an answer of the real cloud stands
still `ANSWER_S` after its question until it comes, while others go on, at most `DRIFT_S` ahead. So no gateway takes a
machine that is small for a network that is broken; and gateways only meet in the cloud, so none can tell.
"""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Callable

START_US = 1_790_000_040_000_000  # simulated time 0; a full minute of the year 2026
ANSWER_S = 1.0  # how long the cloud takes, in simulated time, when time leaps
DRIFT_S = 50.0
_CLOSE_S = 5.0  # before something happens to the cloud itself
_STEP_S = 0.02  # real; how long an answer may lie about while nothing is due
_HELD_S = 0.002
_PATIENCE_S = 20.0  # real; what was not answered by then, never will be
_AT_ONCE = 64  # happenings, then the connections have their turn
_MOST_OWED = 6_000  # answers; what waits between here and the lake is in memory

Happening = Callable[[], None]


class Clock:
    """An agenda and the time. `speed`: simulated seconds a second; infinity for as fast as possible."""

    def __init__(self, speed: float = math.inf) -> None:
        self.held_s = 0.0  # real seconds in which simulated time stood still
        self.given_up = 0  # answers that never came
        self.behind_s = 0.0  # simulated; how late a happening was at most, at a speed that this process did not keep up
        self._speed = speed
        self._at = 0.0  # simulated, of the last happening
        self._anchor = time.monotonic(), 0.0  # real and simulated
        self._agenda: list[tuple[float, int, bool, Happening]] = []
        self._order = itertools.count()
        self._owed: dict[int, tuple[float, float, LocalTime]] = {}  # simulated, real, whom

    @property
    def leaps(self) -> bool:
        return math.isinf(self._speed)

    @property
    def owed(self) -> int:
        """How many answers the real cloud owes."""
        return len(self._owed)

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._at = self.now
        self._anchor = time.monotonic(), self._at
        self._speed = speed

    @property
    def now(self) -> float:
        """Simulated seconds since the start; never goes back."""
        if not self.leaps:
            # also when happenings come late: a process that is too slow gets no time for free
            real, simulated = self._anchor
            self._at = max(self._at, simulated + (time.monotonic() - real) * self._speed)
        return self._at

    @property
    def now_us(self) -> int:
        """The true time of the simulated world, UTC."""
        return START_US + int(self.now * 1e6)

    def restart(self) -> None:
        """What real time has passed until now does not count."""
        self._anchor = time.monotonic(), self._at

    def at(self, at_s: float, happening: Happening, *, to_the_cloud: bool = False) -> None:
        """Let something happen at a simulated time; what is past happens next. What happens `to_the_cloud` waits until
        all gateways have come close to it."""
        heapq.heappush(self._agenda, (at_s, next(self._order), to_the_cloud, happening))

    def forget(self) -> None:
        """The cloud went away, and owes nothing any more."""
        for token in list(self._owed):
            self._release(token)

    async def run(self, until_s: float, *, stop: Callable[[], bool] = lambda: False) -> None:
        """Let happen what is on the agenda, and time pass, until a simulated time or `stop`."""
        count = 0
        while not stop():
            due = self._agenda[0] if self._agenda else None
            at_s = min(due[0], until_s) if due else until_s
            if not await self._reach(at_s, close=bool(due and due[2])):
                continue  # something may have come in between
            if due is None or due[0] > until_s:
                return
            due_s, _, _, happening = heapq.heappop(self._agenda)
            if not self.leaps:
                self.behind_s = max(self.behind_s, self.now - due_s)
            happening()
            count += 1
            if count % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _reach(self, at_s: float, *, close: bool) -> bool:
        """Let time pass until then; False when some time has passed, and the agenda may have changed."""
        if self.leaps:
            oldest_s = next(iter(self._owed.values()))[0] if self._owed else math.inf
            if len(self._owed) > _MOST_OWED or at_s - oldest_s > (_CLOSE_S if close else DRIFT_S):
                self._give_up()
                began = time.monotonic()
                await asyncio.sleep(_HELD_S)
                self.held_s += time.monotonic() - began
                return False
        else:
            real, simulated = self._anchor
            left = real + (at_s - simulated) / self._speed - time.monotonic()
            if left > 0:
                await asyncio.sleep(min(left, _STEP_S))
                return False
        self._at = max(self._at, at_s)
        return True

    def _ask(self, whom: "LocalTime", now_s: float) -> int:
        token = next(self._order)
        self._owed[token] = now_s, time.monotonic(), whom
        return token

    def _release(self, token: int) -> None:
        if token in self._owed:
            self._owed.pop(token)[2]._answered(token)

    def _give_up(self) -> None:
        """Wait no longer for what was lost on the way."""
        late = time.monotonic() - _PATIENCE_S
        while self._owed:
            token = next(iter(self._owed))
            if self._owed[token][1] > late:
                return
            self._release(token)
            self.given_up += 1


class LocalTime:
    """The time of one gateway: the clock's, or behind it while an answer is owed and time leaps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._asked: dict[int, float] = {}  # token -> local time
        self._later: list[tuple[float, Happening]] = []

    @property
    def now(self) -> float:
        if not self._clock.leaps:
            self._at = max(self._at, self._clock.now)
        return self._at

    @property
    def now_us(self) -> int:
        """The true time, UTC."""
        return START_US + int(self.now * 1e6)

    def at(self, at_s: float, happening: Happening) -> None:
        """Let something happen to this gateway at its own time."""
        self._clock.at(at_s, lambda: self._run(at_s, happening))

    def ask(self) -> int:
        """The real cloud owes an answer from now on; a token for `answered`."""
        token = self._clock._ask(self, self.now)
        self._asked[token] = self.now
        return token

    def answered(self, token: int) -> float:
        """The answer came, or will never come. When it came, in this gateway's time."""
        asked_s = self._asked.get(token, self.now)
        self._clock._release(token)
        return max(self.now, asked_s + ANSWER_S) if self._clock.leaps else self.now

    def _run(self, at_s: float, happening: Happening) -> None:
        if self._clock.leaps and self._asked and at_s > next(iter(self._asked.values())) + ANSWER_S:
            self._later.append((at_s, happening))
            return
        self._at = max(self._at, at_s)
        happening()

    def _answered(self, token: int) -> None:
        self._asked.pop(token, None)
        later, self._later = self._later, []
        for at_s, happening in later:
            self.at(at_s, happening)
