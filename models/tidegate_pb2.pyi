from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Batch(_message.Message):
    __slots__ = ("box_scale", "score_scale", "cameras", "models", "frames_by_row", "health", "tombstones", "health_seq", "events", "event_seq", "aggregates", "aggregate_seq", "pictures", "picture_seq", "frames")
    BOX_SCALE_FIELD_NUMBER: _ClassVar[int]
    SCORE_SCALE_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_BY_ROW_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONES_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    EVENT_SEQ_FIELD_NUMBER: _ClassVar[int]
    AGGREGATES_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_SEQ_FIELD_NUMBER: _ClassVar[int]
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    PICTURE_SEQ_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    box_scale: int
    score_scale: int
    cameras: _containers.RepeatedScalarFieldContainer[str]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    frames_by_row: FramesByRow
    health: _containers.RepeatedCompositeFieldContainer[Health]
    tombstones: _containers.RepeatedCompositeFieldContainer[Tombstone]
    health_seq: _containers.RepeatedScalarFieldContainer[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    event_seq: _containers.RepeatedScalarFieldContainer[int]
    aggregates: _containers.RepeatedCompositeFieldContainer[Aggregate]
    aggregate_seq: _containers.RepeatedScalarFieldContainer[int]
    pictures: _containers.RepeatedCompositeFieldContainer[PicturePart]
    picture_seq: _containers.RepeatedScalarFieldContainer[int]
    frames: FramesByTrack
    def __init__(self, box_scale: _Optional[int] = ..., score_scale: _Optional[int] = ..., cameras: _Optional[_Iterable[str]] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., frames_by_row: _Optional[_Union[FramesByRow, _Mapping]] = ..., health: _Optional[_Iterable[_Union[Health, _Mapping]]] = ..., tombstones: _Optional[_Iterable[_Union[Tombstone, _Mapping]]] = ..., health_seq: _Optional[_Iterable[int]] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., event_seq: _Optional[_Iterable[int]] = ..., aggregates: _Optional[_Iterable[_Union[Aggregate, _Mapping]]] = ..., aggregate_seq: _Optional[_Iterable[int]] = ..., pictures: _Optional[_Iterable[_Union[PicturePart, _Mapping]]] = ..., picture_seq: _Optional[_Iterable[int]] = ..., frames: _Optional[_Union[FramesByTrack, _Mapping]] = ...) -> None: ...

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

class FramesByTrack(_message.Message):
    __slots__ = ("seq", "camera", "model", "frame", "captured_at_us", "clock_offset_us", "period_us", "line_camera", "track", "class_id", "runs", "start", "length", "score", "x1", "y1", "x2", "y2")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_US_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_US_FIELD_NUMBER: _ClassVar[int]
    PERIOD_US_FIELD_NUMBER: _ClassVar[int]
    LINE_CAMERA_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    CLASS_ID_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    seq: _containers.RepeatedScalarFieldContainer[int]
    camera: _containers.RepeatedScalarFieldContainer[int]
    model: _containers.RepeatedScalarFieldContainer[int]
    frame: _containers.RepeatedScalarFieldContainer[int]
    captured_at_us: _containers.RepeatedScalarFieldContainer[int]
    clock_offset_us: _containers.RepeatedScalarFieldContainer[int]
    period_us: _containers.RepeatedScalarFieldContainer[int]
    line_camera: _containers.RepeatedScalarFieldContainer[int]
    track: _containers.RepeatedScalarFieldContainer[int]
    class_id: _containers.RepeatedScalarFieldContainer[int]
    runs: _containers.RepeatedScalarFieldContainer[int]
    start: _containers.RepeatedScalarFieldContainer[int]
    length: _containers.RepeatedScalarFieldContainer[int]
    score: _containers.RepeatedScalarFieldContainer[int]
    x1: _containers.RepeatedScalarFieldContainer[int]
    y1: _containers.RepeatedScalarFieldContainer[int]
    x2: _containers.RepeatedScalarFieldContainer[int]
    y2: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seq: _Optional[_Iterable[int]] = ..., camera: _Optional[_Iterable[int]] = ..., model: _Optional[_Iterable[int]] = ..., frame: _Optional[_Iterable[int]] = ..., captured_at_us: _Optional[_Iterable[int]] = ..., clock_offset_us: _Optional[_Iterable[int]] = ..., period_us: _Optional[_Iterable[int]] = ..., line_camera: _Optional[_Iterable[int]] = ..., track: _Optional[_Iterable[int]] = ..., class_id: _Optional[_Iterable[int]] = ..., runs: _Optional[_Iterable[int]] = ..., start: _Optional[_Iterable[int]] = ..., length: _Optional[_Iterable[int]] = ..., score: _Optional[_Iterable[int]] = ..., x1: _Optional[_Iterable[int]] = ..., y1: _Optional[_Iterable[int]] = ..., x2: _Optional[_Iterable[int]] = ..., y2: _Optional[_Iterable[int]] = ...) -> None: ...

