"""The gate: which variants may be signed, and why. Pure: figures in, verdict out."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.latency import NOT_SLOWER, is_slower

_AS_SMALL = 1.01  # times the bytes: the same weights under other names
_DIFFERENT = 0.1  # of the decisions on golden frames; a few always lie on the edge


@dataclass(frozen=True, slots=True)
class Measured:
    """A variant's figures. `accuracy` is the task's metric on `pictures` that nothing was fitted to; `unanswered` of
    them gave scores that are no numbers. `loss_bound`: how much lower the metric is than the reference's at most, with
    the gate's confidence (by the paired bootstrap over pictures). `differences`: which of the reference's
    `decisions` on golden frames it does not share. `peak_bytes`: memory that a process gains by loading and running
    it."""

    name: str
    bytes: int
    accuracy: float
    p50_ms: float
    p95_ms: float
    unanswered: int = 0
    pictures: int = 0
    loss_bound: float = 0.0
    differences: tuple[str, ...] = ()
    decisions: int = 0
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """`accuracy_margin`: how much worse than the reference is still as good, to be shown with `confidence`
    (one-sided) on at least `min_pictures` pictures; `latency_ratio`: how many times the reference's p50 is still not
    slower; `max_bytes`: of the file (0: none)."""

    accuracy_margin: float = 0.01
    latency_ratio: float = NOT_SLOWER
    confidence: float = 0.9
    min_pictures: int = 50
    max_bytes: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.accuracy_margin < 1 and self.latency_ratio > 0):
            raise ValueError(
                f"need 0 <= accuracy margin < 1 and latency ratio > 0, got {self.accuracy_margin}, {self.latency_ratio}"
            )
        if not (0.5 <= self.confidence < 1 and self.min_pictures >= 1 and self.max_bytes >= 0):
            raise ValueError(
                f"need confidence 0.5..1, pictures from 1 and bytes from 0 on, got {self.confidence}, "
                f"{self.min_pictures} and {self.max_bytes}"
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a variant may ship, and each reason for or against, as a sentence."""

    accepted: bool
    reasons: tuple[str, ...]


def judge(candidate: Measured, reference: Measured, limits: Limits) -> Verdict:
    """May the candidate ship in the reference's place?"""
    if candidate == reference:
        return Verdict(True, ("the reference",))
    checks = (
        _judge_answers(candidate),
        _judge_accuracy(candidate, reference, limits),
        _judge_golden(candidate),
        _judge_speed(candidate, reference, limits.latency_ratio),
        _judge_size(candidate, reference, limits.max_bytes),
    )
    return Verdict(all(passed for passed, _ in checks), tuple(reason for _, reason in checks if reason))


def choose(measured: Sequence[Measured], verdicts: Sequence[Verdict]) -> Measured:
    """The smallest of what the gate lets through and is as fast as the fastest of that; of files that are as small,
    the most accurate."""
    accepted = [figures for figures, verdict in zip(measured, verdicts, strict=True) if verdict.accepted]
    fastest = min(figures.p50_ms for figures in accepted)
    as_fast = [figures for figures in accepted if not is_slower(figures.p50_ms, fastest)]
    smallest = min(figures.bytes for figures in as_fast)
    as_small = [figures for figures in as_fast if figures.bytes <= _AS_SMALL * smallest]
    return max(as_small, key=lambda figures: (figures.accuracy, -figures.bytes, -figures.p50_ms))


def _judge_answers(candidate: Measured) -> tuple[bool, str]:
    if candidate.unanswered:
        return False, f"no finite answer to {candidate.unanswered} pictures"
    return True, ""


def _judge_accuracy(candidate: Measured, reference: Measured, limits: Limits) -> tuple[bool, str]:
    loss, margin = reference.accuracy - candidate.accuracy, limits.accuracy_margin
    if not loss <= margin + 1e-9:  # also when it is nan
        return False, f"accuracy {candidate.accuracy:.3f} is {loss:.3f} below fp32, more than {margin:g}"
    if candidate.pictures < limits.min_pictures:
        return False, (
            f"not proven: {candidate.pictures} pictures show nothing about its accuracy, expected at least "
            f"{limits.min_pictures}"
        )
    if not candidate.loss_bound <= margin + 1e-9:
        return False, (
            f"not proven: on {candidate.pictures} pictures its accuracy may be {candidate.loss_bound:.3f} below fp32 "
            f"({limits.confidence:.0%} confidence), more than {margin:g}; more pictures would tell"
        )
    if loss > 0:
        return True, f"accuracy {loss:.3f} below fp32, within {margin:g}"
    return True, f"accuracy {-loss:.3f} above fp32" if loss < 0 else "accuracy as fp32"


def _judge_golden(candidate: Measured) -> tuple[bool, str]:
    if len(candidate.differences) > _DIFFERENT * candidate.decisions:
        return False, (
            f"decides otherwise than fp32 on golden frames in {len(candidate.differences)} of {candidate.decisions} "
            f"cases, such as {candidate.differences[0]}"
        )
    return True, ""


def _judge_speed(candidate: Measured, reference: Measured, ratio: float) -> tuple[bool, str]:
    took = candidate.p50_ms / reference.p50_ms
    if is_slower(candidate.p50_ms, reference.p50_ms, ratio=ratio):
        return False, f"takes {took:.2f} x the time of fp32 here, more than {ratio:g}"
    return True, f"takes {took:.2f} x the time of fp32"


def _judge_size(candidate: Measured, reference: Measured, max_bytes: int) -> tuple[bool, str]:
    size = candidate.bytes / reference.bytes
    if size >= 1:
        return False, f"is {size:.2f} x the size of fp32: nothing is gained"
    if max_bytes and candidate.bytes > max_bytes:
        return False, f"is {candidate.bytes:,} bytes, more than {max_bytes:,}"
    return True, f"{size:.2f} x the bytes"
