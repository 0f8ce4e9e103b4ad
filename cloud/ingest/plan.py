"""What to commit, refuse and acknowledge, decided from what the lake holds and what has just come in. No I/O.

Per stream: what the lake has already is trimmed off; nothing is taken past a gap (the gateway sends again from its
acknowledged record on); a batch whose body cannot be read is refused, so that it cannot block its stream for ever.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloud.lake.runs import Run, StreamKey
from models.columns import Columns, no_frames
from models.errors import WireError
from models.records import Tombstone
from models.wire import Envelope, StreamAck, decode_all, encode_acks

MAX_REASON = 80  # characters of an error that go into the lake and back to the gateway
MAX_REFUSED_IN_ACK = 16  # the others are rows in `losses`, and only there
# nucleus lite silently loses inbound messages of more than about 5,000 bytes
MAX_ACK_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message with a whole envelope, from a gateway for whose name the broker vouches."""

    gateway: str
    envelope: Envelope

    @property
    def key(self) -> StreamKey:
        return StreamKey(self.gateway, self.envelope.stream)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Records of a stream that are lost because a message that held them cannot be read."""

    arrival: Arrival
    tombstone: Tombstone


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """`runs` to commit, at most one a stream; the refusals among them; every stream that was heard of, whose
    gateways get an acknowledgement whether it brought something new or not."""

    runs: tuple[Run, ...]
    refusals: tuple[Refusal, ...]
    heard: tuple[StreamKey, ...]


def plan(arrivals: Iterable[Arrival], last: Callable[[StreamKey], int]) -> Plan:
    """What to do about a round of arrivals, in whatever order they came; `last` says what the lake holds."""
    by_stream: dict[StreamKey, list[Arrival]] = {}
    for arrival in arrivals:
        by_stream.setdefault(arrival.key, []).append(arrival)
    done = {key: last(key) for key in by_stream}
    fresh = {
        arrival.envelope: arrival
        for key, together in by_stream.items()
        for arrival in within_reach(done[key], together)
    }
    # all at once: see decode_all
    decoded = dict(zip(fresh, decode_all(list(fresh)), strict=True))
    runs: list[Run] = []
    refusals: list[Refusal] = []
    for key in sorted(by_stream, key=str):  # a gateway's rows lie together in the lake's files
        run, refused = extend(done[key], by_stream[key], decoded)
        runs += [run] if run is not None else []
        refusals += refused
    return Plan(tuple(runs), tuple(refusals), tuple(by_stream))


def within_reach(done: int, arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Those of one stream that end after `done` and have no gap before them, as their envelopes say: the others are not
    worth being read."""
    found, reach = [], done
    for arrival in sorted(arrivals, key=_first):
        if arrival.envelope.first > reach + 1:
            break
        if arrival.envelope.last > done:
            found.append(arrival)
            reach = max(reach, arrival.envelope.last)
    return found


def extend(
    done: int, arrivals: Sequence[Arrival], decoded: Mapping[Envelope, Columns | WireError]
) -> tuple[Run | None, list[Refusal]]:
    """The longest run from `done` + 1 on that these arrivals of one stream give, and what of it had to be refused.
    `decoded`: of each envelope within reach.

    Where messages overlap, readable ones go first: a record is refused only if no message brings it readable.
    """
    fresh = {arrival.envelope: arrival for arrival in within_reach(done, arrivals)}
    readable: list[Columns] = []
    unreadable: list[tuple[Arrival, str]] = []
    for envelope, arrival in fresh.items():
        batch = decoded[envelope]
        if isinstance(batch, WireError):
            unreadable.append((arrival, str(batch)[:MAX_REASON]))
        else:
            readable.append(batch)
    taken: list[Columns] = []
    refusals: list[Refusal] = []
    while True:
        fitting = [batch for batch in readable if batch.first <= done + 1 and batch.last > done]
        if fitting:
            taken.append(max(fitting, key=_last).after(done))
            done = taken[-1].last
            continue
        broken = [item for item in unreadable if item[0].envelope.first <= done + 1 and item[0].envelope.last > done]
        if not broken:
            break
        arrival, reason = min(broken, key=lambda item: item[0].envelope.last)
        refusals.append(Refusal(arrival, Tombstone(done + 1, arrival.envelope.last, f"refused: {reason}")))
        taken.append(_lost(arrival.envelope.stream, refusals[-1].tombstone))
        done = taken[-1].last
    return (Run(arrivals[0].gateway, tuple(taken)) if taken else None), refusals


def acknowledge(done: Plan, last: Callable[[StreamKey], int]) -> dict[str, list[bytes]]:
    """The messages that tell each gateway what of the streams heard of is in the lake, after the commit."""
    refused: dict[StreamKey, list[Tombstone]] = {}
    for refusal in done.refusals:
        if refusal.tombstone.last <= last(refusal.arrival.key):
            refused.setdefault(refusal.arrival.key, []).append(refusal.tombstone)
    messages: dict[str, list[bytes]] = {}
    for gateway, keys in _by_gateway(done.heard).items():
        acks = [StreamAck(key.stream, last(key), tuple(refused.get(key, ())[:MAX_REFUSED_IN_ACK])) for key in keys]
        messages[gateway] = _in_messages(acks)
    return messages


def _first(arrival: Arrival) -> int:
    return arrival.envelope.first


def _last(batch: Columns) -> int:
    return batch.last


def _lost(stream: str, tombstone: Tombstone) -> Columns:
    return Columns(stream, tombstone.first, tombstone.last, no_frames(), tombstones=(tombstone,))


def _by_gateway(keys: Iterable[StreamKey]) -> dict[str, list[StreamKey]]:
    gateways: dict[str, list[StreamKey]] = {}
    for key in keys:
        gateways.setdefault(key.gateway, []).append(key)
    return gateways


def _in_messages(acks: Sequence[StreamAck]) -> list[bytes]:
    messages, size = [], 0
    pending: list[StreamAck] = []
    for ack in acks:
        ack_bytes = len(encode_acks([ack]))
        if pending and size + ack_bytes > MAX_ACK_BYTES:
            messages.append(encode_acks(pending))
            pending, size = [], 0
        pending.append(ack)
        size += ack_bytes
    return [*messages, encode_acks(pending)] if pending else messages
