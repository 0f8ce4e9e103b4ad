"""The gateway's figures for Prometheus, on this machine only (prometheus-client)."""

import logging
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import get_args
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from edge.figures import CameraState
from edge.status import Status
from models.health import SCORE_BINS, CameraHealth, Health

log = logging.getLogger(__name__)

_ADDRESS = "127.0.0.1"
_CAMERA = {
    "seen": "Frames that the camera delivered.",
    "inferred": "Frames that the model looked at.",
    "skipped": "Frames seen for which the model had no time, or above the rate cap.",
    "missed": "Frames that the camera counted and the gateway never saw.",
    "still": "Frames seen and not looked at, because nothing moved.",
    "failed": "Frames seen on which the model raised an error.",
}
_SINCE_START = {
    "errors": "Things that went wrong.",
    "swaps": "Changes of the model.",
    "records_dropped": "Records dropped by the bounded spool.",
    "batches_refused": "Batches that the cloud refused.",
    "messages_ignored": "Inbound messages that were none of ours.",
    "bytes_sent": "Bytes handed to the uplink, with topics.",
    "clock_jumps": "Jumps of the wall clock.",
}
_NOW = {
    "memory_bytes": "Resident memory of the process.",
    "disk_free_bytes": "Free where the state is kept.",
    "spool_records": "Records that wait for the cloud.",
    "spool_bytes": "What they weigh on the disk.",
    "spool_age_s": "Age of the oldest record that waits.",
    "records_held": "Records that wait because the byte budget has no room.",
    "picture_parts_held": "Of these, the parts of pictures.",
}


class Metrics:
    """Serves `status()` at http://127.0.0.1:`port`/metrics until it is closed.

    A port that is taken is said in the log and in `trouble`: cameras are looked through all the same.
    """

    def __init__(self, port: int, status: Callable[[], Status]) -> None:
        self.trouble = ""
        self.port = port
        self._server: WSGIServer | None = None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(status))
        try:
            self._server, _ = start_http_server(port, addr=_ADDRESS, registry=registry)
        except OSError as exc:
            self.trouble = f"no metrics: port {port} of {_ADDRESS} (metrics_port) cannot be had: {exc.strerror}"
            log.error("%s", self.trouble)
        else:
            self.port = self._server.server_port

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def families(status: Status) -> Iterator[Metric]:
    """The metrics: counters since the process started, and how it is now; of one inference, the last window's."""
    total = status.overview.total
    yield InfoMetricFamily("tidegate_gateway", "The gateway.", value=_texts(status, "gateway", "version", "uplink"))
    yield InfoMetricFamily(
        "tidegate_model", "The model that runs.", value=_texts(total, "model", "release", "variant", "digest")
    )
    yield _uptime(total)
    yield _camera_states(total.cameras)
    for name, means in _CAMERA.items():
        frames = CounterMetricFamily(f"tidegate_frames_{name}", means, labels=["camera"])
        for camera in total.cameras:
            frames.add_metric([camera.name], getattr(camera, name))
        yield frames
    withheld = CounterMetricFamily(
        "tidegate_pictures_withheld", "Pictures of events for which the budget had no room.", labels=["camera"]
    )
    for camera in total.cameras:
        withheld.add_metric([camera.name], camera.pictures_withheld)
    yield withheld
    yield SummaryMetricFamily(
        "tidegate_inference_seconds",
        "Time of one inference.",
        count_value=total.frames_inferred,
        sum_value=status.overview.inference_s,
    )
    quantiles = GaugeMetricFamily(
        "tidegate_inference_quantile_seconds", "Time of one inference in the last window.", labels=["quantile"]
    )
    quantiles.add_metric(["0.5"], total.p50_ms / 1000)
    quantiles.add_metric(["0.95"], total.p95_ms / 1000)
    yield quantiles
    detections = CounterMetricFamily("tidegate_detections", "What the model found.", labels=["label"])
    for label, count in total.class_mix.items():
        detections.add_metric([label], count)
    yield detections
    yield _scores("tidegate_scores", "Scores of what the model found.", total.score_histogram)
    yield CounterMetricFamily("tidegate_cpu_seconds", "Processor time of the process.", value=total.cpu_s)
    for name, means in _SINCE_START.items():
        yield CounterMetricFamily(f"tidegate_{name}", means, value=getattr(total, name))
    for name, means in _NOW.items():
        yield GaugeMetricFamily(f"tidegate_{_in_seconds(name)}", means, value=getattr(total, name))
    if total.temperature_c:
        yield GaugeMetricFamily("tidegate_temperature_celsius", "Of the processor.", value=total.temperature_c)
    yield GaugeMetricFamily(
        "tidegate_throttled", "1 while something holds the processor back.", value=float(bool(total.throttled))
    )
    yield GaugeMetricFamily(
        "tidegate_configuration_refused",
        "1 while the configuration given last was refused and the one before is in force.",
        value=float(bool(total.configuration_refused)),
    )
    yield from _challenger(total)


class _Collector(Collector):
    def __init__(self, status: Callable[[], Status]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        return families(self._status())


def _uptime(total: Health) -> Metric:
    return GaugeMetricFamily("tidegate_uptime_seconds", "Since the process started.", value=total.window_s)


def _camera_states(cameras: tuple[CameraHealth, ...]) -> Metric:
    states = StateSetMetricFamily("tidegate_camera_state", "What each camera is.", labels=["camera"])
    for camera in cameras:
        states.add_metric([camera.name], {state: state == camera.state for state in get_args(CameraState)})
    return states


def _scores(name: str, means: str, bins: tuple[int, ...]) -> Metric:
    below = accumulate(bins)
    edges = [f"{(index + 1) / SCORE_BINS:g}" for index in range(SCORE_BINS - 1)]
    buckets = [(edge, float(count)) for edge, count in zip([*edges, "+Inf"], below, strict=True)]
    # no sum: the bins are what is counted
    return HistogramMetricFamily(name, means, buckets=buckets, sum_value=None)


def _challenger(total: Health) -> Iterator[Metric]:
    """Of the last window, as are its reports."""
    challenge = total.challenge
    if challenge is None:
        return
    yield InfoMetricFamily(
        "tidegate_challenger", "The model in shadow.", value=_texts(challenge, "model", "release", "digest")
    )
    yield GaugeMetricFamily("tidegate_challenger_frames", "Frames that both saw.", value=challenge.frames)
    yield GaugeMetricFamily("tidegate_challenger_agreed", "Of these, seen alike.", value=challenge.agreed)


def _texts(record: object, *names: str) -> dict[str, str]:
    return {name: str(getattr(record, name)) for name in names}


def _in_seconds(name: str) -> str:
    return name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
