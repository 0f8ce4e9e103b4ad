"""Makes simulator/light/minute.tg, the minute that light gateways replay: `python -m benchmarks.light_tape`.

Real detections: the bottles as YOLOX-nano sees them, brought to a minute at five frames a second, tracked, with a line
and two zones. One message of ours, so that it is read by the same code as everything else.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.gateway import detector
from benchmarks.minute import frames_of_the_bottles
from edge.analytics.analytics import Analytics, Moment
from edge.analytics.config import AnalyticsConfig, LineConfig, ZoneConfig
from models.batch import batch_of
from models.manifest import read_manifest
from models.records import FrameResult, Record
from models.runner import open_runner
from models.wire import encode_batch

FPS = 5
_START_NS = 1_790_000_040_000_000_000  # a full minute
_SINCE_BOOT_NS = 86_400_000_000_123
_EVERY = 4  # of the video's frames
_TAPE = Path(__file__).parents[1] / "simulator/light/minute.tg"
_ANALYTICS = AnalyticsConfig(
    aggregate_s=60,
    lines=(LineConfig("line", (0.5, 0.0), (0.5, 1.0), anchor="centre"),),
    zones=(
        ZoneConfig("left", ((0.0, 0.0), (0.4, 0.0), (0.4, 1.0), (0.0, 1.0)), anchor="centre"),
        ZoneConfig("right", ((0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)), dwell_s=4, alarms=("dwell",)),
    ),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        run = detector(Path(folder), "yolox_nano", "yolox")
        manifest = read_manifest(run)
        runner = open_runner(run, manifest)
    analytics = Analytics(_ANALYTICS, camera="line-1")
    records: list[Record] = []
    for number, image in enumerate(frames_of_the_bottles()[::_EVERY]):
        at_ns = _START_NS + number * 1_000_000_000 // FPS
        found = runner.run(image)
        labels = tuple(manifest.labels[index] for index in found.class_ids.tolist())
        size = (image.shape[1], image.shape[0])
        seen = analytics.see(Moment(number, at_ns // 1000, number / FPS, size, "coco", 1), found, labels)
        steady_ns = at_ns - _START_NS + _SINCE_BOOT_NS
        records.append(FrameResult.of("line-1", number, at_ns, "coco", 1, seen.found, labels, steady_ns=steady_ns))
        records += seen.records
    records += analytics.away()
    message = encode_batch(batch_of("0" * 16, 1, records))
    _TAPE.write_bytes(message)
    batch = batch_of("0" * 16, 1, records)
    detections = sum(len(result.detections) for _, result in batch.frames)
    alarms = sum(event.alarm for _, event in batch.events)
    print(
        f"{_TAPE}: {len(message)} bytes, {len(batch.frames)} frames, {detections} detections, "
        f"{len(batch.events)} events ({alarms} alarms), {len(batch.aggregates)} aggregates"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
