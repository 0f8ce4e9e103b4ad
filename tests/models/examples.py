"""Records and batches of every shape, for the laws that hold for all of them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from models.batch import Batch, batch_of
from models.detections import Detections
from models.health import CameraHealth, Challenge, Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Record, Tombstone

MAX_SEQ = 2**62
NAMES = st.sampled_from(["line-1", "line-2", "läger", "x" * 60])
MODELS = st.sampled_from([("parts", 1), ("parts", 2), ("coco", 7)])


@st.composite
def detections(draw: st.DrawFn) -> Detections:
    """As a gateway sees them: in any order, tracked or not, boxes anywhere."""
    n = draw(st.integers(0, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    corners = rng.uniform(-20, 4000, (n, 4))
    return Detections(
        xyxy=corners.astype(np.float32),
        scores=rng.uniform(0, 1, n).astype(np.float32),
        class_ids=rng.integers(0, draw(st.sampled_from([1, 3, 2**32 - 1])), n),
        tracks=rng.integers(0, draw(st.sampled_from([1, 4, 2**62])), n),
    )


@st.composite
def frame_results(draw: st.DrawFn) -> FrameResult:
    found = draw(detections())
    name, release = draw(MODELS)
    return FrameResult.of(
        camera=draw(NAMES),
        frame=draw(st.one_of(st.integers(0, 1000), st.integers(0, 2**63 - 1))),
        captured_at_ns=draw(st.integers(0, 2**62)),
        model=name,
        release=release,
        found=found,
        labels=tuple(f"{name} {class_id}" for class_id in found.class_ids.tolist()),
        steady_ns=draw(st.sampled_from([0, 10**9, 10**15 + 999])),
    )


@st.composite
def healths(draw: st.DrawFn) -> Health:
    count = st.integers(0, 2**63 - 1)
    name, release = draw(MODELS)
    amount = st.floats(0, 1e9, allow_nan=False)
    return Health(
        at_us=draw(st.integers(0, 2**52)),
        window_s=draw(amount),
        model=name,
        release=release,
        digest=draw(st.text("0123456789abcdef", max_size=64)),
        variant="int8",
        frames_seen=draw(count),
        p50_ms=draw(amount),
        p95_ms=draw(amount),
        memory_bytes=draw(count),
        last_error=draw(st.text(max_size=40)),
        score_histogram=tuple(draw(st.lists(st.integers(0, 2**32 - 1), min_size=10, max_size=10))),
        class_mix=draw(st.dictionaries(st.text(max_size=5), st.integers(0, 2**32 - 1), max_size=3)),
        temperature_c=draw(st.floats(-40, 110)),
        configuration_refused=draw(st.text(max_size=9)),
        cameras=tuple(draw(st.lists(st.builds(CameraHealth, NAMES, st.just("dark"), seen=count), max_size=2))),
        challenge=draw(st.none() | st.builds(Challenge, st.just("parts"), st.just(9), st.just("ef"), matched=count)),
    )


_MOMENTS = st.integers(0, 2**52)
_NUMBERS = st.integers(0, 2**63 - 1)
_EDGES = st.tuples(*[st.floats(-20, 5000, width=32)] * 4)


@st.composite
def events(draw: st.DrawFn) -> Event:
    name, release = draw(MODELS)
    return Event(
        camera=draw(NAMES),
        frame=draw(_NUMBERS),
        at_us=draw(_MOMENTS),
        kind=draw(st.sampled_from(["line", "enter", "leave", "dwell", "count", "camera"])),
        rule=draw(st.text(max_size=9)),
        label=draw(st.text(max_size=9)),
        track=draw(_NUMBERS),
        value=draw(st.floats(-1e9, 1e9)),
        alarm=draw(st.booleans()),
        score=draw(st.floats(0, 1, width=32)),
        xyxy=draw(_EDGES),
        model=name,
        release=release,
        picture=draw(st.sampled_from(["", "00000000000000ff"])),
    )


@st.composite
def aggregates(draw: st.DrawFn) -> Aggregate:
    name, release = draw(MODELS)
    return Aggregate(
        camera=draw(NAMES),
        start_us=draw(_MOMENTS),
        length_s=draw(st.floats(0, 3600)),
        zone=draw(st.text(max_size=9)),
        label=draw(st.text(max_size=9)),
        frames=draw(_NUMBERS),
        detections=draw(_NUMBERS),
        tracks=draw(_NUMBERS),
        most=draw(_NUMBERS),
        model=name,
        release=release,
    )


@st.composite
def picture_parts(draw: st.DrawFn) -> PicturePart:
    parts = draw(st.integers(1, 4096))
    return PicturePart(
        picture=f"{draw(st.integers(0, 2**64 - 1)):016x}",
        part=draw(st.integers(0, parts - 1)),
        parts=parts,
        camera=draw(NAMES),
        frame=draw(_NUMBERS),
        at_us=draw(_MOMENTS),
        kind=draw(st.sampled_from(["snapshot", "crop", "disagreement"])),
        xyxy=draw(_EDGES),
        data=draw(st.binary(max_size=50)),
    )


def records() -> st.SearchStrategy[Record]:
    """All kinds but tombstones, which take as many numbers as they cover."""
    return st.one_of(frame_results(), healths(), events(), aggregates(), picture_parts())


@st.composite
def batches(draw: st.DrawFn, of: st.SearchStrategy[Record] | None = None) -> Batch:
    """Any run of records, tombstones among them."""
    first = draw(st.one_of(st.integers(1, 1000), st.integers(1, MAX_SEQ // 2)))
    kept: list[Record] = []
    seq = first
    frame, other = frame_results(), records() if of is None else of
    for kind in draw(st.lists(st.sampled_from("fffoot"), min_size=1, max_size=12)):
        if kind == "t":
            last = seq + draw(st.sampled_from([0, 1, 500, MAX_SEQ // 100]))
            kept.append(Tombstone(seq, last, draw(st.text(max_size=20))))
        else:
            last = seq
            kept.append(draw(frame if kind == "f" else other))
        seq = last + 1
    return batch_of(f"{draw(st.integers(0, 2**64 - 1)):016x}", first, kept)


def old_batches() -> st.SearchStrategy[Batch]:
    """Of what gateways of version 1 knew."""
    return batches(of=healths())


def plain(value: Any) -> Any:
    """Records and batches with detections as lists, so that == compares what is in them."""
    if isinstance(value, Detections):
        return [column.tolist() for column in (value.xyxy, value.scores, value.class_ids, value.tracks)]
    if isinstance(value, FrameResult):
        return [plain(getattr(value, name)) for name in FrameResult.__dataclass_fields__]
    if isinstance(value, Batch):
        return [plain(getattr(value, name)) for name in Batch.__dataclass_fields__]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
