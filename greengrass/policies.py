"""How a deployment is carried out: what a device does about it, and how fast it reaches the devices of a group.

Field by field what Greengrass' `deploymentPolicies` and `iotJobConfiguration` take, checked before AWS is asked.
"""

from dataclasses import dataclass
from typing import Any, Literal

from models.errors import UsageError


@dataclass(frozen=True, slots=True)
class Policies:
    """What each device does. `on_failure` and the notices are honoured by the Java nucleus; lite neither goes back nor
    tells components, which is why a roll-out reverts by itself."""

    on_failure: Literal["ROLLBACK", "DO_NOTHING"] = "ROLLBACK"
    update: Literal["NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"] = "NOTIFY_COMPONENTS"
    update_timeout_s: int = 60  # how long components may put an update off, each time they are asked
    validation_timeout_s: int = 60

    def __post_init__(self) -> None:
        for name in ("update_timeout_s", "validation_timeout_s"):
            value = getattr(self, name)
            if not 1 <= value <= 86_400:
                raise UsageError(f"{name} must be in 1..86400 seconds, got {value}")

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "failureHandlingPolicy": self.on_failure,
            "componentUpdatePolicy": {"action": self.update, "timeoutInSeconds": self.update_timeout_s},
            "configurationValidationPolicy": {"timeoutInSeconds": self.validation_timeout_s},
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """How a deployment reaches a group: `per_minute` devices are told (None: all at once); once `abort_after` devices
    have finished and `abort_percent` of those have failed, it is canceled for the others; a device that works on it
    for more than `timeout_minutes` has failed."""

    per_minute: int | None = None
    abort_percent: float | None = None
    abort_after: int = 1
    timeout_minutes: int | None = None

    def __post_init__(self) -> None:
        checks = (
            ("per_minute", self.per_minute, 1, 1000),
            ("abort_percent", self.abort_percent, 0.01, 100),
            ("abort_after", self.abort_after, 1, 100_000),
            ("timeout_minutes", self.timeout_minutes, 1, 10_080),  # IoT Jobs': seven days
        )
        for name, value, least, most in checks:
            if value is not None and not least <= value <= most:
                raise UsageError(f"{name} must be in {least}..{most}, got {value}")

    def document(self) -> dict[str, Any]:
        """As the API has it; empty where nothing was asked for."""
        found: dict[str, Any] = {}
        if self.per_minute is not None:
            found["jobExecutionsRolloutConfig"] = {"maximumPerMinute": self.per_minute}
        if self.abort_percent is not None:
            criterion = {
                "failureType": "ALL",
                "action": "CANCEL",
                "thresholdPercentage": float(self.abort_percent),
                "minNumberOfExecutedThings": self.abort_after,
            }
            found["abortConfig"] = {"criteriaList": [criterion]}
        if self.timeout_minutes is not None:
            found["timeoutConfig"] = {"inProgressTimeoutInMinutes": self.timeout_minutes}
        return found
