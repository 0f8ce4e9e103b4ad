"""The gate: which variants may be signed, and why. Pure: figures in, verdict out."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """A variant's figures. `accuracy` is the task's metric on pictures that nothing was fitted to; `unanswered` of
    them gave scores that are no numbers."""

    name: str
    bytes: int
    accuracy: float
    p50_ms: float
    p95_ms: float
    unanswered: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """`accuracy_margin`: how much worse than the reference is still as good; `latency_ratio`: how many times the
    reference's p50 is still not slower (two medians of the same thing differ by a few percent)."""

    accuracy_margin: float = 0.01
    latency_ratio: float = 1.05

    def __post_init__(self) -> None:
        if not (0 <= self.accuracy_margin < 1 and self.latency_ratio > 0):
            raise ValueError(
                f"need 0 <= accuracy margin < 1 and latency ratio > 0, got {self.accuracy_margin}, {self.latency_ratio}"
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
        _judge_accuracy(candidate, reference, limits.accuracy_margin),
        _judge_speed(candidate, reference, limits.latency_ratio),
        _judge_size(candidate, reference),
    )
    return Verdict(all(passed for passed, _ in checks), tuple(reason for _, reason in checks if reason))


def choose(measured: Sequence[Measured], verdicts: Sequence[Verdict]) -> Measured:
    """The fastest of what the gate lets through; of equally fast ones the smallest."""
    accepted = [figures for figures, verdict in zip(measured, verdicts, strict=True) if verdict.accepted]
    return min(accepted, key=lambda figures: (figures.p50_ms, figures.bytes))


def _judge_answers(candidate: Measured) -> tuple[bool, str]:
    if candidate.unanswered:
        return False, f"no finite answer to {candidate.unanswered} pictures"
    return True, ""


def _judge_accuracy(candidate: Measured, reference: Measured, margin: float) -> tuple[bool, str]:
    loss = reference.accuracy - candidate.accuracy
    if not loss <= margin + 1e-9:  # also when it is nan
        return False, f"accuracy {candidate.accuracy:.3f} is {loss:.3f} below fp32, more than {margin:g}"
    if loss > 0:
        return True, f"accuracy {loss:.3f} below fp32, within {margin:g}"
    return True, f"accuracy {-loss:.3f} above fp32" if loss < 0 else "accuracy as fp32"


def _judge_speed(candidate: Measured, reference: Measured, ratio: float) -> tuple[bool, str]:
    took = candidate.p50_ms / reference.p50_ms
    if not took <= ratio:
        return False, f"takes {took:.2f} x the time of fp32 here, more than {ratio:g}"
    return True, f"takes {took:.2f} x the time of fp32"


def _judge_size(candidate: Measured, reference: Measured) -> tuple[bool, str]:
    size = candidate.bytes / reference.bytes
    if size >= 1:
        return False, f"is {size:.2f} x the size of fp32: nothing is gained"
    return True, f"{size:.2f} x the bytes"
