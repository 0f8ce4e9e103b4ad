"""Listening beside ingest: the bytes that gateways put on the wire, and what the same results weigh as JSON."""

import gzip
import json
import threading
from dataclasses import dataclass, field

from models.errors import WireError
from models.mqtt import Broker, Connection
from models.records import FrameResult
from models.topics import SHARDS, parse_results_topic, results_filter
from models.wire import decode_batch


@dataclass(slots=True)
class Traffic:
    """What one gateway sent: messages; bytes (topic included) of those with frames in them, and of those
    without; the frames and detections; and the bytes of the same frames as one JSON message a frame, and as one gzipped
    JSON message a batch."""

    messages: int = 0
    bytes: int = 0
    health_bytes: int = 0
    frames: int = 0
    detections: int = 0
    json_bytes: int = 0
    json_gzip_bytes: int = 0


@dataclass(slots=True)
class Tap:
    """A second reader of the results, on a thread of its own until `close`."""

    broker: Broker
    traffic: dict[str, Traffic] = field(default_factory=dict)
    _connection: Connection = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        filters = [results_filter(shard) for shard in range(SHARDS)]
        self._connection = Connection(self.broker, client_id="tap", subscriptions=filters)
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._connection.close()
        self._thread.join()

    def _run(self) -> None:
        for message in self._connection.messages():
            try:
                gateway = parse_results_topic(message.topic).gateway
                batch = decode_batch(message.payload)
            except WireError:
                continue  # ingest's business; the tap only weighs
            seen = self.traffic.setdefault(gateway, Traffic())
            documents = [_document(gateway, result) for _, result in batch.frames]
            seen.messages += 1
            size = len(message.topic) + len(message.payload)
            if documents:
                seen.bytes += size
            else:
                seen.health_bytes += size
            seen.frames += len(batch.frames)
            seen.detections += sum(len(result.detections) for _, result in batch.frames)
            seen.json_bytes += sum(len(json.dumps(document)) + len(message.topic) for document in documents)
            if documents:
                seen.json_gzip_bytes += len(gzip.compress(json.dumps(documents).encode())) + len(message.topic)


def _document(gateway: str, result: FrameResult) -> dict[str, object]:
    found = result.detections
    return {
        "gateway": gateway,
        "camera": result.camera,
        "frame": result.frame,
        "captured_at_us": result.captured_at_us,
        "model": result.model,
        "release": result.release,
        "detections": [
            {"label": label, "score": round(float(score), 3), "box": [round(float(edge), 1) for edge in box]}
            for label, score, box in zip(result.labels, found.scores, found.xyxy, strict=True)
        ],
    }
