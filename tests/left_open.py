"""Whoever leaves a socket open is told, at the end of that very test: else some other test's garbage collection finds
it, in another file, once in a while."""

import gc
import warnings
from pathlib import Path

_FILES = Path("/proc/self/fd")
# paho forgets its socket when a TLS handshake fails (pyproject.toml says the same of the warning)
_FORGIVEN = "unclosed <ssl.SSLSocket"


class LeftOpen:
    """What of this process' sockets is new and belongs to nobody any more. Looks for garbage only where there are new
    ones, so it costs nothing elsewhere; without /proc it finds nothing."""

    def __init__(self) -> None:
        self._known = self._known_before_file = sockets()

    def after_test(self, *, ends_file: bool) -> list[str]:
        """Sockets that nobody can close any more; at the end of a file also those that were still held, by a thread
        perhaps, when their test ended."""
        known = self._known_before_file if ends_file else self._known
        left = _collected() if sockets() - known else []
        self._known = sockets()
        if ends_file:
            self._known_before_file = self._known
        return left


def sockets() -> set[str]:
    """Of this process, each by its inode."""
    found = set()
    for file in _FILES.iterdir() if _FILES.is_dir() else ():
        try:
            target = str(file.readlink())
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:"):
            found.add(target)
    return found


def _collected() -> list[str]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    messages = [str(warning.message) for warning in said if issubclass(warning.category, ResourceWarning)]
    return [message for message in messages if not message.startswith(_FORGIVEN)]
