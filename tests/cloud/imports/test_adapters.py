"""Each adapter's graph answers as its documentation says, on networks that answer what a test puts in their mouth."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cloud.imports.adapted import Adapted, prove
from cloud.imports.adapters import ADAPTERS
from cloud.imports.preprocess import PRESETS, Preprocess
from cloud.imports.source import read_source
from models.detections import UInt8
from models.errors import ModelError
from models.manifest import Manifest
from models.runner import Runner

Answers = dict[str, npt.NDArray[np.float32]]
SIDE = 64
RNG = np.random.default_rng(3)


def foreign(
    path: Path, answers: Answers, *, dtype: int = TensorProto.FLOAT, opset: int = 11, channels_last: bool = False
) -> Path:
    """A network that answers `answers` whatever it sees, but that every number moves with the picture's mean."""
    shape = [1, SIDE, SIDE, 3] if channels_last else [1, 3, SIDE, SIDE]
    kind = np.float16 if dtype == TensorProto.FLOAT16 else np.float32
    nodes = [
        helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "little"], ["shift"]),
    ]
    weights = [numpy_helper.from_array(np.full(1, 1e-4, kind), "little")]
    for name, answer in answers.items():
        weights.append(numpy_helper.from_array(answer.astype(kind), f"{name}.table"))
        nodes.append(helper.make_node("Add", [f"{name}.table", "shift"], [name]))
    inputs = [helper.make_tensor_value_info("picture", dtype, shape)]
    inputs += [helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims) for weight in weights]
    outputs = [helper.make_tensor_value_info(name, dtype, list(answer.shape)) for name, answer in answers.items()]
    graph = helper.make_graph(nodes, "foreign", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), str(path))
    return path


def table(*shape: int, low: float = 0.0, high: float = 1.0) -> npt.NDArray[np.float32]:
    return RNG.uniform(low, high, shape).astype(np.float32)


def boxes_in_pixels(count: int) -> npt.NDArray[np.float32]:
    """Centre and size, (count, 4)."""
    return np.concatenate((table(count, 2, high=SIDE), table(count, 2, low=4, high=20)), axis=1)


def few(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Most cells see nothing."""
    return np.asarray(np.where(RNG.uniform(size=scores.shape) < 0.3, scores, 0), np.float32)


CELLS = 8 * 8 + 4 * 4 + 2 * 2


def yunet_outputs() -> Answers:
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = {}
    for kind, size in sizes.items():
        for stride in (8, 16, 32):
            values = table(1, (SIDE // stride) ** 2, size)
            outputs[f"{kind}_{stride}"] = few(values) if size == 1 else values
    return outputs


ANCHORS = 3 * CELLS

CASES: dict[str, Answers] = {
    "fastestdet": {
        "out": np.concatenate((few(table(1, 1, 4, 4)), table(1, 4, 4, 4, low=-1), table(1, 3, 4, 4)), axis=1)
    },
    "ultraface": {"scores": few(table(1, 50, 2)), "boxes": np.sort(table(1, 50, 4), axis=2)},
    "ssd": {
        "detection_boxes": np.sort(table(1, 20, 4), axis=2),
        "detection_classes": np.floor(table(1, 20, high=3)),
        "detection_scores": np.sort(table(1, 20))[:, ::-1].copy(),
        "num_detections": np.full(1, 12.0, np.float32),
    },
    "yolov8": {"out": np.concatenate((boxes_in_pixels(CELLS).T[None], few(table(1, 3, CELLS))), axis=1)},
    "yolov5": {
        "out": np.concatenate((boxes_in_pixels(ANCHORS), few(table(ANCHORS, 1)), table(ANCHORS, 2)), axis=1)[None]
    },
    "yunet": yunet_outputs(),
    "classifier": {"out": table(1, 5, 1, 1, low=-4, high=4)},
}


def pictures(count: int) -> list[UInt8]:
    return list(RNG.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8))


def runner_of(adapted: Adapted) -> Runner:
    labels = tuple(map(str, range(adapted.class_count or 3)))
    manifest = Manifest("foreign", adapted.task, labels, adapted.input, threshold=0.0)
    return Runner(adapted.model.SerializeToString(), manifest)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("opset", [7, 11])
def test_the_canonical_graph_answers_as_documented(tmp_path: Path, name: str, opset: int) -> None:
    source = read_source(foreign(tmp_path / "foreign.onnx", CASES[name], opset=opset))
    adapted = ADAPTERS[name](source, None)
    assert prove(adapted, source, runner_of(adapted), pictures(4)) >= 4


@pytest.mark.parametrize("name", CASES)
def test_each_fits_its_own_adapter_only(tmp_path: Path, name: str) -> None:
    source = read_source(foreign(tmp_path / "foreign.onnx", CASES[name]))
    fitting = []
    for adapter, adapt in ADAPTERS.items():
        try:
            adapt(source, None)
        except ModelError:
            continue
        fitting.append(adapter)
    assert fitting == [name]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_a_classifier_is_fed_as_its_trainer_fed_it(
    tmp_path: Path, preset: str, channels_last: bool, dtype: int
) -> None:
    file = foreign(tmp_path / "foreign.onnx", CASES["classifier"], dtype=dtype, channels_last=channels_last)
    source = read_source(file)
    adapted = ADAPTERS["classifier"](source, PRESETS[preset])
    assert prove(adapted, source, runner_of(adapted), pictures(3)) == 3


def test_channel_order_matters(tmp_path: Path) -> None:
    """A network that answers each channel's mean tells blue from red, and so must its canonical graph."""
    nodes = [helper.make_node("GlobalAveragePool", ["picture"], ["means"])]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [1, 3, 1, 1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), tmp_path / "m.onnx")
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[:, :, 0] = 3
    for channels, answer in (("bgr", 0), ("rgb", 2)):
        adapted = ADAPTERS["classifier"](read_source(tmp_path / "m.onnx"), Preprocess(channels))  # type: ignore[arg-type]
        assert runner_of(adapted).run_fitted(blue).class_ids.tolist() == [answer]


