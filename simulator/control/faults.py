"""What may go wrong at the control plane on purpose, by operation."""

import fnmatch
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simulator.control.answers import ACCOUNT
from simulator.restjson import ApiError

Kind = Literal["throttle", "deny", "fail", "lose", "delay"]


@dataclass(frozen=True, slots=True)
class Fault:
    """`operation` is a name or a pattern (`Create*`, `*`); `share` of its calls are hit, the first `times` at most.

    throttle: refused as too many. deny: refused for want of a permission. fail: the service has an internal error.
    lose: it is done, but the answer never arrives. delay: it takes `delay_s` longer (which the others may, too).
    """

    operation: str
    kind: Kind
    share: float = 1.0
    times: int | None = None
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in 0..1, got {self.share}")


class Faults:
    """The faults in force; any thread may add some or take them away."""

    def __init__(self, *, seed: int = 0, sleep: Callable[[float], None] = time.sleep) -> None:
        self._random = random.Random(seed)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._left: list[tuple[Fault, int | None]] = []  # how often each may strike yet
        self.struck: dict[str, int] = {}  # operation -> how many of its calls were hit

    def inject(self, *faults: Fault) -> None:
        """From now on these, too."""
        with self._lock:
            self._left += [(fault, fault.times) for fault in faults]

    def withdraw(self, fault: Fault) -> None:
        """From now on without this one; others stay."""
        with self._lock:
            self._left = [(other, left) for other, left in self._left if other is not fault]

    def clear(self) -> None:
        """From now on none."""
        with self._lock:
            self._left.clear()
            self.struck.clear()

    def strike(self, operation: str) -> Fault | None:
        """The fault that hits this call, if any, after its delay."""
        with self._lock:
            fault = self._choose(operation)
            if fault is not None:
                self.struck[operation] = self.struck.get(operation, 0) + 1
        if fault is not None and fault.delay_s:
            self._sleep(fault.delay_s)
        return fault

    def _choose(self, operation: str) -> Fault | None:
        for position, (fault, left) in enumerate(self._left):
            if left == 0 or not fnmatch.fnmatchcase(operation, fault.operation):
                continue
            if fault.share < 1 and self._random.random() >= fault.share:
                continue
            self._left[position] = (fault, None if left is None else left - 1)
            return fault
        return None


def refusal(fault: Fault, service: str, operation: str, region: str) -> ApiError | None:
    """The error that the service answers with; None where it does what it was asked for."""
    if fault.kind == "throttle":
        return ApiError("ThrottlingException", "Rate exceeded", status=429)
    if fault.kind == "fail":
        return ApiError("InternalServerException", "asked to fail", status=500)
    if fault.kind == "deny":
        # word for word as AWS has it: people, and we, look for the permission in it
        return ApiError(
            "AccessDeniedException",
            f"User: arn:aws:iam::{ACCOUNT}:user/operator is not authorized to perform: {service}:{operation} on "
            f"resource: arn:aws:{service}:{region}:{ACCOUNT}:* because no identity-based policy allows the "
            f"{service}:{operation} action",
            status=403,
        )
    return None
