"""Events, aggregates and pictures on their way from a video to the cloud."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from cloud.run_folder import add_variant
from edge.analytics.config import AnalyticsConfig, LineConfig, ZoneConfig
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig
from edge.gateway import Outcome, run_gateway
from models.golden import record_golden, write_golden
from models.manifest import InputSpec, Manifest, write_manifest
from models.runner import open_runner
from simulator.small_cloud import SmallCloud, SmallUplink

WIDTH, HEIGHT = 160, 120
FRAMES = 60


@pytest.fixture
def lamp_run(tmp_path: Path) -> Path:
    """A detector that needs no training: the box around all that is bright, of the class "lamp"."""
    run = tmp_path / "lamp"
    run.mkdir()
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Greater", ["pixels", "half"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["lit"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["lit"], ["columns"], axes=[0, 1, 3], keepdims=0),
        helper.make_node("ReduceMax", ["lit"], ["rows"], axes=[0, 2, 3], keepdims=0),
        helper.make_node("ArgMax", ["columns"], ["left"], axis=0),
        helper.make_node("ArgMax", ["rows"], ["top"], axis=0),
        helper.make_node("ArgMax", ["columns"], ["right"], axis=0, select_last_index=1),
        helper.make_node("ArgMax", ["rows"], ["bottom"], axis=0, select_last_index=1),
        helper.make_node("Concat", ["left", "top", "right", "bottom"], ["corners"], axis=0),
        helper.make_node("Cast", ["corners"], ["flat"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["flat", "one_row"], ["boxes"]),
        helper.make_node("ReduceMax", ["lit"], ["any"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["any", "one"], ["scores"]),
        helper.make_node("Identity", ["zero"], ["classes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lamp",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, HEIGHT, WIDTH, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("classes", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor("half", TensorProto.FLOAT, [], [128.0]),
            helper.make_tensor("one_row", TensorProto.INT64, [2], [1, 4]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        ],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10), run / "model.onnx")
    write_manifest(run, Manifest("lamp", "detection", ("lamp",), InputSpec(HEIGHT, WIDTH), threshold=0.5))
    manifest = add_variant(run, "fp32", "model.onnx")
    write_golden(run, record_golden([shown(20)], {"fp32": open_runner(run, manifest)}))
    return run


def shown(number: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """A lamp that moves from left to right, two pixels a frame, over grey cloth."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[40:80, 10 + 2 * number : 30 + 2 * number] = 250
    return image


def test_what_happens_before_a_camera_reaches_the_cloud_with_its_pictures(lamp_run: Path, tmp_path: Path) -> None:
    video = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        writer.write(shown(number))
    writer.release()
    analytics = AnalyticsConfig(
        lines=(LineConfig("gate", (0.5, 1), (0.5, 0), alarm=True, picture="crop"),),
        zones=(ZoneConfig("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)), leave=False),),
    )
    cloud = SmallCloud()
    config = GatewayConfig(
        model="lamp",
        cameras=(CameraConfig("belt", str(video), analytics=analytics),),
        state=tmp_path / "state",
        package=lamp_run,
        allow_unsigned=True,
        window_s=1.0,
    )
    outcome = run_gateway(
        config, gateway="g1", stop=threading.Event(), keep_running=False, uplink=SmallUplink(cloud, limit_bytes=5_000)
    )
    assert outcome == Outcome(waiting=0, failures=())

    assert {tuple(result.detections.tracks.tolist()) for result in cloud.frames.values()} == {(1,)}
    crossing, entry, *camera = sorted(cloud.events.values(), key=lambda event: event.kind, reverse=True)
    assert [event.label for event in camera] == ["ok", "ended"]
    assert (crossing.kind, crossing.rule, crossing.value, crossing.track) == ("line", "gate", 1.0, 1)
    assert (entry.kind, entry.rule, entry.label, entry.alarm) == ("enter", "right", "lamp", False)
    assert crossing.alarm
    assert 30 <= entry.frame <= crossing.frame <= 34  # the lamp's middle is at 19.5 + 2 n, the gate at 80

    totals = {(row.zone, row.label): 0 for row in cloud.aggregates.values()}
    for row in cloud.aggregates.values():
        totals[row.zone, row.label] += row.detections
    assert totals == {("", ""): FRAMES, ("", "lamp"): FRAMES, ("right", "lamp"): FRAMES - 31}

    parts = [part for _, part in sorted(cloud.pictures.items())]
    assert {part.picture for part in parts} == {crossing.picture}
    jpeg = np.frombuffer(b"".join(part.data for part in parts), np.uint8)
    crop = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    left, top, right, bottom = parts[0].xyxy
    assert crop.shape == (bottom - top, right - left, 3)
    assert crop.max() > 230
    assert crop.min() < 90
