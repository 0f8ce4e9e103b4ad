"""`tidegate ingest` with a pipe for a broker: `python -m tests.cloud.ingest.piped_ingest LAKE`.

Messages come in on stdin and acknowledgements go out on stdout, each as: topic length, payload length, topic, payload.
Every message is committed by itself, so that a kill finds it in the middle of a commit.
"""

import os
import struct
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink
from greengrass.objects import DiskStore
from models.mqtt import Message

_HEAD = struct.Struct(">HI")


def write_message(file: IO[bytes], message: Message) -> None:
    topic = message.topic.encode()
    file.write(_HEAD.pack(len(topic), len(message.payload)) + topic + message.payload)
    file.flush()


def read_message(file: IO[bytes]) -> Message | None:
    """None at the end, also in the middle of a message."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    topic_bytes, payload_bytes = _HEAD.unpack(head)
    topic, payload = file.read(topic_bytes), file.read(payload_bytes)
    return Message(topic.decode(), payload) if len(payload) == payload_bytes else None


@dataclass(frozen=True)
class Pipe:
    """cloud.ingest.worker.Link on stdin and stdout."""

    def receive(self, timeout_s: float) -> Message | None:
        message = read_message(sys.stdin.buffer)
        if message is None:
            os._exit(0)
        return message

    def publish(self, topic: str, payload: bytes) -> None:
        write_message(sys.stdout.buffer, Message(topic, payload))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    pictures = Pictures(DiskStore(folder / "objects"))
    quarantine = Quarantine(DiskStore(folder / "quarantine"))
    Ingest(Pipe(), DeltaSink(folder), quarantine, pictures, commit_s=0).run(threading.Event())