class FramesByRow(_message.Message):
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
    __slots__ = ("at_us", "window_s", "model", "release", "digest", "variant", "frames_seen", "frames_inferred", "frames_skipped", "frames_missed", "p50_ms", "p95_ms", "memory_bytes", "errors", "last_error", "score_histogram", "class_mix", "detections", "camera_state", "spool_records", "spool_bytes", "swaps", "failed_release", "records_dropped", "batches_refused", "frames_still", "cpu_s", "temperature_c", "throttled", "disk_free_bytes", "spool_age_s", "bytes_sent", "records_held", "messages_ignored", "clock_jumps", "cameras", "challenge", "frames_failed", "picture_parts_held", "configuration_refused")
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
    FRAMES_STILL_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_C_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SPOOL_AGE_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_HELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_IGNORED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_JUMPS_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FAILED_FIELD_NUMBER: _ClassVar[int]
    PICTURE_PARTS_HELD_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_REFUSED_FIELD_NUMBER: _ClassVar[int]
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
    frames_still: int
    cpu_s: float
    temperature_c: float
    throttled: str
    disk_free_bytes: int
    spool_age_s: float
    bytes_sent: int
    records_held: int
    messages_ignored: int
    clock_jumps: int
    cameras: _containers.RepeatedCompositeFieldContainer[CameraHealth]
    challenge: Challenge
    frames_failed: int
    picture_parts_held: int
    configuration_refused: str
    def __init__(self, at_us: _Optional[int] = ..., window_s: _Optional[float] = ..., model: _Optional[str] = ..., release: _Optional[int] = ..., digest: _Optional[str] = ..., variant: _Optional[str] = ..., frames_seen: _Optional[int] = ..., frames_inferred: _Optional[int] = ..., frames_skipped: _Optional[int] = ..., frames_missed: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., errors: _Optional[int] = ..., last_error: _Optional[str] = ..., score_histogram: _Optional[_Iterable[int]] = ..., class_mix: _Optional[_Mapping[str, int]] = ..., detections: _Optional[int] = ..., camera_state: _Optional[str] = ..., spool_records: _Optional[int] = ..., spool_bytes: _Optional[int] = ..., swaps: _Optional[int] = ..., failed_release: _Optional[str] = ..., records_dropped: _Optional[int] = ..., batches_refused: _Optional[int] = ..., frames_still: _Optional[int] = ..., cpu_s: _Optional[float] = ..., temperature_c: _Optional[float] = ..., throttled: _Optional[str] = ..., disk_free_bytes: _Optional[int] = ..., spool_age_s: _Optional[float] = ..., bytes_sent: _Optional[int] = ..., records_held: _Optional[int] = ..., messages_ignored: _Optional[int] = ..., clock_jumps: _Optional[int] = ..., cameras: _Optional[_Iterable[_Union[CameraHealth, _Mapping]]] = ..., challenge: _Optional[_Union[Challenge, _Mapping]] = ..., frames_failed: _Optional[int] = ..., picture_parts_held: _Optional[int] = ..., configuration_refused: _Optional[str] = ...) -> None: ...

class CameraHealth(_message.Message):
    __slots__ = ("name", "state", "seen", "inferred", "skipped", "missed", "still", "failed", "pictures_withheld")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    INFERRED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    STILL_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    PICTURES_WITHHELD_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    seen: int
    inferred: int
    skipped: int
    missed: int
    still: int
    failed: int
    pictures_withheld: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., seen: _Optional[int] = ..., inferred: _Optional[int] = ..., skipped: _Optional[int] = ..., missed: _Optional[int] = ..., still: _Optional[int] = ..., failed: _Optional[int] = ..., pictures_withheld: _Optional[int] = ...) -> None: ...

