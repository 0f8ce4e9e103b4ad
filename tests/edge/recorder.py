"""A process to be killed: records numbered frames and events into a spool, hands some on to a lake that is a file, and
says on its standard output what it was told is on disk.

    python recorder.py SPOOL LAKE SEED
"""

import os
import random
import sys
from pathlib import Path

from edge.spool import Spool
from models.detections import Detections
from models.records import Event, FrameResult, Tombstone


def main(path: Path, lake: Path, seed: int) -> None:
    chance = random.Random(seed)
    with Spool(path, commit_s=0.01) as spool, lake.open("a") as file:
        number = spool.last_frame("belt", source="/belt.mp4") + 1
        while True:
            for _ in range(chance.randrange(1, 40)):
                found = Detections.of([(number % 50, 2, 300, 400)], [0.5], [0])
                frame = FrameResult.of("belt", number, 1_000_000 + number, "coco", 1, found, ("thing",))
                event = Event("belt", number, 1, "line", "fence", alarm=number % 50 == 0)
                spool.append(frame, *([event] if number % 10 == 0 else []))
                number += 1
            if chance.random() < 0.5:
                spool.flush()
                os.write(1, f"{number}\n".encode())
            if chance.random() < 0.1:
                spool.turn()
            for stream in spool.streams():
                if chance.random() < 0.4:
                    hand_on(spool, stream.name, stream.acked, chance.randrange(1, 60), file.fileno())


def hand_on(spool: Spool, stream: str, acked: int, limit: int, lake: int) -> None:
    """What a cloud would do: keep the records, then say so."""
    last = acked
    lines = []
    for seq, record in spool.read(stream, after=acked, limit=limit):
        if isinstance(record, Tombstone):
            raise SystemExit(f"a tombstone, though nothing was given up: {record}")
        assert isinstance(record, FrameResult | Event)
        lines.append(f"{stream} {seq} {type(record).__name__} {record.frame}\n")
        last = seq
    os.write(lake, "".join(lines).encode())
    spool.acknowledge(stream, last)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
