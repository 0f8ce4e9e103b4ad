"""Acknowledgements by AWS IoT's HTTPS API, for an ingest without a broker connection. boto3's iot-data lives here.

Many at once, since each takes a round trip. None of them matters much: a gateway that is not told sends again.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.errors import UplinkError
from models.mqtt import Message

log = logging.getLogger(__name__)

_AT_ONCE = 32
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 3},
    connect_timeout=3,
    read_timeout=5,
    max_pool_connections=_AT_ONCE,
)


class AcksByApi:
    """cloud.ingest.worker.Link whose messages wait for `send`. UplinkError where the AWS_* variables do not do."""

    def __init__(self) -> None:
        try:
            self._client = boto3.client("iot-data", config=_CONFIG)
        except (BotoCoreError, ValueError) as exc:
            raise UplinkError(f"AWS IoT cannot be used: {exc}; check the AWS_* variables") from exc
        self._waiting: dict[str, list[bytes]] = {}

    def receive(self, timeout_s: float) -> Message | None:
        """Nothing ever comes in this way."""
        return None

    def publish(self, topic: str, payload: bytes) -> None:
        """Have the message wait for `send`."""
        self._waiting.setdefault(topic, []).append(payload)

    def send(self, *, within_s: float) -> int:
        """Send what waits, each topic's in order; to how many topics not all were, within this time or at all. What was
        not is forgotten."""
        topics, self._waiting = self._waiting, {}
        pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="acks")
        sending = [pool.submit(self._send, topic, payloads) for topic, payloads in topics.items()]
        done, late = wait(sending, timeout=max(0.0, within_s))
        pool.shutdown(wait=False, cancel_futures=True)
        errors = [error for future in done if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, ClientError | BotoCoreError):
                raise error
        if untold := len(late) + len(errors):
            why = str(errors[0]) if errors else f"no answer within {within_s:.0f} s"
            log.warning("%d of %d gateway(s) were not told; they send again: %s", untold, len(topics), why)
        return untold

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _send(self, topic: str, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            # QoS 1 would have each gateway confirm each of them, which AWS counts as one message more
            self._client.publish(topic=topic, qos=0, payload=payload)
