"""Addresses of cameras: which kinds there are, and how one is printed."""

import re
from urllib.parse import urlsplit

LIVE = ("http://", "https://", "rtsp://", "rtsps://", "usb:", "/dev/video", "picamera:")
TLS = ("https://", "rtsps://")
LOCAL = ("usb:", "/dev/video", "picamera:")
_LOCAL = re.compile(r"(usb:|/dev/video|picamera:)\d{1,3}")
_USER = re.compile(r"(?<=://)(.*)@", re.DOTALL)  # to the last @: people forget to write %40 and %2F
_QUERY = re.compile(r"(?<=[?&])([^=&#]*)=([^&#]*)")
# cameras from everywhere take a password in the path: /user=admin_password=secret_channel=1
_SECRET = re.compile(r"(?i)((?:pass|pwd|token|secret|auth|key)[a-z]*=)[^&/?#_]*")


def is_live(uri: str) -> bool:
    """Whether it shows what is now, and not a recording."""
    return uri.startswith(LIVE)


def local_index(uri: str) -> int:
    """Which camera of this machine: 0 for usb:0, /dev/video0 or picamera:0."""
    return int(uri.rpartition(":")[2].removeprefix("/dev/video"))


def complaint(uri: str) -> str:
    """What is wrong with it, in words that a password is not among; empty where nothing is."""
    if not uri:
        return "uri must not be empty; expected a file, a folder, http://, rtsp://, usb:0 or picamera:0"
    if "://" in uri and not uri.startswith((*LIVE, "file://")):
        return f"uri must be a file, a folder, http://, rtsp://, usb:0 or picamera:0, got {public(uri)!r}"
    if uri.startswith(LOCAL) and not _LOCAL.fullmatch(uri):
        return f"uri must be like usb:0, /dev/video0 or picamera:0, got {uri!r}"
    if "://" in uri and not _is_well_formed(uri):
        return "uri is not well-formed; expected e.g. rtsp://192.0.2.7:554/stream"
    return ""


def public(uri: str) -> str:
    """The URI as it may be printed: without passwords, and without what else of it might be a secret."""
    if "://" not in uri:
        return uri
    return _SECRET.sub(r"\1***", _QUERY.sub(r"\1=***", _USER.sub(_without_password, uri)))


def _without_password(match: re.Match[str]) -> str:
    user, colon, _ = match.group(1).partition(":")
    return f"{user}:***@" if colon else "***@"


def _is_well_formed(uri: str) -> bool:
    """Whether it can be taken apart, which a bracket too few or a port out of range prevents."""
    try:
        urlsplit(uri).port  # noqa: B018  reading it is the check
    except ValueError:
        return False
    return True
