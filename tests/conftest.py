"""What every test stands on."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import gc
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.disks import unmount_stale
from tests.left_open import LeftOpen

if TYPE_CHECKING:
    from tests.s3 import S3

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


# how long an example takes says more of the machine than of the code
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

# how long an example takes says how busy the machine is, not whether a law holds
settings.register_profile("tidegate", deadline=None)
settings.load_profile("tidegate")

_left_open = LeftOpen()


def pytest_sessionstart() -> None:
    unmount_stale()


def pytest_collection_finish() -> None:
    # what was imported for all tests stays to the end: no garbage collection need look at it again
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    yield
    left = _left_open.after_test(ends_file=nextitem is None or nextitem.path != item.path)
    assert not left, f"nobody can close these any more: {left}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real videos, models and images beside the checkout; the test is skipped where they are not."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def _s3() -> "Iterator[S3]":
    from tests.s3 import S3

    server = S3()
    yield server
    server.close()


@pytest.fixture
def s3(_s3: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """S3 where everybody looks for it."""
    for name, value in _s3.environment.items():
        monkeypatch.setenv(name, value)
    return _s3


@pytest.fixture(scope="session")
def _colour_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that needs no training: which of blue, green and red a picture has most of."""
    import numpy as np
    from onnx import TensorProto, helper, save_model

    from cloud.run_folder import add_variant
    from models.golden import record_golden, write_golden
    from models.manifest import InputSpec, Manifest, write_manifest
    from models.runner import open_runner

    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Softmax", ["means"], ["scores"], axis=1),
        ],
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
    )
    run = tmp_path_factory.mktemp("colour") / "run"
    run.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
    save_model(model, str(run / "model.onnx"))
    write_manifest(run, Manifest("colour", "classification", ("blue", "green", "red"), InputSpec(8, 8)))
    manifest = add_variant(run, "fp32", "model.onnx")
    frames = [np.full((8, 8, 3), np.eye(3)[channel] * 200, np.uint8) for channel in range(3)]
    write_golden(run, record_golden(frames, {"fp32": open_runner(run, manifest)}))
    return run


@pytest.fixture
def colour_run(_colour_run: Path, tmp_path: Path) -> Path:
    """A run folder of this test's own, of a model named `colour` that knows blue, green and red pictures (8 x 8)."""
    return Path(shutil.copytree(_colour_run, tmp_path / "colour-run"))
