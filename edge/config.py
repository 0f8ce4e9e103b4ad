"""A gateway's configuration: every value with its unit, its default and its range."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge.byte_budget import ByteBudget
from edge.cameras.config import CameraConfig
from models.manifest import NAME

DEFAULT_LIMIT_BYTES = {
    "ipc": 5_000,  # nucleus lite loses what is larger on the way in, and it is one billing unit of AWS IoT Core
    "aws": 128 * 1024,  # what AWS IoT Core takes
    "mqtt": 128 * 1024,
}
DEFAULT_STATE = Path("state")
MAX_CAMERAS = 32  # a health message that names them all fits a message of nucleus lite
MAX_WORKERS = 3  # more frames under way than a camera keeps pictures for would be overwritten


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """`kind`: "ipc" through the Greengrass nucleus, "aws" straight to AWS IoT Core (MQTT 5) and "mqtt" to any broker
    (MQTT 3.1.1) at `host`:`port`. `ca` verifies the broker, `certificate` and `key` (PEM) are the gateway's.
    `limit_bytes` bounds a message with its topic; the default is 5,000 for ipc and 131,072 otherwise."""

    kind: Literal["ipc", "aws", "mqtt"] = "ipc"
    host: str = ""
    port: int = 8883
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port must be in 1..65535, got {self.port}")
        if self.limit_bytes is not None and not 1_000 <= self.limit_bytes <= 128 * 1024:
            raise ValueError(f"limit_bytes must be in 1000..131072, got {self.limit_bytes}")

    @property
    def message_limit_bytes(self) -> int:
        return self.limit_bytes or DEFAULT_LIMIT_BYTES[self.kind]

    @property
    def described(self) -> str:
        """How it may be printed."""
        return f"{self.kind} {self.host}:{self.port}" if self.host else self.kind


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`window_s`: results and health are sent that often, results earlier when a message is full. `trust` holds
    `<model>.root.json`. `state` is the gateway's own folder (spool, model store). Under `pointers` the component
    tidegate.Model.<model> leaves its pointer; `package` is used instead where there is no Greengrass, and may be an
    unsigned run folder if `allow_unsigned`. `spool_limit_bytes` bounds the results that wait for the cloud. For
    `keep_s` after a swap the model before stays ready to take over again, and does when the new one raises, takes
    more than `latency_budget_ms` a frame (without that: more than `max_slowdown` times what the one before took) or
    brings the gateway's memory over `memory_limit_bytes` (without that: leaves the machine too little). What the
    cloud has not acknowledged `ack_timeout_s` after it was sent, or after as long as it usually takes, is sent again;
    `byte_budget` bounds what a day or a month sends. `workers` frames are inferred side by side, each on one core. The
    model `challenger`, which has a pointer and a root of trust of its own, is compared with the running one on as many
    frames as the part `challenger_cpu` of one core is enough for; at most `challenger_pictures` a day of what they see
    differently leave. The same part of a core is for a release of `model` that was deployed to look on, with
    `shadow_pictures` a day. Prometheus is answered at `metrics_port` of this machine itself; 0: it is not."""

    model: str
    cameras: tuple[CameraConfig, ...]
    window_s: float = 60.0
    trust: Path = Path("trust")
    state: Path = DEFAULT_STATE
    pointers: Path = Path("..")
    package: Path | None = None
    allow_unsigned: bool = False
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    spool_limit_bytes: int = 256 << 20
    keep_s: float = 600.0
    latency_budget_ms: float | None = None
    max_slowdown: float = 2.0
    memory_limit_bytes: int | None = None
    challenger: str | None = None
    challenger_cpu: float = 0.1
    challenger_pictures: int = 0
    shadow_pictures: int = 120
    ack_timeout_s: float = 10.0
    byte_budget: ByteBudget | None = None
    workers: int = 1
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.model):
            raise ValueError(f"model must be lower-case letters, digits and dashes (at most 63), got {self.model!r}")
        names = [camera.name for camera in self.cameras]
        if not names:
            raise ValueError("cameras must name at least one camera")
        if len(names) > MAX_CAMERAS:
            raise ValueError(
                f"cameras must be at most {MAX_CAMERAS}, got {len(names)}; start another gateway beside it"
            )
        if len(set(names)) != len(names):
            raise ValueError(f"cameras must have different names, got {', '.join(names)}")
        if not 0.1 <= self.window_s <= 3600:
            raise ValueError(f"window_s must be in 0.1..3600, got {self.window_s:g}")
        if not 1 << 20 <= self.spool_limit_bytes <= 1 << 40:
            raise ValueError(f"spool_limit_bytes must be at least {1 << 20} (1 MiB), got {self.spool_limit_bytes}")
        if not 0 <= self.keep_s <= 86_400:
            raise ValueError(f"keep_s must be in 0..86400, got {self.keep_s:g}")
        if self.latency_budget_ms is not None and not 0.1 <= self.latency_budget_ms <= 60_000:
            raise ValueError(f"latency_budget_ms must be in 0.1..60000, got {self.latency_budget_ms:g}")
        if not 1.1 <= self.max_slowdown <= 1000:
            raise ValueError(f"max_slowdown must be in 1.1..1000, got {self.max_slowdown:g}")
        if self.memory_limit_bytes is not None and not 1 << 20 <= self.memory_limit_bytes <= 1 << 50:
            raise ValueError(f"memory_limit_bytes must be at least {1 << 20} (1 MiB), got {self.memory_limit_bytes}")
        if self.challenger is not None and not NAME.fullmatch(self.challenger):
            raise ValueError(f"challenger must be lower-case letters, digits and dashes, got {self.challenger!r}")
        if self.challenger == self.model:
            raise ValueError(
                f"challenger must be another model than {self.model!r}: its releases come by its own pointer"
            )
        if not 0.001 <= self.challenger_cpu <= 1:
            raise ValueError(f"challenger_cpu must be in 0.001..1, got {self.challenger_cpu:g}")
        if not 0 <= self.challenger_pictures <= 100_000:
            raise ValueError(f"challenger_pictures must be in 0..100000 a day, got {self.challenger_pictures}")
        if not 0 <= self.shadow_pictures <= 100_000:
            raise ValueError(f"shadow_pictures must be in 0..100000 a day, got {self.shadow_pictures}")
        if not 0.1 <= self.ack_timeout_s <= 600:
            raise ValueError(f"ack_timeout_s must be in 0.1..600, got {self.ack_timeout_s:g}")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"workers must be in 1..{MAX_WORKERS}, got {self.workers}")
        if self.metrics_port and not 1024 <= self.metrics_port <= 65535:
            raise ValueError(f"metrics_port must be 0 or in 1024..65535, got {self.metrics_port}")
        if self.allow_unsigned and self.package is None:
            raise ValueError("allow_unsigned is for a package folder given as `package`; set both or neither")
