"""A bad post for messages, in simulated time: each may get lost, be late, arrive twice, or be overtaken by others."""

import heapq
import itertools
import random
from dataclasses import dataclass

from models.mqtt import Message


@dataclass
class Knobs:
    """May be turned at any time, and hold for what is sent from then on. `loss`, `doubled` and `overtaken` are parts
    (0..1) of the messages; one that is overtaken is up to `overtaken_s` later than it would have been, and of one that
    is `damaged` a bit is turned, which no checksum on the way noticed."""

    delay_s: float = 0.0
    loss: float = 0.0
    doubled: float = 0.0
    overtaken: float = 0.0
    overtaken_s: float = 5.0
    damaged: float = 0.0


class BadPost:
    """One direction. `sent`, `lost` and `delivered` count messages."""

    def __init__(self, *, seed: int = 0) -> None:
        self.knobs = Knobs()
        self.sent = 0
        self.lost = 0
        self.delivered = 0
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._under_way: list[tuple[float, int, Message]] = []

    def send(self, message: Message, now_s: float) -> None:
        self.sent += 1
        for _ in range(2 if self._random.random() < self.knobs.doubled else 1):
            if self._random.random() < self.knobs.loss:
                self.lost += 1
                continue
            late_s = self.knobs.delay_s
            if self._random.random() < self.knobs.overtaken:
                late_s += self._random.uniform(0, self.knobs.overtaken_s)
            damaged = self._random.random() < self.knobs.damaged
            posted = _damage(message, self._random) if damaged else message
            # the running number keeps messages of one moment in order, and heapq from comparing them
            heapq.heappush(self._under_way, (now_s + late_s, next(self._numbers), posted))

    def arrived(self, now_s: float) -> list[Message]:
        """What has arrived by now, in the order in which it did."""
        found = []
        while self._under_way and self._under_way[0][0] <= now_s:
            found.append(heapq.heappop(self._under_way)[2])
        self.delivered += len(found)
        return found


def _damage(message: Message, chance: random.Random) -> Message:
    """One bit of the last three quarters is turned."""
    payload = bytearray(message.payload)
    if payload:
        payload[chance.randrange(len(payload) // 4, len(payload))] ^= 1 << chance.randrange(8)
    return Message(message.topic, bytes(payload))
