"""What becomes of the records of gateway processes: looked up in their spools, and heard from the cloud, and entered
into the same ledger that light gateways keep."""

import time
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.lanes import Lane, lane_of
from edge.spool import COMMIT_S
from models.records import FrameResult, Record
from simulator.light.fleet import Strike
from simulator.light.ledger import Ledger
from simulator.process.fleet import ProcessFleet
from simulator.process.listening import Answer, Listeners
from simulator.witness import Run, Sight

Key = tuple[str, str]  # gateway and stream


class Watching:
    """Looks at all spools whenever it is asked to. Times are seconds since `zero_s` of the monotonic clock."""

    def __init__(self, fleet: ProcessFleet, listeners: Listeners, *, zero_s: float) -> None:
        self.ledger = Ledger()
        self.shown_from: dict[str, int] = {}  # by gateway, the number of the first frame that it recorded
        self._fleet, self._listeners, self._zero_s = fleet, listeners, zero_s
        self._looked_s: dict[str, float] = {}
        self._answers: deque[Answer] = deque()

    def look(self) -> None:
        """At every spool, and at what was acknowledged before."""
        heard_until = time.monotonic()
        sights = {name: self._fleet.fleet.look(name) for name in self._fleet.gateways}
        for name, sight in sights.items():
            self._note(name, sight)
        self._take_answers(heard_until)
        for name, sight in sights.items():
            self._reconcile(name, sight)

    @property
    def waiting(self) -> dict[Key, int]:
        """The streams with records that are not acknowledged, and the first of these."""
        return {key: noted.acked + 1 for key, noted in self.ledger.streams.items() if noted.acked < noted.last}

    def _note(self, name: str, sight: Sight) -> None:
        now_s = time.monotonic() - self._zero_s
        # what is new was committed since the last look, and recorded at most so long before
        since_s = self._looked_s.get(name, -np.inf) - COMMIT_S - 1.0
        self._looked_s[name] = now_s
        for run in sight.new:
            self._note_run(name, run, since_s, now_s)

    def _note_run(self, name: str, run: Run, since_s: float, now_s: float) -> None:
        known = self.ledger.streams.get((name, run.stream))
        # a run that is cut in two where its middle was dropped is seen once more
        skipped = max(0, known.last + 1 - run.first) if known is not None else 0
        records = run.records[skipped:]
        if not records:
            return
        lane: Lane = next((lane_of(record) for record in records if record is not None), "frames")
        times_s = np.array([self._captured_s(name, record, since_s, now_s) for record in records])
        numbers = np.array([record.frame if isinstance(record, FrameResult) else -1 for record in records])
        last = run.first + len(run.records) - 1
        self.ledger.note(name, run.stream, lane, last, numbers, times_s)
        seen = [record for record in records if isinstance(record, FrameResult)]
        self.ledger.detections += sum(len(record.detections) for record in seen)
        if seen:
            self.shown_from.setdefault(name, seen[0].frame)

    def _captured_s(self, name: str, record: Record | None, since_s: float, now_s: float) -> float:
        """When it really was: the gateway's clock may be wrong."""
        if isinstance(record, FrameResult):
            camera = self._fleet.gateways[name].camera
            return camera.started_s + record.frame / camera.fps - self._zero_s
        # to within a second or so: it was written down after the last look
        return max(since_s, now_s - COMMIT_S)

    def _take_answers(self, until_s: float) -> None:
        """Those heard before the look: what they acknowledge was committed before it."""
        while not self._listeners.answers.empty():
            self._answers.append(self._listeners.answers.get())
        while self._answers and self._answers[0].at_s <= until_s:
            answer = self._answers.popleft()
            for ack in answer.acks:
                self._acknowledge(answer.gateway, ack.stream, ack.last, answer.at_s - self._zero_s)

    def _reconcile(self, name: str, sight: Sight) -> None:
        """What was acknowledged while nobody listened, because the broker was away: the spool knows it."""
        now_s = time.monotonic() - self._zero_s
        for (gateway, stream), noted in self.ledger.streams.items():
            if gateway == name and noted.acked < noted.last:
                # a stream that is dead and done is forgotten
                self._acknowledge(name, stream, sight.acked.get(stream, noted.last), now_s)

    def _acknowledge(self, name: str, stream: str, last: int, at_s: float) -> None:
        noted = self.ledger.streams.get((name, stream))
        if noted is not None:
            self.ledger.acknowledged(name, stream, min(last, noted.last), at_s)


def count_not_recorded(watching: Watching, fleet: ProcessFleet, strikes: Sequence[Strike], *, until_s: float) -> None:
    """Enter frames that a camera had and its gateway did not record, by what was wrong then."""
    for name, gateway in fleet.gateways.items():
        parts = [
            numbers[numbers >= 0]
            for (owner, _), noted in watching.ledger.streams.items()
            if owner == name
            for numbers in noted.frames
        ]
        recorded = np.unique(np.concatenate(parts)) if parts else np.array([], np.int64)
        camera = gateway.camera
        zero_s = watching._zero_s
        first = watching.shown_from.get(name, 0)
        last = int((until_s + zero_s - camera.started_s) * camera.fps)
        missing = np.setdiff1d(np.arange(first, last), recorded)
        times_s = camera.started_s + missing / camera.fps - zero_s
        for reason, frames in _by_reason(times_s, [s for s in strikes if name in s.gateways]).items():
            watching.ledger.missed(reason, frames)


_AFTERMATH_S = 20.0  # a gateway that was off, killed or slow is not back at once
_REASONS = {"power_cut": "no power", "kill": "killed", "slow_cpu": "processor too slow", "disk_full": "disk full"}


def _by_reason(times_s: npt.NDArray[np.float64], strikes: Sequence[Strike]) -> dict[str, int]:
    """How many of these frames fell into a strike, else into what comes of one, by what was wrong."""
    found: dict[str, int] = {}
    left = np.ones(len(times_s), bool)
    for after_s in (0.0, _AFTERMATH_S):
        for strike in strikes:
            fault = strike.fault
            reason = f"camera {fault.state}" if fault.what == "camera" else _REASONS.get(fault.what)
            if reason is not None:
                # a second before: what is not committed yet goes with the power
                hit = left & (times_s >= strike.begin_s - 1) & (times_s <= strike.end_s + after_s)
                found[reason] = found.get(reason, 0) + int(hit.sum())
                left &= ~hit
    found["component restarted, or a frame skipped"] = int(left.sum())
    return found
