"""What a stack is made for."""

import re
from dataclasses import dataclass

from models.errors import UsageError

ARCHITECTURES = ("x86_64", "arm64")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Settings:
    """`shards` of Kinesis: each takes 1 MB/s, and is one invocation of the function at a time. `gather_s`: for how long
    messages are gathered into one commit; gateways must wait longer than that for an acknowledgement (`ack_timeout_s`).
    `email`: who hears of alarms. `architecture`: of the functions, whose image is built for it. UsageError."""

    name: str = "tidegate"
    shards: int = 1
    gather_s: int = 5
    email: str = ""
    architecture: str = "x86_64"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"--name must be 2..32 of a-z 0-9 -, beginning with a letter, got {self.name!r}")
        if not 1 <= self.shards <= 64:
            raise UsageError(f"--shards must be in 1..64, got {self.shards}")
        if not 0 <= self.gather_s <= 300:
            raise UsageError(f"--gather-s must be in 0..300 s, which is what Lambda takes, got {self.gather_s}")
        if self.email and not re.fullmatch(r"[^@\s]+@[^@\s]+", self.email):
            raise UsageError(f"--email must be an address like ops@example.com, got {self.email!r}")
        if self.architecture not in ARCHITECTURES:
            raise UsageError(f"--architecture must be {' or '.join(ARCHITECTURES)}, got {self.architecture!r}")
