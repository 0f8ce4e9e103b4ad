"""What a gateway says of itself to those on its own machine: `tidegate gateway status` and Prometheus."""

from dataclasses import dataclass

from models.health import Health


@dataclass(frozen=True, slots=True)
class Overview:
    """`window` is the reports of the last window (none in the first), `total` all since the process started, with
    `inference_s` spent in the model; p50, p95 and challenge in it are the last window's."""

    window: tuple[Health, ...]
    total: Health
    inference_s: float
