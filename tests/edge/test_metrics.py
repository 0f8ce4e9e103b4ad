"""Prometheus reads the same figures as everybody else, on this machine only."""

import socket
import urllib.request
from collections.abc import Mapping
from contextlib import closing

from prometheus_client.parser import text_string_to_metric_families

from edge.metrics import Metrics, families
from tests.edge.test_status import STATUS, TOTAL

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_prometheus_sees_what_the_gateway_counts() -> None:
    with closing(Metrics(0, lambda: STATUS)) as metrics:
        samples = scrape(metrics.port)
    assert of(samples, "tidegate_frames_seen_total", camera="door") == 103
    assert of(samples, "tidegate_frames_still_total", camera="yard") == 40
    assert of(samples, "tidegate_camera_state", camera="yard", tidegate_camera_state="frozen") == 1
    assert of(samples, "tidegate_camera_state", camera="yard", tidegate_camera_state="ok") == 0
    assert of(samples, "tidegate_detections_total", label="person") == 40
    assert of(samples, "tidegate_inference_seconds_count") == 90
    assert of(samples, "tidegate_inference_seconds_sum") == 0.5
    assert of(samples, "tidegate_scores_bucket", le="+Inf") == sum(TOTAL.score_histogram)
    assert of(samples, "tidegate_memory_bytes") == TOTAL.memory_bytes
    assert of(samples, "tidegate_temperature_celsius") == 61.3
    assert of(samples, "tidegate_throttled") == 1
    assert of(samples, "tidegate_configuration_refused") == 1
    assert of(samples, "tidegate_spool_age_seconds") == 75
    assert of(samples, "tidegate_bytes_sent_total") == 1_500_000
    assert of(samples, "tidegate_records_held") == 5
    assert of(samples, "tidegate_picture_parts_held") == 4
    assert of(samples, "tidegate_frames_failed_total", camera="door") == 3
    assert of(samples, "tidegate_pictures_withheld_total", camera="yard") == 6
    assert of(samples, "tidegate_challenger_agreed") == 9
    model = {"model": "coco", "release": "3", "variant": "int8", "digest": "ab" * 32}
    assert of(samples, "tidegate_model_info", **model) == 1


def test_every_metric_says_what_it_is() -> None:
    found = list(families(STATUS))
    assert len({family.name for family in found}) == len(found)
    assert all(family.name.startswith("tidegate_") and family.documentation.endswith(".") for family in found)


def test_only_this_machine_is_answered() -> None:
    with closing(Metrics(0, lambda: STATUS)) as metrics:
        assert metrics._server is not None
        assert metrics._server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said_and_stops_nothing() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with closing(Metrics(port, lambda: STATUS)) as metrics:
            assert f"port {port} of 127.0.0.1 (metrics_port) cannot be had" in metrics.trouble
