"""What AWS IoT's rule hands on to Kinesis of a gateway's message, and back. Pure.

A payload of ours is no JSON, and a rule may either hand it on as it is, without its topic, or as text within a JSON
object. The topic is what vouches for the gateway's name, so it is the latter: a third more bytes on the way to Kinesis.
https://docs.aws.amazon.com/iot/latest/developerguide/binary-payloads.html
"""

import base64
import json

from models.errors import WireError
from models.mqtt import Message
from models.topics import SHARDS, results_filters

SQL = f"SELECT encode(*, 'base64') AS data, topic() AS topic FROM '{results_filters(range(SHARDS))[0]}'"
SQL_VERSION = "2016-03-23"
# a gateway's messages go to one shard of the stream, and stay in order
PARTITION_KEY = "${topic(5)}"


def record_of(message: Message) -> bytes:
    """What the rule makes of a message."""
    data = base64.b64encode(message.payload).decode()
    return json.dumps({"data": data, "topic": message.topic}, separators=(",", ":")).encode()


def message_of(record: bytes) -> Message:
    """The message that the rule made this record of; WireError for what it cannot have made."""
    try:
        told = json.loads(record)
        return Message(str(told["topic"]), base64.b64decode(told["data"], validate=True))
    # RecursionError: "[[[[..."; binascii.Error is a ValueError
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise WireError(
            f"not a record of the rule: expected JSON with `data` and `topic`, got {record[:40]!r} "
            f"({type(exc).__name__}); does something else write to the stream?"
        ) from exc
