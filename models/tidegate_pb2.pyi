from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Batch(_message.Message):
    __slots__ = ("box_scale", "score_scale", "cameras", "models", "frames", "health", "tombstones", "health_seq")
    BOX_SCALE_FIELD_NUMBER: _ClassVar[int]
    SCORE_SCALE_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SEQ_FIELD_NUMBER: _ClassVar[int]
    box_scale: int
    score_scale: int
    cameras: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    frames: Frames
    health: _containers.RepeatedCompositeFieldContainer[Health]
    tombstones: _containers.RepeatedCompositeFieldContainer[Tombstone]
    health_seq: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, box_scale: _Optional[int] = ..., score_scale: _Optional[int] = ..., cameras: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., frames: _Optional[_Union[Frames, _Mapping]] = ..., health: _Optional[_Iterable[_Union[Health, _Mapping]]] = ..., tombstones: _Optional[_Iterable[_Union[Tombstone, _Mapping]]] = ..., health_seq: _Optional[_Iterable[int]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "release", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: str
        def __init__(self, key: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    release: int
    labels: _containers.ScalarMap[int, str]
    def __init__(self, name: _Optional[str] = ..., release: _Optional[int] = ..., labels: _Optional[_Mapping[int, str]] = ...) -> None: ...

class Frames(_message.Message):
    __slots__ = ("seq", "camera", "model", "frame", "captured_at_us", "detections", "class_id", "track", "score", "x1", "y1", "width", "height")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    CLASS_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    seq: _containers.RepeatedScalarFieldContainer[int]
    camera: _containers.RepeatedScalarFieldContainer[int]
    model: _containers.RepeatedScalarFieldContainer[int]
    frame: _containers.RepeatedScalarFieldContainer[int]
    captured_at_us: _containers.RepeatedScalarFieldContainer[int]
    detections: _containers.RepeatedScalarFieldContainer[int]
    class_id: _containers.RepeatedScalarFieldContainer[int]
    track: _containers.RepeatedScalarFieldContainer[int]
    score: _containers.RepeatedScalarFieldContainer[int]
    x1: _containers.RepeatedScalarFieldContainer[int]
    y1: _containers.RepeatedScalarFieldContainer[int]
    width: _containers.RepeatedScalarFieldContainer[int]
    height: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seq: _Optional[_Iterable[int]] = ..., camera: _Optional[_Iterable[int]] = ..., model: _Optional[_Iterable[int]] = ..., frame: _Optional[_Iterable[int]] = ..., captured_at_us: _Optional[_Iterable[int]] = ..., detections: _Optional[_Iterable[int]] = ..., class_id: _Optional[_Iterable[int]] = ..., track: _Optional[_Iterable[int]] = ..., score: _Optional[_Iterable[int]] = ..., x1: _Optional[_Iterable[int]] = ..., y1: _Optional[_Iterable[int]] = ..., width: _Optional[_Iterable[int]] = ..., height: _Optional[_Iterable[int]] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("at_us", "window_s", "model", "release", "digest", "variant", "frames_seen", "frames_inferred", "frames_skipped", "frames_missed", "p50_ms", "p95_ms", "memory_bytes", "errors", "last_error", "score_histogram", "class_mix", "detections", "camera_state", "spool_records", "spool_bytes", "swaps", "failed_release", "records_dropped", "batches_refused")
    class ClassMixEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AT_US_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SEEN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_INFERRED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_MISSED_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    SCORE_HISTOGRAM_FIELD_NUMBER: _ClassVar[int]
    CLASS_MIX_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    CAMERA_STATE_FIELD_NUMBER: _ClassVar[int]
    SPOOL_RECORDS_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    SWAPS_FIELD_NUMBER: _ClassVar[int]
    FAILED_RELEASE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_DROPPED_FIELD_NUMBER: _ClassVar[int]
    BATCHES_REFUSED_FIELD_NUMBER: _ClassVar[int]
    at_us: int
    window_s: float
    model: str
    release: int
    digest: str
    variant: str
    frames_seen: int
    frames_inferred: int
    frames_skipped: int
    frames_missed: int
    p50_ms: float
    p95_ms: float
    memory_bytes: int
    errors: int
    last_error: str
    score_histogram: _containers.RepeatedScalarFieldContainer[int]
    class_mix: _containers.ScalarMap[str, int]
    detections: int
    camera_state: str
    spool_records: int
    spool_bytes: int
    swaps: int
    failed_release: str
    records_dropped: int
    batches_refused: int
    def __init__(self, at_us: _Optional[int] = ..., window_s: _Optional[float] = ..., model: _Optional[str] = ..., release: _Optional[int] = ..., digest: _Optional[str] = ..., variant: _Optional[str] = ..., frames_seen: _Optional[int] = ..., frames_inferred: _Optional[int] = ..., frames_skipped: _Optional[int] = ..., frames_missed: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., errors: _Optional[int] = ..., last_error: _Optional[str] = ..., score_histogram: _Optional[_Iterable[int]] = ..., class_mix: _Optional[_Mapping[str, int]] = ..., detections: _Optional[int] = ..., camera_state: _Optional[str] = ..., spool_records: _Optional[int] = ..., spool_bytes: _Optional[int] = ..., swaps: _Optional[int] = ..., failed_release: _Optional[str] = ..., records_dropped: _Optional[int] = ..., batches_refused: _Optional[int] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("first", "last", "reason")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    reason: str
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("frame", "health", "tombstone")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_FIELD_NUMBER: _ClassVar[int]
    frame: FrameRow
    health: Health
    tombstone: Tombstone
    def __init__(self, frame: _Optional[_Union[FrameRow, _Mapping]] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., tombstone: _Optional[_Union[Tombstone, _Mapping]] = ...) -> None: ...

class FrameRow(_message.Message):
    __slots__ = ("camera", "frame", "captured_at_us", "model", "release", "labels", "class_id", "track", "score", "x1", "y1", "width", "height")
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CLASS_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    camera: str
    frame: int
    captured_at_us: int
    model: str
    release: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    class_id: _containers.RepeatedScalarFieldContainer[int]
    track: _containers.RepeatedScalarFieldContainer[int]
    score: _containers.RepeatedScalarFieldContainer[int]
    x1: _containers.RepeatedScalarFieldContainer[int]
    y1: _containers.RepeatedScalarFieldContainer[int]
    width: _containers.RepeatedScalarFieldContainer[int]
    height: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, camera: _Optional[str] = ..., frame: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., model: _Optional[str] = ..., release: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., class_id: _Optional[_Iterable[int]] = ..., track: _Optional[_Iterable[int]] = ..., score: _Optional[_Iterable[int]] = ..., x1: _Optional[_Iterable[int]] = ..., y1: _Optional[_Iterable[int]] = ..., width: _Optional[_Iterable[int]] = ..., height: _Optional[_Iterable[int]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("streams",)
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    streams: _containers.RepeatedCompositeFieldContainer[StreamAck]
    def __init__(self, streams: _Optional[_Iterable[_Union[StreamAck, _Mapping]]] = ...) -> None: ...

class StreamAck(_message.Message):
    __slots__ = ("stream", "last", "refused")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    stream: int
    last: int
    refused: _containers.RepeatedCompositeFieldContainer[Tombstone]
    def __init__(self, stream: _Optional[int] = ..., last: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[Tombstone, _Mapping]]] = ...) -> None: ...
