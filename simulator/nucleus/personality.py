"""What one nucleus does differently from another: its limits, its timing and its answers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Personality:
    """Figures as measured on the real nucleus, where a comment does not say otherwise."""

    name: str
    version: str  # what components see as GGC_VERSION
    runtime: str  # what a manifest's Platform may ask for, besides "*"
    operations: frozenset[str]  # IPC operations it knows; any other is a ServiceError
    frame_limit_bytes: int  # of an IPC frame; a longer one closes the connection
    unacknowledged_messages: int  # QoS 1 messages that the broker has not answered yet; one more is a ServiceError
    unacknowledged_bytes: int
    inbound_limit_bytes: int  # topic and payload from IoT Core; a longer message is lost without a word
    topic_bytes: int  # IoT Core's own limits
    topic_slashes: int
    errors_to_broken: int  # within error_window_s
    error_window_s: float
    restart_delay_s: float  # not measured
    stop_grace_s: float  # between SIGTERM and SIGKILL
    settle_s: float  # a component that has run for so long counts as started; not measured
    deployment_timeout_s: float
    keep_old_s: float  # how long an old version's files outlive the deployment that replaced it


LITE = Personality(
    name="lite",
    version="2.6.0",
    runtime="aws_nucleus_lite",
    operations=frozenset(
        (
            "GetConfiguration",
            "PublishToIoTCore",
            "PublishToTopic",
            "SubscribeToConfigurationUpdate",
            "SubscribeToIoTCore",
            "SubscribeToTopic",
            "UpdateConfiguration",
            "UpdateState",
        )
    ),
    frame_limit_bytes=10_000,
    unacknowledged_messages=10,
    unacknowledged_bytes=15_000,
    inbound_limit_bytes=5_000,
    topic_bytes=256,
    topic_slashes=7,
    errors_to_broken=3,
    error_window_s=3600.0,
    restart_delay_s=1.0,
    stop_grace_s=5.0,
    settle_s=1.0,
    deployment_timeout_s=300.0,
    keep_old_s=5.0,
)
