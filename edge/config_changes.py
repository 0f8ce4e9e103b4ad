"""What a gateway has to open again when its configuration changes. Pure."""

from dataclasses import dataclass, fields, replace
from typing import Protocol

from edge.analytics.config import AnalyticsConfig
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig

# what all the rest is built upon, and what seldom changes: then the gateway ends in order and begins anew
_EVERYTHING = ("model", "trust", "state", "pointers", "package", "allow_unsigned", "spool_limit_bytes", "workers")
_SHIPPING = ("ack_timeout_s", "byte_budget")
_TRIAL = ("keep_s", "latency_budget_ms", "max_slowdown", "memory_limit_bytes")
_CHALLENGER = ("challenger", "challenger_cpu", "challenger_pictures", "shadow_pictures")
_REPORTING = ("window_s", "metrics_port")


class Source(Protocol):
    """Where configurations come from while a gateway runs."""

    def changed(self) -> GatewayConfig | None:
        """The configuration that was given since the last call, None when none was; ConfigError when it makes no
        sense. Asked about once a second by one thread."""
        ...


class _NoNews:
    def changed(self) -> GatewayConfig | None:
        return None


NO_NEWS: Source = _NoNews()


@dataclass(frozen=True, slots=True)
class Changes:
    """`everything`: and then nothing else counts. `uplink` is opened again; so is the `challenger`. What sends, what
    judges models (`trial`) and what reports go on with other figures. The cameras named in `left` are closed, those in
    `came` opened, a camera may be in both; of those in `retold` only what is made of their detections changes."""

    everything: bool = False
    uplink: bool = False
    shipping: bool = False
    trial: bool = False
    challenger: bool = False
    reporting: bool = False
    left: tuple[str, ...] = ()
    came: tuple[CameraConfig, ...] = ()
    retold: tuple[CameraConfig, ...] = ()


def differences(old: GatewayConfig, new: GatewayConfig) -> Changes:
    """The least that has to be done for `new` to be in force where `old` is."""
    before = {camera.name: camera for camera in old.cameras}
    after = {camera.name: camera for camera in new.cameras}
    changed = [(before[name], camera) for name, camera in after.items() if before.get(name, camera) != camera]
    reopened = {camera.name for was, camera in changed if _sees(was) != _sees(camera)}
    # pictures of events and candidates are cut into parts that fit a message
    fits = old.uplink.message_limit_bytes == new.uplink.message_limit_bytes
    retold = {camera.name for _, camera in changed} - reopened
    if not fits:
        retold |= {name for name, camera in after.items() if name in before and _takes_pictures(camera.analytics)}
    blurred = _blurs(old) == _blurs(new)
    return Changes(
        everything=_differ(_EVERYTHING, old, new),
        uplink=old.uplink != new.uplink,
        shipping=_differ(_SHIPPING, old, new),
        trial=_differ(_TRIAL, old, new),
        challenger=_differ(_CHALLENGER, old, new) or not (fits and blurred),
        reporting=_differ(_REPORTING, old, new),
        left=tuple(name for name in before if name not in after or name in reopened),
        came=tuple(camera for name, camera in after.items() if name not in before or name in reopened),
        retold=tuple(camera for name, camera in after.items() if name in retold - reopened),
    )


def changed_keys(old: GatewayConfig, new: GatewayConfig) -> list[str]:
    """The names of the settings that differ; not their values, for cameras have passwords."""
    return [field.name for field in fields(GatewayConfig) if _differ((field.name,), old, new)]


def _differ(names: tuple[str, ...], old: GatewayConfig, new: GatewayConfig) -> bool:
    return any(getattr(old, name) != getattr(new, name) for name in names)


def _sees(camera: CameraConfig) -> CameraConfig:
    """Without what is only made of its detections."""
    return replace(camera, analytics=AnalyticsConfig(), blur=())


def _takes_pictures(analytics: AnalyticsConfig) -> bool:
    kinds = [line.picture for line in analytics.lines] + [zone.picture for zone in analytics.zones]
    return any(kind != "none" for kind in kinds)


def _blurs(config: GatewayConfig) -> dict[str, tuple[str, ...]]:
    """What a candidate for training must not show."""
    return {camera.name: camera.blur for camera in config.cameras if camera.blur}