class Challenge(_message.Message):
    __slots__ = ("model", "release", "digest", "frames", "agreed", "matched", "ours", "theirs", "mean_iou", "our_scores", "their_scores", "p50_ms")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    OURS_FIELD_NUMBER: _ClassVar[int]
    THEIRS_FIELD_NUMBER: _ClassVar[int]
    MEAN_IOU_FIELD_NUMBER: _ClassVar[int]
    OUR_SCORES_FIELD_NUMBER: _ClassVar[int]
    THEIR_SCORES_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    model: str
    release: int
    digest: str
    frames: int
    agreed: int
    matched: int
    ours: int
    theirs: int
    mean_iou: float
    our_scores: _containers.RepeatedScalarFieldContainer[int]
    their_scores: _containers.RepeatedScalarFieldContainer[int]
    p50_ms: float
    def __init__(self, model: _Optional[str] = ..., release: _Optional[int] = ..., digest: _Optional[str] = ..., frames: _Optional[int] = ..., agreed: _Optional[int] = ..., matched: _Optional[int] = ..., ours: _Optional[int] = ..., theirs: _Optional[int] = ..., mean_iou: _Optional[float] = ..., our_scores: _Optional[_Iterable[int]] = ..., their_scores: _Optional[_Iterable[int]] = ..., p50_ms: _Optional[float] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("camera", "frame", "at_us", "kind", "rule", "label", "track", "value", "alarm", "score", "xyxy", "model", "release", "picture")
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    XYXY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    camera: str
    frame: int
    at_us: int
    kind: str
    rule: str
    label: str
    track: int
    value: float
    alarm: bool
    score: float
    xyxy: _containers.RepeatedScalarFieldContainer[float]
    model: str
    release: int
    picture: str
    def __init__(self, camera: _Optional[str] = ..., frame: _Optional[int] = ..., at_us: _Optional[int] = ..., kind: _Optional[str] = ..., rule: _Optional[str] = ..., label: _Optional[str] = ..., track: _Optional[int] = ..., value: _Optional[float] = ..., alarm: _Optional[bool] = ..., score: _Optional[float] = ..., xyxy: _Optional[_Iterable[float]] = ..., model: _Optional[str] = ..., release: _Optional[int] = ..., picture: _Optional[str] = ...) -> None: ...

class Aggregate(_message.Message):
    __slots__ = ("camera", "start_us", "length_s", "zone", "label", "frames", "detections", "tracks", "most", "model", "release")
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    START_US_FIELD_NUMBER: _ClassVar[int]
    LENGTH_S_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    DETECTIONS_FIELD_NUMBER: _ClassVar[int]
    TRACKS_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    camera: str
    start_us: int
    length_s: float
    zone: str
    label: str
    frames: int
    detections: int
    tracks: int
    most: int
    model: str
    release: int
    def __init__(self, camera: _Optional[str] = ..., start_us: _Optional[int] = ..., length_s: _Optional[float] = ..., zone: _Optional[str] = ..., label: _Optional[str] = ..., frames: _Optional[int] = ..., detections: _Optional[int] = ..., tracks: _Optional[int] = ..., most: _Optional[int] = ..., model: _Optional[str] = ..., release: _Optional[int] = ...) -> None: ...

class PicturePart(_message.Message):
    __slots__ = ("picture", "part", "parts", "camera", "frame", "at_us", "kind", "xyxy", "data")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    XYXY_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    picture: int
    part: int
    parts: int
    camera: str
    frame: int
    at_us: int
    kind: str
    xyxy: _containers.RepeatedScalarFieldContainer[float]
    data: bytes
    def __init__(self, picture: _Optional[int] = ..., part: _Optional[int] = ..., parts: _Optional[int] = ..., camera: _Optional[str] = ..., frame: _Optional[int] = ..., at_us: _Optional[int] = ..., kind: _Optional[str] = ..., xyxy: _Optional[_Iterable[float]] = ..., data: _Optional[bytes] = ...) -> None: ...

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
    __slots__ = ("frame", "health", "tombstone", "event", "aggregate", "picture")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    frame: FrameRow
    health: Health
    tombstone: Tombstone
    event: Event
    aggregate: Aggregate
    picture: PicturePart
    def __init__(self, frame: _Optional[_Union[FrameRow, _Mapping]] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., tombstone: _Optional[_Union[Tombstone, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., aggregate: _Optional[_Union[Aggregate, _Mapping]] = ..., picture: _Optional[_Union[PicturePart, _Mapping]] = ...) -> None: ...

class FrameRow(_message.Message):
    __slots__ = ("camera", "frame", "captured_at_us", "model", "release", "labels", "class_id", "track", "score", "x1", "y1", "width", "height", "steady_us")
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
    STEADY_US_FIELD_NUMBER: _ClassVar[int]
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
    steady_us: int
    def __init__(self, camera: _Optional[str] = ..., frame: _Optional[int] = ..., captured_at_us: _Optional[int] = ..., model: _Optional[str] = ..., release: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., class_id: _Optional[_Iterable[int]] = ..., track: _Optional[_Iterable[int]] = ..., score: _Optional[_Iterable[int]] = ..., x1: _Optional[_Iterable[int]] = ..., y1: _Optional[_Iterable[int]] = ..., width: _Optional[_Iterable[int]] = ..., height: _Optional[_Iterable[int]] = ..., steady_us: _Optional[int] = ...) -> None: ...

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
