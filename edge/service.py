"""A gateway as a systemd service: what its unit allows it, and what has to be there before it starts.

The sandbox is as tight as a program allows that decodes pictures from anywhere and holds the keys to a broker: a user
of its own, nothing to write but its state, no devices but the cameras of this machine, no new privileges.
"""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.cameras.uri import LOCAL
from edge.config import GatewayConfig
from models.errors import ConfigError

UNIT = "tidegate-gateway.service"
USER = "tidegate"
STATE = Path("/var/lib/tidegate")  # what StateDirectory= makes of the name
UNITS = Path("/etc/systemd/system")
USERS = Path("/etc/sysusers.d/tidegate.conf")
_WATCHDOG_S = 120  # twice what a frame may take, and a slow model's warm-up
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))
_VIDEO = ("char-video4linux",)
_PICAMERA = (*_VIDEO, "char-media", "/dev/dma_heap/system", "/dev/dma_heap/linux,cma", "/dev/vchiq", "/dev/vcsm-cma")


@dataclass(frozen=True, slots=True)
class Devices:
    """Which of this machine's devices the gateway may open, and the groups that may."""

    allowed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def devices(config: GatewayConfig) -> Devices:
    """None, unless a camera is on this machine."""
    uris = [camera.uri for camera in config.cameras if camera.uri.startswith(LOCAL)]
    if any(uri.startswith("picamera:") for uri in uris):
        return Devices(_PICAMERA, ("video", "render"))
    return Devices(_VIDEO, ("video",)) if uris else Devices()


def unit(command: Sequence[str], *, folder: Path, devices: Devices) -> str:
    """The unit's text. `command` starts the gateway, with an absolute path; `folder` is where the configuration's paths
    start."""
    return f"""\
[Unit]
Description=tidegate gateway
# neither the network nor the time: without them it looks through its cameras all the same
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={" ".join(map(_quoted, command))}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={_escaped(str(folder))}
Restart=always
RestartSec=5
# trying again mends no configuration: the log says what is wrong, `systemctl restart` tries again
RestartPreventExitStatus={ConfigError.exit_code}
# a new release is verified, optimised for this device and measured before the first frame
TimeoutStartSec=600
TimeoutStopSec=15
WatchdogSec={_WATCHDOG_S}
User={USER}
Group={USER}
StateDirectory={STATE.name}
StateDirectoryMode=0700
UMask=0077
Environment=ORT_DISABLE_TELEMETRY=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
{_devices(devices)}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
PrivateMounts=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
RemoveIPC=yes
LimitCORE=0
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def users() -> str:
    """What systemd-sysusers makes the service's own user of."""
    return f'u {USER} - "tidegate gateway" {STATE}\n'


def check(config: GatewayConfig, config_file: Path, programs: Sequence[Path]) -> None:
    """ConfigError when the service could not see what it needs: paths of the configuration start where its file is."""
    if config.uplink.kind == "ipc":
        raise ConfigError(
            f"{config_file}: uplink kind ipc is for a component that Greengrass starts; a service needs mqtt or aws"
        )
    if config_file.parent / config.state not in (config_file.parent / "state", STATE):
        raise ConfigError(
            f"{config_file}: a service keeps its state in {STATE}; leave out state = {str(config.state)!r}"
        )
    needed = [*(("the program", path) for path in programs), ("the configuration", config_file), *_named(config)]
    if config.package is None:
        needed.append(("the folder of pointers", config.pointers))
    for what, path in needed:
        place = config_file.parent / path
        if any(place.is_relative_to(hidden) for hidden in _HIDDEN):
            raise ConfigError(
                f"{what} {place} lies where the service can't see it ({', '.join(map(str, _HIDDEN))}); move it, the "
                f"program to /opt/tidegate and what it reads to /etc/tidegate"
            )
        if not place.exists():
            raise ConfigError(f"{what} {place} is not there ({config_file}); paths start at {config_file.parent}")


def secrets(config: GatewayConfig, config_file: Path) -> list[Path]:
    """Files that the service's user must be able to read and nobody else should: passwords of cameras, the key.

    ConfigError for anything else that user can't read: whose it is, is not ours to change.
    """
    folder = config_file.parent
    _check_way(config_file)
    found = [config_file]
    for what, path in _named(config):
        place = folder / path
        _check_way(place)
        if what == "key" and place.is_relative_to(folder):
            found.append(place)
        elif not all(_is_open(part) for part in _parts(place)):
            raise ConfigError(
                f"{what} {place} can't be read by user {USER}; `chmod -R o+rX` it, or put it into {folder}"
            )
    return found


def _named(config: GatewayConfig) -> Iterator[tuple[str, Path]]:
    """What the configuration names and must be there."""
    models = [*(() if config.allow_unsigned else (config.model,)), *((config.challenger,) if config.challenger else ())]
    for model in models:
        yield "root of trust", config.trust / f"{model}.root.json"
    if config.package is not None:
        yield "package", config.package
    for camera in config.cameras:
        if not camera.is_live:
            yield f"camera {camera.name}", Path(camera.uri.removeprefix("file://"))
    for what in ("ca", "certificate", "key"):
        path = getattr(config.uplink, what)
        if path is not None:
            yield what, path


def _check_way(place: Path) -> None:
    """ConfigError when a folder above it is closed to others."""
    for parent in place.parents:
        if not parent.stat().st_mode & stat.S_IXOTH:
            raise ConfigError(f"{place} can't be reached by user {USER}: `chmod o+x {parent}`")


def _parts(place: Path) -> Iterator[Path]:
    yield place
    if place.is_dir():
        yield from place.rglob("*")


def _is_open(path: Path) -> bool:
    mode = path.stat().st_mode
    return bool(mode & stat.S_IROTH) and (not stat.S_ISDIR(mode) or bool(mode & stat.S_IXOTH))


def _devices(devices: Devices) -> str:
    if not devices.allowed:
        return "PrivateDevices=yes"
    allowed = "\n".join(f"DeviceAllow={_escaped(device)} rw" for device in devices.allowed)
    return f"DevicePolicy=closed\n{allowed}\nSupplementaryGroups={' '.join(devices.groups)}"


def _quoted(word: str) -> str:
    """As systemd reads a word of a command line (systemd.service(5)): % and $ mean something to it."""
    escaped = _escaped(word).replace("$", "$$")
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"' if set(word) & set(" \t\"'\\;") else escaped


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