def test_probabilities_get_no_second_softmax(tmp_path: Path) -> None:
    answer = np.array([[0.7, 0.2, 0.1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["picture"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["none"]),
            helper.make_node("Add", ["table", "none"], ["out"]),
        ],
        "sure",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(answer, "table"), numpy_helper.from_array(np.zeros(1, np.float32), "nothing")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), tmp_path / "m.onnx")
    adapted = ADAPTERS["classifier"](read_source(tmp_path / "m.onnx"), None)
    assert runner_of(adapted).probabilities(np.zeros((8, 8, 3), np.uint8)) == pytest.approx(answer[0])


def test_what_is_canonical_already_stays_as_it_is(colour_run: Path) -> None:
    source = read_source(colour_run / "model.onnx")
    adapted = ADAPTERS["canonical"](source, None)
    frames = list(RNG.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8))
    assert prove(adapted, source, runner_of(adapted), frames) == 3


def test_a_wrong_graph_is_found_out(tmp_path: Path) -> None:
    source = read_source(foreign(tmp_path / "foreign.onnx", CASES["yolov8"]))
    adapted = ADAPTERS["yolov8"](source, None)
    for tensor in adapted.model.graph.initializer:
        if tensor.name == "out.table":
            moved = numpy_helper.to_array(tensor).copy()
            moved[:, 0] += 0.5
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    with pytest.raises(ModelError, match=r"disagrees with the documented decoding|choose differently"):
        prove(adapted, source, runner_of(adapted), pictures(1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, 1 << 40), "claims 1099511627776 numbers"),
        (lambda model: model.graph.initializer[0].dims.__setitem__(0, -1), "claims -1 numbers"),
        (
            lambda model: model.graph.input[0].type.tensor_type.shape.dim[2].__setattr__("dim_value", 1 << 30),
            "pictures have 1 to 4096 pixels",
        ),
    ],
)
def test_absurd_sizes_are_refused_before_anything_believes_them(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    path = foreign(tmp_path / "foreign.onnx", CASES["classifier"])
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=reason):
        read_source(path)


REAL: Sequence[tuple[str, str, float]] = (
    # file, adapter, AP50-95 of its documented decoding on all pictures (the data's README)
    ("FastestDet.onnx", "fastestdet", 0.216),
    ("yolox_nano_nms.onnx", "ssd", 0.368),
)
SLOW = [REAL[0], pytest.param(*REAL[1], marks=pytest.mark.soak)]


@pytest.mark.real
@pytest.mark.parametrize(("file", "adapter", "documented"), SLOW)
def test_real_detectors_keep_their_precision(
    shared_data: Path, tmp_path: Path, file: str, adapter: str, documented: float
) -> None:
    from cloud.average_precision import average_precision
    from cloud.boxes.boxed import with_labels
    from cloud.boxes.find import find_boxed
    from cloud.evaluate import look_for_boxes, without_threshold
    from cloud.imports.bring_in import import_model
    from cloud.imports.labels import read_labels

    models, data = shared_data / "models", shared_data / "coco128"
    labels = read_labels(models / "coco.names")
    imported = import_model(
        models / file, adapter=adapter, labels=labels, name="coco", out=tmp_path / "run", pictures=data / "images"
    )
    assert imported.compared > 500
    runner = Runner(tmp_path / "run" / "model.onnx", without_threshold(imported.manifest))
    found = look_for_boxes(runner, with_labels(find_boxed(data), labels))
    assert average_precision(*found).ap50_95 >= documented - 0.005


@pytest.mark.real
@pytest.mark.parametrize("file", ["SqueezeNet_fp16.onnx", "squeezenet1.1_fp32.onnx"])
def test_real_classifiers_know_a_kitten(shared_data: Path, file: str) -> None:
    import cv2

    source = read_source(shared_data / "models" / file)
    adapted = ADAPTERS["classifier"](source, PRESETS["caffe"])
    kitten = np.asarray(cv2.imread(str(shared_data / "images" / "kitten_224.png")), np.uint8)
    runner = runner_of(adapted)
    assert prove(adapted, source, runner, [kitten]) == 1
    found = runner.run(kitten)
    assert (found.class_ids.tolist(), round(float(found.scores[0]), 2)) == ([281], 0.94)


@pytest.mark.real
def test_a_real_face_detector_finds_faces(shared_data: Path) -> None:
    import cv2

    source = read_source(shared_data / "models" / "version-RFB-320.onnx")
    adapted = ADAPTERS["ultraface"](source, None)
    runner = runner_of(adapted)
    video = cv2.VideoCapture(str(shared_data / "videos" / "face-demographics-walking.mp4"))
    seen = 0
    while (read := video.read())[0]:
        seen += int((runner.run(np.asarray(read[1], np.uint8)).scores > 0.7).sum())
    assert seen > 10


def test_the_adapter_in_the_documentation_works(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "adapters.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 42
    scope: dict[str, Callable[..., Adapted]] = {}
    exec(code, scope)  # it is our own page
    corners = np.sort(table(30, 2, 2, high=SIDE), axis=1).reshape(30, 4)
    rows = np.concatenate((corners, few(table(30, 1)), np.full((30, 1), 2.4, np.float32)), axis=1)
    source = read_source(foreign(tmp_path / "foreign.onnx", {"out": rows[None]}))
    adapted = scope["six_columns"](source)
    assert prove(adapted, source, runner_of(adapted), pictures(3)) > 3
