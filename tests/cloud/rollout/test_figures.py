"""Figures out of windows."""

import pytest

from cloud.rollout.figures import NO_DRIFT, NO_SPREAD, drift, mean_score, mix_distance, pool, spread
from models.health import Health


def window(
    frames: int = 40,
    *,
    window_s: float = 5.0,
    p95_ms: float = 10.0,
    camera_state: str = "ok",
    errors: int = 0,
    **mix: int,
) -> Health:
    bins = (0,) * 9 + (sum(mix.values()),)
    return Health(
        at_us=0,
        window_s=window_s,
        model="flange",
        release=1,
        digest="",
        variant="fp32",
        frames_inferred=frames,
        p50_ms=p95_ms / 2,
        p95_ms=p95_ms,
        memory_bytes=100,
        errors=errors,
        score_histogram=bins,
        class_mix=dict(mix),
        detections=sum(mix.values()),
        camera_state=camera_state,
    )


def test_counts_add_up_over_windows() -> None:
    figures = pool([window(40, good=30, defect=10), window(50, good=50)])

    assert (figures.windows, figures.frames, figures.detections) == (2, 90, 90)
    assert figures.mix == {"good": 80, "defect": 10}
    assert figures.mean_score == pytest.approx(0.95)
    assert figures.per_frame == 1.0


def test_one_hiccup_among_two_windows_is_no_figure() -> None:
    figures = pool([window(40, p95_ms=10), window(8, p95_ms=90)])

    assert figures.p95_ms == 10
    assert figures.fps == 8.0


def test_frames_per_second_and_errors_are_the_models_only_while_the_camera_is_well() -> None:
    figures = pool([window(40), window(2, camera_state="stalled", errors=5)])

    assert figures.looked
    assert (figures.fps, figures.errors) == (8.0, 0)


def test_nothing_pooled_is_nothing() -> None:
    figures = pool([])

    assert (figures.windows, figures.frames, figures.fps, figures.looked) == (0, 0, 0, False)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ({"good": 3, "defect": 1}, {"good": 30, "defect": 10}, 0.0),  # shares, not counts
        ({"good": 1}, {"defect": 1}, 1.0),
        ({"good": 3, "defect": 1}, {"good": 1, "defect": 3}, 0.5),
        ({}, {"good": 1}, 0.0),  # nothing seen has no mix
    ],
)
def test_the_distance_of_class_mixes(a: dict[str, int], b: dict[str, int], distance: float) -> None:
    assert mix_distance(a, b) == pytest.approx(distance)
    assert mix_distance(b, a) == pytest.approx(distance)


def test_a_steady_belt_has_no_spread() -> None:
    found = spread([window(good=30, defect=10)] * 8, 2)

    assert (found.mix, found.score, found.rate_low, found.rate_high) == (0.0, 0.0, 1.0, 1.0)


def test_the_spread_is_that_of_runs_of_windows() -> None:
    # four windows of one part, then four of another
    windows = [window(good=40)] * 4 + [window(defect=40)] * 4

    assert spread(windows, 4).mix == 1.0
    assert spread(windows, 1).mix == pytest.approx(4 / 7)
    assert spread(windows, 100) == spread(windows, 4)  # at most half of them


def test_windows_without_a_frame_say_nothing_about_spread() -> None:
    assert spread([window(0), window(0), window(good=40)], 1) == NO_SPREAD


def test_the_drift_is_the_middle_gateways() -> None:
    was = pool([window(good=40)])

    found = drift(
        [(was, was), (was, pool([window(20, p95_ms=30, good=20)])), (was, pool([window(p95_ms=20, good=40)]))]
    )

    assert (found.p95, found.fps, found.mix) == (2.0, 1.0, 0.0)


def test_without_anybody_to_ask_there_is_no_drift() -> None:
    assert drift([(pool([window()]), pool([]))]) == NO_DRIFT


def test_the_mean_score_of_a_histogram() -> None:
    assert mean_score([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]) == pytest.approx(0.5)
    assert mean_score([0] * 10) == 0.0
