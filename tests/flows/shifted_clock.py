"""`tidegate` on a machine whose clock somebody sets while it runs: `python -m tests.flows.shifted_clock COMMAND ...`.

The file that SHIFTED_CLOCK names holds one float64: the seconds by which wall time is off. Monotonic time stays.
"""

import datetime as datetime_module
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Self

_FLOAT = struct.Struct("d")


def set_clock(file: Path, shift_s: float) -> None:
    """Let the processes on this clock see another time from now on."""
    with file.open("r+b" if file.exists() else "wb") as clock:
        clock.write(_FLOAT.pack(shift_s))


def _shift() -> None:
    with Path(os.environ["SHIFTED_CLOCK"]).open("rb") as file:
        page = mmap.mmap(file.fileno(), _FLOAT.size, access=mmap.ACCESS_READ)
    wall, wall_ns, real = time.time, time.time_ns, datetime_module.datetime

    class Shifted(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: datetime_module.tzinfo | None = None) -> Self:
            return super().now(tz) + datetime_module.timedelta(seconds=_FLOAT.unpack(page)[0])  # type: ignore[no-any-return]

    time.time = lambda: wall() + float(_FLOAT.unpack(page)[0])
    time.time_ns = lambda: wall_ns() + int(_FLOAT.unpack(page)[0] * 1e9)
    datetime_module.datetime = Shifted  # type: ignore[misc]


if __name__ == "__main__":
    _shift()  # before anything of ours, or of a library's, has taken the clock
    import tidegate

    sys.exit(tidegate.main(sys.argv[1:]))
