"""Real detectors on real videos: what is worse is stopped before it answers, what is as good passes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rollout_real import FLEET, WATCHED, RealFleet, tidegate
from cloud.rollout.greengrass_fleet import GreengrassFleet

pytestmark = [pytest.mark.soak, pytest.mark.real, pytest.mark.timeout(1800)]


@pytest.fixture
def world(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealFleet]:
    monkeypatch.setenv("TIDEGATE_BENCH_DATA", str(shared_data))
    with RealFleet(tmp_path) as world:
        yield world


def test_a_naive_int8_is_stopped_in_shadow_and_the_same_weights_as_float_pass(world: RealFleet, tmp_path: Path) -> None:
    from benchmarks.real_releases import fp32_run, naive_run  # the quantiser takes seconds to import

    runs = tmp_path / "runs"
    fp32 = fp32_run(runs)
    world.settle(fp32)

    naive = world.roll_out("naive int8", world.release(naive_run(runs)), *WATCHED)

    assert naive.phase == "reverted"
    assert naive.touched == 0
    assert naive.answered_on == ()
    assert naive.compared[0] > 0
    again = world.roll_out("the same again", world.release(fp32), *WATCHED)
    assert again.phase == "done"
    assert set(again.answered_on) == set(world.names)
    # nobody looks on any more, and what they saw differently is there for labelling
    pins = GreengrassFleet()
    assert pins.shadow(f"{FLEET}_coco-ring-0", "coco", None) == pins.shadow(f"{FLEET}_coco-ring-0", "coco", None)
    tidegate("disagreements", str(tmp_path / "samples"), "--model", naive.release)
    assert list((tmp_path / "samples" / "images").glob("*.jpg"))
