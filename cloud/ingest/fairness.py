"""What one gateway may take of ingest, so that a broken or hostile one costs the others nothing.

What is turned away is not acknowledged, so that the gateway sends it again: an honest one with a long backlog is only
slowed down. How many messages a connection may send at all is the broker's to limit.
"""

from dataclasses import dataclass, field

# Of one gateway in one round of a few seconds.
MAX_MESSAGES = 256
MAX_BODY_BYTES = 4 << 20  # decompressed: a bomb costs its sender
# A gateway opens a few streams when it starts and after an outage; each stays in Delta's log for a year.
NEW_STREAMS_AT_ONCE = 64
NEW_STREAM_EVERY_S = 30.0


@dataclass(slots=True)
class RoundAllowance:
    """What each gateway has used of one round."""

    messages: dict[str, int] = field(default_factory=dict)
    body_bytes: dict[str, int] = field(default_factory=dict)

    def take(self, gateway: str, body_bytes: int) -> bool:
        """True if the gateway may have this message looked at in this round."""
        messages = self.messages.get(gateway, 0) + 1
        total = self.body_bytes.get(gateway, 0) + body_bytes
        if messages > MAX_MESSAGES or total > MAX_BODY_BYTES:
            return False
        self.messages[gateway] = messages
        self.body_bytes[gateway] = total
        return True


@dataclass(slots=True)
class StreamAllowance:
    """How many streams each gateway may open: a token bucket each. Times are seconds of any steady clock."""

    _tokens: dict[str, tuple[float, float]] = field(default_factory=dict)  # gateway -> tokens left, as of when

    def take(self, gateway: str, now_s: float) -> bool:
        """True if the gateway may open one more."""
        tokens, as_of_s = self._tokens.get(gateway, (float(NEW_STREAMS_AT_ONCE), now_s))
        tokens = min(NEW_STREAMS_AT_ONCE, tokens + (now_s - as_of_s) / NEW_STREAM_EVERY_S)
        if tokens < 1:
            return False
        self._tokens[gateway] = (tokens - 1, now_s)
        return True
