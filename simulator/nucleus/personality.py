"""What one nucleus does differently from another: its limits, its timing, its answers and how it updates.

Everything that differs is a field here, and a row of tests/simulator/nucleus/test_operations.py or test_updates.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Personality:
    """Figures as measured on the real nucleus lite, or read in the source of the Java nucleus, where a comment does
    not say otherwise."""

    name: str
    version: str  # what components see as GGC_VERSION

    # IPC
    operations: frozenset[str]  # that it knows; any other is a ServiceError
    frame_limit_bytes: int  # of an IPC frame; a longer one closes the connection
    terminates_answers: bool  # whether an answer to what is no subscription carries flag 2 and ends its stream
    names_message: bool  # whether errors carry `message`, which the SDK knows, beside `_message`, which it does not
    answers_bad_token: bool  # with an ack that accepts nothing, before the connection is closed
    echoes_on_wildcards: bool  # whether a local subscription with wildcards hears what its own component publishes

    # to and from IoT Core
    payload_limit_bytes: int  # a longer message is a ServiceError
    spool_bytes: int  # in memory, for what the broker has not taken; 0: there is none, and no broker is a ServiceError
    unacknowledged_messages: int  # QoS 1, under way to the broker; one more waits in the spool, or is a ServiceError
    unacknowledged_bytes: int
    inbound_limit_bytes: int  # topic and payload; a longer message is lost without a word
    topic_bytes: int  # IoT Core's own limits
    topic_slashes: int

    # recipes
    runtime: str  # what a manifest's Platform may ask for, besides "*"
    needs_runtime: bool  # a manifest that names no runtime is not taken
    matches_patterns: bool  # whether a Platform may be a /regular expression/
    knows_dependencies: bool  # {other.component:artifacts:path} and the like; elsewhere it makes a component BROKEN
    full_lifecycle: bool  # shutdown, recover and Skipif
    artifact_mode: int  # permission bits of an artifact whose recipe says nothing
    every_brace_counts: (
        bool  # as the beginning of a variable, the shell's own too: one that it does not know is an error
    )
    quotes_environment: bool  # elsewhere Setenv is written into the script as it is, and a shell reads it
    install_timeout_s: float | None  # None: as the recipe says
    configuration_bytes: int  # of one component, as JSON; 0: no limit
    configuration_values: int

    # updates
    installs_beside: bool  # while the old version runs; elsewhere that is stopped first
    restarts_for_configuration: bool  # alone; elsewhere only where what it runs, or its environment, changes with it
    rolls_back: bool  # a deployment that failed and asks for it
    waits_for_install_only: bool  # for a component without run and startup, until the deployment times out

    # timing
    errors_to_broken: int  # within error_window_s
    error_window_s: float
    restart_delay_s: float  # not measured
    stop_grace_s: float  # between SIGTERM and SIGKILL
    settle_s: float  # a component that has run for so long counts as started; not measured
    deployment_timeout_s: float
    keep_old_s: float  # how long an old version's files outlive the deployment that replaced it


_BOTH = frozenset(
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
)

LITE = Personality(
    name="lite",
    version="2.6.0",
    operations=_BOTH,
    frame_limit_bytes=10_000,
    terminates_answers=False,
    names_message=False,
    answers_bad_token=False,
    echoes_on_wildcards=True,
    payload_limit_bytes=128 * 1024,
    spool_bytes=0,
    unacknowledged_messages=10,
    unacknowledged_bytes=15_000,
    inbound_limit_bytes=5_000,
    topic_bytes=256,
    topic_slashes=7,
    runtime="aws_nucleus_lite",
    needs_runtime=True,
    matches_patterns=False,
    knows_dependencies=False,
    full_lifecycle=False,
    artifact_mode=0o755,
    every_brace_counts=True,
    quotes_environment=False,
    install_timeout_s=300.0,
    configuration_bytes=10_000,  # between its daemons; what is around a configuration is not counted here
    configuration_values=200,
    installs_beside=True,
    restarts_for_configuration=True,
    rolls_back=False,
    waits_for_install_only=True,
    errors_to_broken=3,
    error_window_s=3600.0,
    restart_delay_s=1.0,
    stop_grace_s=5.0,
    settle_s=1.0,
    deployment_timeout_s=300.0,
    keep_old_s=5.0,
)

JAVA = Personality(
    name="java",
    version="2.15.0",
    operations=_BOTH
    | {
        "DeferComponentUpdate",
        "DeleteThingShadow",
        "GetComponentDetails",
        "GetSecretValue",
        "GetThingShadow",
        "ListComponents",
        "ListNamedShadowsForThing",
        "PauseComponent",
        "PutComponentMetric",
        "RestartComponent",
        "SendConfigurationValidityReport",
        "ResumeComponent",
        "StopComponent",
        "SubscribeToComponentUpdates",
        "SubscribeToValidateConfigurationUpdates",
        "UpdateThingShadow",
    },
    frame_limit_bytes=16 << 20,  # the event-stream library's own
    terminates_answers=True,
    names_message=True,
    answers_bad_token=True,
    echoes_on_wildcards=False,
    payload_limit_bytes=128 * 1024,
    spool_bytes=2_621_440,  # 2.5 MiB
    unacknowledged_messages=5,
    unacknowledged_bytes=2_621_440,
    inbound_limit_bytes=128 * 1024 + 256,  # all that IoT Core sends
    topic_bytes=256,
    topic_slashes=7,
    runtime="aws_nucleus_classic",  # what it calls itself is not documented: only "*" is asked for
    needs_runtime=False,
    matches_patterns=True,
    knows_dependencies=True,
    full_lifecycle=True,
    artifact_mode=0o440,
    every_brace_counts=False,
    quotes_environment=True,
    install_timeout_s=None,
    configuration_bytes=0,
    configuration_values=0,
    installs_beside=False,
    restarts_for_configuration=False,
    rolls_back=True,
    waits_for_install_only=False,
    errors_to_broken=3,
    error_window_s=3600.0,
    restart_delay_s=1.0,
    stop_grace_s=5.0,
    settle_s=1.0,
    deployment_timeout_s=86_400.0,  # its steps have time-outs, the whole has none
    keep_old_s=5.0,  # not measured
)

PERSONALITIES = {"java": JAVA, "lite": LITE}
