"""Results to put into a lake, and what is in it, counted by a way of its own."""

from collections import Counter
from datetime import UTC, datetime

from cloud.lake.lake import Lake
from cloud.lake.place import Where
from cloud.lake.runs import Run
from models.batch import batch_of
from models.columns import Columns
from models.detections import Detections
from models.health import Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Record, Tombstone
from models.wire import decode_columns, encode_batch, open_envelope, seal

STREAM = "00000000000000a1"
OTHER_STREAM = "00000000000000b2"
AT = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
CAPTURED_US = 1_795_000_000_000_000


def frame(number: int, *, detections: int | None = None, camera: str = "belt") -> FrameResult:
    """Frame `number` with (by default) 0, 1 or 2 detections, all of it told by the number."""
    n = number % 3 if detections is None else detections
    boxes = [(number % 500 + k, 10, number % 500 + k + 40.25, 60) for k in range(n)]
    found = Detections.of(boxes, [0.8] * n, [k % 2 for k in range(n)])
    labels = tuple(("good", "defect")[k % 2] for k in range(n))
    return FrameResult.of(camera, number, (CAPTURED_US + number) * 1000, "belt", 1, found, labels)


def health(at_us: int = CAPTURED_US, **fields: object) -> Health:
    return Health(at_us=at_us, window_s=5.0, model="belt", release=1, digest="d" * 64, variant="int8", **fields)  # type: ignore[arg-type]


def event(number: int = 1, **fields: object) -> Event:
    """A thing that came into a zone at frame `number`."""
    return Event("belt", number, CAPTURED_US + number, "enter", "zone", label="good", track=number, **fields)  # type: ignore[arg-type]


def aggregate(minute: int = 0, **fields: object) -> Aggregate:
    return Aggregate(
        "belt",
        CAPTURED_US + minute * 60_000_000,
        60.0,
        "",
        "good",
        900,
        1800,
        tracks=7,
        most=3,
        model="belt",
        **fields,  # type: ignore[arg-type]
    )


def picture(number: int = 1, *, parts: int = 1, data: bytes = b"\xff\xd8\xff picture") -> list[PicturePart]:
    """A snapshot of frame `number`, in parts."""
    size = -(-len(data) // parts)
    return [
        PicturePart(
            *(
                f"{number:016x}",
                part,
                parts,
                "belt",
                number,
                CAPTURED_US + number,
                "snapshot",
                (0.0, 0.0, 640.0, 480.0),
            ),
            data[part * size : (part + 1) * size],
        )
        for part in range(parts)
    ]


def frames_message(first: int, last: int, *, stream: str = STREAM) -> bytes:
    """The message with frames first..last, frame `n` being record `n`."""
    return message([frame(seq) for seq in range(first, last + 1)], first=first, stream=stream)


def message(records: list[Record], *, first: int = 1, stream: str = STREAM) -> bytes:
    return encode_batch(batch_of(stream, first, records))


def bad_message(first: int, last: int, *, stream: str = STREAM) -> bytes:
    """A valid envelope around a body that is none."""
    return seal(stream, first, last, b"this is not zstandard")


def columns(records: list[Record], *, first: int = 1, stream: str = STREAM) -> Columns:
    return decode_columns(open_envelope(message(records, first=first, stream=stream)))


def run_of(records: list[Record], *, first: int = 1, stream: str = STREAM, gateway: str = "gw-1") -> Run:
    return Run(gateway, (columns(records, first=first, stream=stream),))


def frames_run(first: int, last: int, *, stream: str = STREAM, gateway: str = "gw-1") -> Run:
    return run_of([frame(seq) for seq in range(first, last + 1)], first=first, stream=stream, gateway=gateway)


def lost(first: int, last: int) -> Tombstone:
    return Tombstone(first, last, "spool full")


def in_lake(lake: Where, where: str = "true") -> Counter[tuple[str, str, int]]:
    """How often each record (gateway, stream, seq) is in the lake, in whatever table."""
    numbered = " UNION ALL ".join(
        f"SELECT gateway, stream, seq AS first, seq AS last FROM {table} WHERE {where}"
        for table in ("frames", "health", "events", "aggregates", "pictures")
    )
    rows = Lake(lake).query(f"{numbered} UNION ALL SELECT gateway, stream, first, last FROM losses WHERE {where}")
    count: Counter[tuple[str, str, int]] = Counter()
    for row in rows.to_pylist():
        count.update((row["gateway"], row["stream"], seq) for seq in range(row["first"], row["last"] + 1))
    return count


def seqs_in_lake(lake: Where, *, gateway: str = "gw-1", stream: str = STREAM) -> list[int]:
    """The seqs of one stream in the lake, in order, each as often as it is there."""
    records = in_lake(lake, f"gateway = '{gateway}' AND stream = '{stream}'")
    return sorted(seq for _, _, seq in records.elements())
