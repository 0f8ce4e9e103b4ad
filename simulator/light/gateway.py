"""A gateway without processes: it replays a minute of real results, and reports it as the real one does.

The real code ships it: edge/ship.py with its streams, resends, back-off, outages and pace, on a spool in memory and a
connection of its own. Simulated are what is before the spool (camera, model, disk) and the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.lanes import Lane
from edge.ship import Shipper
from models.health import SCORE_BINS, CameraHealth, Challenge, Health
from models.records import Record
from models.wire import StreamAck
from simulator.light.clock import Clock, LocalTime
from simulator.light.cutting import SharedCuts
from simulator.light.ledger import Ledger
from simulator.light.link import LightLink, Traffic
from simulator.light.spool import LightSpool
from simulator.light.tape import Recorded, Variation

COMMIT_S = 0.9  # edge.spool.COMMIT_S: what a power cut takes along at most
_STEP_S = (1.0, 10.0)  # how often the shipper is asked while something waits: at first, and when nothing happens
_ROUNDING_S = 1e-3  # so that what is due now is not due once more
_NEWS_S = 5.0  # edge.windows.NEWS_S
_COMPARED = 0.2  # of the frames: what a challenger is given the processor time for


@dataclass(frozen=True, slots=True)
class Model:
    """How a release behaves: time a frame, parts of frames that raise, what it does to scores and to memory, and on
    which part of the frames it agrees with the release that answers while it looks on."""

    release: int = 1
    p95_ms: float = 45.0
    errors: float = 0.0
    memory_bytes: int = 180_000_000
    refused: str = ""
    agrees: float = 0.97


@dataclass(slots=True)
class Condition:
    """What is wrong with a gateway now. `clock_s`: how far its clock is ahead; `disk_full`; `camera`: its state;
    `slow`: its processor takes so many times longer."""

    clock_s: float = 0.0
    disk_full: bool = False
    camera: str = "ok"
    slow: float = 1.0


class LightGateway:
    """One of a fleet; lives on the fleet's clock."""

    def __init__(
        self,
        name: str,
        site: str,
        clock: Clock,
        ledger: Ledger,
        traffic: Traffic,
        cuts: SharedCuts,
        variation: Variation,
        *,
        seed: int,
        window_s: float,
        phase_s: float,
        ack_timeout_s: float,
        spool_bytes: int,
    ) -> None:
        self.name, self.site = name, site
        self.condition = Condition()
        self.model = Model()
        self.shadow: Model | None = None  # the release that looks on
        self.spool = LightSpool(seed=f"{seed} {name}", limit_bytes=spool_bytes)
        self.is_on = False
        self.deployment = ""  # that it has taken last
        self.time = LocalTime(clock)
        self._ledger, self._cuts = ledger, cuts
        self._variation = variation
        self._window_s, self._phase_s = window_s, phase_s
        self._ack_timeout_s = ack_timeout_s
        self._shipper: Shipper | None = None
        self._recorded_s = 0.0
        self._window_began_s = 0.0
        self._boots = 0
        self._step_at = float("inf")
        self._pause_s = _STEP_S[0]
        self._window: list[Recorded] = []  # what was recorded in the window that is open
        self._missed = self._skipped = 0
        self._failed_release = ""
        self._over = False
        self._offers = True
        self.link = LightLink(
            name, self.time, traffic, seed=f"{seed} {name} link", acknowledged=self._acknowledged, ready=self._go_on
        )

    # the world

    def power_on(self, port: int) -> None:
        """Start: every lane opens a new stream, what waits is drained."""
        self.is_on = True
        self._boots += 1
        self._recorded_s = self._window_began_s = self.time.now
        self.spool.turn()
        self._shipper = Shipper(
            self.spool,
            self.link,
            gateway=self.name,
            ack_timeout_s=self._ack_timeout_s,
            clock=lambda: self.time.now,
            now_us=lambda: self.time.now_us + int(self.condition.clock_s * 1e6),
            cutter=self._cuts,
        )
        self.link.power_on(port)
        self._go_on()
        if not self._over:
            self._plan_window(self.time.now)
            self._plan_alarm(self.time.now)

    def power_cut(self, tail_s: float) -> None:
        """Dead at once; the last `tail_s` (at most COMMIT_S) seconds were on no disk yet."""
        self._record(max(self._recorded_s, self.time.now - tail_s), alarms_only=False)
        self._miss("in memory at a power cut", self._recorded_s, self.time.now)
        self.is_on = False
        self._boots += 1
        self._recorded_s = self.time.now
        self._window.clear()
        self._shipper = None
        self.link.power_off()

    def was_off(self, since_s: float) -> None:
        """The frames that passed while there was no power."""
        self._miss("no power", since_s, self.time.now)

    def stop_recording(self) -> None:
        """The scenario is over: what was recorded is due, and nothing joins it."""
        if self.is_on:
            self._end_window(self.time.now)
        self._over = True
        self._boots += 1

    def change(self, condition: Condition) -> None:
        """What is recorded up to now was recorded under the old condition. News of a camera are told within seconds."""
        if self.is_on:
            self._record(self.time.now, alarms_only=False)
        news = condition.camera != self.condition.camera
        self.condition = condition
        if news:
            self._tell_soon()

    def run_model(self, model: Model) -> None:
        """A swap: the window is cut, and health tells it at once."""
        if self.is_on:
            self._record(self.time.now, alarms_only=False)
        self._failed_release = f"coco@{model.release}: {model.refused}" if model.refused else ""
        if not model.refused:
            self.model = model
        self._tell_soon()

    @property
    def waiting(self) -> bool:
        """Whether it has anything that is not acknowledged."""
        return not self.spool.is_empty

    # recording

    def _plan_window(self, after_s: float) -> None:
        boots = self._boots
        # windows keep their phase, so that gateways of a variation go on sharing what they record
        index = (after_s + _ROUNDING_S - self._phase_s) // self._window_s + 1
        at_s = self._phase_s + index * self._window_s

        def end() -> None:
            if self._boots == boots:
                self._end_window(at_s)
                self._plan_window(at_s)

        self.time.at(at_s, end)

    def _plan_alarm(self, after_s: float) -> None:
        boots = self._boots
        at_s = self._variation.alarms(after_s + _ROUNDING_S)

        def tell() -> None:
            if self._boots == boots:
                self._record(at_s, alarms_only=True)
                self._step()
                self._plan_alarm(at_s)

        if at_s < float("inf"):
            self.time.at(at_s, tell)

    def _tell_soon(self) -> None:
        boots = self._boots

        def tell() -> None:
            if self._boots == boots and self.is_on and self.time.now - self._window_began_s > 1e-6:
                self._end_window(self.time.now)

        self.time.at(max(self.time.now, self._window_began_s + _NEWS_S), tell)

    def _end_window(self, now: float) -> None:
        """`now`: when it is due, also where this happens late: those of a variation record the same."""
        now = max(now, self._window_began_s)
        self._record(now, alarms_only=False)
        if not self.condition.disk_full:
            self._put("health", [self._health(now)], np.array([now]))
            self._window.clear()
            self._missed = self._skipped = 0
            self._window_began_s = now
            if self._shipper is not None:
                self._shipper.tide()
        self._step()

    def _record(self, until_s: float, *, alarms_only: bool) -> None:
        """Put into the spool what was seen since the last time; of an alarm's moment the alarm alone."""
        begin = self._recorded_s
        if until_s < begin or self._over:
            return
        condition = self.condition
        clock_us = int(condition.clock_s * 1e6)
        if alarms_only:
            # the frames of this window follow when it ends, and are shared with others of the variation
            if condition.camera == "ok" and not condition.disk_full:
                alarms = self._variation.alarms_at(until_s, clock_us, self.model.release)
                self._put("alarms", alarms, np.full(len(alarms), until_s))
            return
        self._recorded_s = until_s
        if condition.camera != "ok":
            self._miss(f"camera {condition.camera}", begin, until_s)
            return
        if condition.disk_full:
            self._miss("disk full", begin, until_s)
            return
        seen = self._variation.stretch(
            begin, until_s, clock_us=clock_us, release=self.model.release, every=max(1, round(condition.slow))
        )
        self._skipped += seen.skipped
        self._ledger.missed("processor too slow", seen.skipped)
        self._window.append(seen)
        if seen.frames:
            stretch = self.spool.append("frames", seen.frames, at_s=float(seen.times_s[0]), size=seen.spooled_bytes)
            self._ledger.note(
                self.name, self.spool.live_stream("frames"), "frames", stretch.last, seen.numbers, seen.times_s
            )
            self._ledger.detections += seen.detections
        events = [(at, event) for at, event in seen.events if not event.alarm]
        self._put("events", [event for _, event in events], np.array([at for at, _ in events]))
        self._put("aggregates", seen.aggregates, np.full(len(seen.aggregates), until_s))

    def _put(self, lane: Lane, records: Sequence[Record], times_s: npt.NDArray[np.float64]) -> None:
        """Records that are no frames."""
        if records:
            stretch = self.spool.append(lane, records, at_s=float(times_s[0]))
            numbers = np.full(len(records), -1)
            self._ledger.note(self.name, self.spool.live_stream(lane), lane, stretch.last, numbers, times_s)

    def _miss(self, reason: str, begin_s: float, end_s: float) -> None:
        frames = self._variation.count(begin_s, end_s)
        self._missed += frames
        self._ledger.missed(reason, frames)

    def _health(self, now_s: float) -> Health:
        frames = sum(len(part.frames) for part in self._window)
        errors = int(frames * self.model.errors)
        detections = sum(part.detections for part in self._window)
        labels: dict[str, int] = {}
        for part in self._window:
            for label, count in part.labels.items():
                labels[label] = labels.get(label, 0) + count
        scores = np.sum([part.scores for part in self._window], axis=0) if self._window else np.zeros(SCORE_BINS)
        slow = self.condition.slow
        spooled_s = self.spool.waiting_since_s()
        account = self._shipper.account if self._shipper is not None else None
        seen = frames + self._skipped
        camera = CameraHealth("line-1", self.condition.camera, seen, frames, self._skipped, self._missed)
        return Health(
            at_us=self.time.now_us + int(self.condition.clock_s * 1e6),
            window_s=now_s - self._window_began_s,
            model="coco",
            release=self.model.release,
            digest=f"{self.model.release:064x}",
            variant="int8",
            frames_seen=seen,
            frames_inferred=frames,
            frames_skipped=self._skipped,
            frames_missed=self._missed,
            p50_ms=self.model.p95_ms * 0.8 * slow,
            p95_ms=self.model.p95_ms * slow,
            memory_bytes=self.model.memory_bytes,
            errors=errors,
            score_histogram=tuple(int(count) for count in scores),
            class_mix=labels,
            detections=detections,
            camera_state=self.condition.camera,
            spool_records=self.spool.records,
            spool_bytes=self.spool.bytes,
            spool_age_s=max(0.0, now_s - spooled_s) if spooled_s is not None else 0.0,
            records_dropped=self.spool.dropped,
            bytes_sent=account.bytes_sent if account else 0,
            failed_release=self._failed_release,
            cpu_s=min(60.0, frames * self.model.p95_ms * slow / 1000),
            temperature_c=52.0,
            disk_free_bytes=8 << 30,
            cameras=(camera,),
            challenge=self._challenge(frames, detections, scores),
        )

    def _challenge(self, frames: int, detections: int, scores: npt.NDArray[np.float64]) -> Challenge | None:
        """How the release that looks on compared, on a part of the frames; None where none does."""
        shadow = self.shadow
        if shadow is None or shadow.release == self.model.release:
            return None
        compared = int(frames * _COMPARED)
        found = tuple(int(count * _COMPARED) for count in scores)
        return Challenge(
            model="coco",
            release=shadow.release,
            digest=f"{shadow.release:064x}",
            frames=compared,
            agreed=int(compared * shadow.agrees),
            matched=int(detections * _COMPARED * shadow.agrees),
            ours=int(detections * _COMPARED),
            theirs=int(detections * _COMPARED),
            mean_iou=0.9,
            our_scores=found,
            their_scores=found,
            p50_ms=shadow.p95_ms * 0.8 * self.condition.slow,
        )

    # shipping

    def _acknowledged(self, payload: bytes, acks: Sequence[StreamAck]) -> None:
        if self._shipper is None:
            return
        self._shipper.acknowledged(payload)
        for ack in acks:
            self._ledger.acknowledged(self.name, ack.stream, ack.last, self.time.now)
        self._go_on()

    def _go_on(self) -> None:
        self._pause_s = _STEP_S[0]
        self._step()

    def _step(self) -> None:
        if self._shipper is None or not (self.link.is_up or self._offers):
            return
        # without a connection it offers something once, and learns that there is none; then it need not be asked again
        self._offers = self.link.is_up
        self._shipper.step()
        if not self.link.is_up:
            return
        if self.waiting:
            at_s = self.time.now + self._pause_s
            self._pause_s = min(_STEP_S[1], self._pause_s * 1.5)
            if at_s < self._step_at or self._step_at <= self.time.now:
                self._step_at = at_s
                self.time.at(at_s, lambda: self._stepped(at_s))

    def _stepped(self, at_s: float) -> None:
        if at_s == self._step_at:
            self._step_at = float("inf")
            self._step()
