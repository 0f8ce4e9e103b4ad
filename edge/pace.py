"""A pace for what is in no hurry."""


class Pace:
    """A token bucket: `bytes_per_s` on the average, at most a second's worth at once. Times in seconds, of any clock
    that does not jump."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._room = bytes_per_s
        self._at = float("-inf")

    def allows(self, now: float) -> bool:
        """Whether something may go now, however large it is; the debt is paid off before the next."""
        self._room = min(self._bytes_per_s, self._room + (now - self._at) * self._bytes_per_s)
        self._at = now
        return self._room > 0

    def take(self, size: int) -> None:
        """Count bytes that went."""
        self._room -= size
