"""The judge: what a candidate does on gateways, and what is made of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.rollout.judge import Ledger
from cloud.rollout.limits import Limits
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.verdicts import RingVerdict
from cloud.rollout.windows import Windows
from models.health import SCORE_BINS
from tests.cloud.rollout.minutes import Candidate, Fleet, ledger_of, now, rolled_out, touched

LIMITS = Limits()


def test_a_candidate_that_does_as_the_incumbent_did_is_well() -> None:
    verdict, _ = rolled_out(Candidate())
    assert (verdict.standing, verdict.well, verdict.gateways) == ("well", 4, 4)
    assert "4 gateways well over 480 windows and 144000 frames; finds " in verdict.because
    assert "times the things expected" in verdict.because
    assert verdict.surprise < verdict.limit - LIMITS.doubt


@pytest.mark.parametrize(
    ("candidate", "said", "within"),
    [
        (Candidate(slower=2.0), "is slow: its median inference takes", 3),
        (Candidate(rate=0.3), "all gateways together: things a frame is 0.", 30),
        (Candidate(swap=(1, 0, 2)), "share of ", 30),
        (Candidate(sharper=2), "score", 30),
        (Candidate(columns={"crashed": 5}), "got no answer from the model for 5 frames beside 300", 3),
        (Candidate(columns={"errors": 30}), "had 30 errors beside 300 frames in its newest windows (limit 2.0%)", 3),
        (Candidate(columns={"memory_bytes": 4e8}), "takes 400 MB, the incumbent 1", 3),
        (Candidate(leak_per_minute=2e5), "leaks memory: it takes 1", 240),
    ],
)
def test_a_candidate_that_is_worse_is_seen(candidate: Candidate, said: str, within: int) -> None:
    step = within if within > 60 else 1
    verdict, after = rolled_out(candidate, minutes=within, step=step, promise=promise_of(1.0))
    assert verdict.standing == "bad"
    assert verdict.bad
    assert said in verdict.because
    assert after <= within


def test_a_fault_on_one_hardware_class_is_seen_and_named() -> None:
    verdict, _ = rolled_out(Candidate(rate=0.3, only="arm"), minutes=60)
    assert verdict.standing == "bad"
    assert "gateways of hardware arm: things a frame is 0.3" in verdict.because


def test_a_fault_at_night_is_seen_at_night_and_the_night_is_known_to_lack_before() -> None:
    fine, _ = rolled_out(Candidate(night=0.3), history=1440, begin=12 * 60, minutes=8 * 60, step=120)
    assert fine.standing == "well"
    assert fine.unseen_hours == (*range(12), 21, 22, 23), "a report says when its window ended"
    broken, after = rolled_out(Candidate(night=0.3), history=1440, begin=12 * 60, minutes=16 * 60, step=60)
    assert broken.standing == "bad"
    assert "between 0:00 and 6:00 UTC" in broken.because
    assert after <= 16 * 60


def promise_of(ratio: float) -> Promise:
    """A signed report by which things are found `ratio` times as often."""
    bins = np.array([0, 0, 20, 80, 100, 150, 200, 200, 200, 50])
    side: dict[str, Any] = {
        "per_frame": 2.0,
        "class_mix": {"cup": 500, "mug": 333, "jug": 167},
        "score_histogram": bins.tolist(),
    }
    now_ = {name: round(count * ratio) for name, count in side["class_mix"].items()}
    shift: dict[str, Any] = {
        "pictures": 500,
        "parent": side,
        "this": {"score_histogram": (bins * ratio).tolist(), "class_mix": now_},
        "by_class": {
            name: {"parent": count, "this": now_[name], "kept": count, "variance": 0.02}
            for name, count in side["class_mix"].items()
        },
        "by_score": {
            "parent": bins.tolist(),
            "kept": (bins * 0.9).tolist(),
            "this": bins.tolist(),
            "confirmed": (bins * 0.9).tolist(),
        },
        "variance": {"per_frame": 0.05, "score": 0.01, "high": 0.05, "low": 0.05, "kept": 0.05, "confirmed": 0.05},
    }
    return Promise(shift)


def test_what_was_promised_is_no_surprise_and_what_was_not_kept_is() -> None:
    promised, _ = rolled_out(Candidate(rate=1.8), promise=promise_of(1.8), minutes=60)
    assert promised.standing == "well"
    broken, _ = rolled_out(Candidate(), promise=promise_of(1.8), minutes=240, step=60)
    assert broken.standing == "bad"
    assert "things a frame is 0.5" in broken.because


def test_what_happens_to_all_gateways_is_not_the_candidates_doing() -> None:
    fleet = Fleet(12)
    ledger = ledger_of(fleet, [0] * 4 + [1] * 8)
    ledger.add(fleet.windows(0, 240), now(240))
    touched(ledger, fleet, range(4), 240)
    later = fleet.windows(240, 360, on=range(4))
    busier = {"mix": later.mix * 3, "bins": later.bins * 3, "detections": later.detections * 3, "p50_ms": 50.0}
    columns = {name: getattr(later, name) for name in ("gateway", "at_us", "release", "digest", "frames", "p95_ms")}
    ledger.add(_replaced(later, {**columns, **busier}), now(360))
    assert ledger.judge(now(360))[0].standing == "well"


def _replaced(windows: Windows, columns: dict[str, Any]) -> Windows:
    from cloud.rollout.windows import windows_of

    return windows_of(windows.gateways, windows.labels, digests=windows.digests, **columns)


# nothing is well without evidence


def test_few_windows_are_not_enough() -> None:
    verdict, _ = rolled_out(Candidate(), minutes=1, step=1)
    assert (verdict.standing, verdict.unknown) == ("unknown", 4)
    assert verdict.because == "g00 has shown 1 of 2 windows and 300 of 50 frames; and 3 gateways more"


def test_a_camera_that_shows_nothing_proves_nothing() -> None:
    verdict, _ = rolled_out(Candidate(columns={"looking": False}), minutes=240, step=60)
    assert (verdict.standing, verdict.unknown) == ("unknown", 4)


def test_cameras_that_never_see_a_thing_prove_nothing() -> None:
    fleet = Fleet(6)
    ledger = ledger_of(fleet, [0, 0, 1, 1, 1, 1])
    ledger.add(fleet.windows(0, 240, detections=0, mix=0, bins=0), now(240))
    touched(ledger, fleet, range(2), 240)
    ledger.add(fleet.windows(240, 600, on=range(2), detections=0, mix=0, bins=0), now(600))
    verdict = ledger.judge(now(600))[0]
    assert verdict.standing == "unknown"
    assert verdict.because == "has seen nothing yet in 2 gateways to be judged by"


def test_silence_is_not_health() -> None:
    fleet = Fleet(40)
    ledger = ledger_of(fleet, [0] * 4 + [1] * 36)
    ledger.add(fleet.windows(0, 120), now(120))
    touched(ledger, fleet, range(4), 120)
    for minute in range(120, 180, 10):
        ledger.add(fleet.windows(minute, minute + 10, gateways=range(4, 40)), now(minute + 10))
    early, late = ledger.judge(now(131))[0], ledger.judge(now(180))[0]
    assert (early.standing, early.well) == ("unknown", 0)
    assert late.standing == "bad"
    assert "g00 is silent: 60 min since the deployment, and no report (limit 12 min)" in late.because
    assert "so are 4 of 4 gateways there, elsewhere 0 of 36 are" in late.because


def test_one_of_many_that_falls_silent_is_counted_apart() -> None:
    fleet = Fleet(40)
    ledger = ledger_of(fleet, [0] * 8 + [1] * 32)
    ledger.add(fleet.windows(0, 240), now(240))
    touched(ledger, fleet, range(8), 240)
    ledger.add(fleet.windows(240, 245, on=range(8)), now(245))
    ledger.add(fleet.windows(245, 360, on=range(8), gateways=range(1, 40)), now(360))
    verdict = ledger.judge(now(360))[0]
    assert (verdict.standing, verdict.well, verdict.absent) == ("well", 7, 1)


def test_one_that_was_away_holds_nobody_up_and_is_watched_when_it_is_back() -> None:
    fleet = Fleet(12)
    ledger = ledger_of(fleet, [0] * 4 + [1] * 8)
    ledger.add(fleet.windows(0, 240, gateways=range(1, 12)), now(240))
    ledger.touch(fleet.names[:4], {name: now(240) for name in fleet.names[1:]}, deployed_us=now(240), absent=["g00"])
    ledger.add(fleet.windows(240, 360, on=range(4), gateways=range(1, 12)), now(360))
    assert (ledger.judge(now(360))[0].standing, ledger.judge(now(360))[0].absent) == ("well", 1)
    crashing = Candidate(columns={"crashed": 9})
    ledger.add(fleet.windows(360, 362, on=[0], gateways=[0], candidate=crashing), now(362))
    verdict = ledger.judge(now(362))[0]
    assert verdict.standing == "bad"
    assert verdict.because.startswith("g00 got no answer from the model for 18 frames")


# what gateways say in words


def test_a_gateway_that_gave_the_candidate_up_makes_the_ring_bad() -> None:
    fleet = Fleet(6)
    ledger = ledger_of(fleet, [0, 1, 1, 1, 1, 1])
    ledger.add(fleet.windows(0, 60), now(60))
    touched(ledger, fleet, [0], 60)
    told = fleet.windows(60, 62)
    failed = np.where(told.gateway == 0, 1, 0)
    columns = {name: getattr(told, name) for name in ("gateway", "at_us", "release", "digest", "frames")}
    words = _with_failures(told, columns, failed, "cups@2: golden frames disagree")
    ledger.add(words, now(62))
    verdict = ledger.judge(now(62))[0]
    assert (verdict.standing, verdict.because) == ("bad", "g00 gave it up: cups@2: golden frames disagree")


def _with_failures(windows: Windows, columns: dict[str, Any], failed: Any, text: str) -> Windows:
    from cloud.rollout.windows import windows_of

    return windows_of(
        windows.gateways, (), digests=windows.digests, failures=("", text), **{**columns, "failed": failed}
    )


def test_a_gateway_that_goes_back_by_itself_and_a_digest_of_nobody_are_seen() -> None:
    fleet = Fleet(6)
    ledger = ledger_of(fleet, [0, 0, 1, 1, 1, 1], promise=Promise(digests=frozenset({"another"})))
    ledger.add(fleet.windows(0, 60), now(60))
    touched(ledger, fleet, [0, 1], 60)
    ledger.add(fleet.windows(60, 62, on=[0]), now(62))
    assert ledger.judge(now(62))[0].because == "g00 runs new, a digest that release 2 does not hold"
    plain = ledger_of(fleet, [0, 0, 1, 1, 1, 1])
    plain.add(fleet.windows(0, 60), now(60))
    touched(plain, fleet, [0, 1], 60)
    plain.add(fleet.windows(60, 62, on=[0, 1]), now(62))
    plain.add(fleet.windows(62, 63, on=[1]), now(63))
    assert plain.judge(now(63))[0].standing == "unknown"
    plain.add(fleet.windows(63, 64, on=[1]), now(64))
    assert plain.judge(now(64))[0].because == "g00 runs release 1 again, of its own accord"


def test_the_first_release_ever_is_judged_by_its_limits() -> None:
    fleet = Fleet(4)
    ledger = ledger_of(fleet, [0, 1, 1, 1], incumbent=None)
    ledger.touch(["g00"], {}, deployed_us=now(0))
    assert ledger.judge(now(1))[0].standing == "unknown"
    ledger.add(fleet.windows(0, 2, on=[0], gateways=[0]), now(2))
    assert ledger.judge(now(2))[0].standing == "well"
    ledger.add(fleet.windows(2, 4, on=[0], gateways=[0], crashed=40), now(4))
    assert ledger.judge(now(4))[0].standing == "bad"


@pytest.mark.parametrize("gateways", [1, 2, 3])
def test_a_tiny_fleet_has_nobody_to_ask_and_is_judged_all_the_same(gateways: int) -> None:
    fine, _ = rolled_out(Candidate(), gateways=gateways, ring_0=[0], minutes=240, step=60)
    assert fine.standing == "well"
    worse, _ = rolled_out(Candidate(rate=0.2), gateways=gateways, ring_0=[0], minutes=240, step=60)
    assert worse.standing == "bad"


# in shadow


def shadowed(kept: float, *, promise: Promise, frames: int = 20) -> RingVerdict:
    fleet = Fleet(8)
    ledger = ledger_of(fleet, [0] * 4 + [1] * 4, promise=promise)
    plain = fleet.windows(0, 30)
    bins = np.tile([0, 0, 1, 3, 4, 6, 8, 8, 8, 2], (len(plain), 1))
    names = ("gateway", "at_us", "release", "digest", "frames", "seq", "stream", "detections", "bins")
    columns = {name: getattr(plain, name) for name in names}
    beside = {
        "shadow": np.where(plain.gateway < 4, 2, 0),
        "shadow_frames": frames,
        "shadow_matched": np.random.default_rng(1).binomial(40, kept, len(plain)),
        "shadow_ours": 40,
        "shadow_theirs": 40,
        "shadow_our_bins": bins,
        "shadow_their_bins": bins,
    }
    ledger.add(_replaced(plain, {**columns, **beside}), now(30))
    return ledger.judge(now(30))[0]


def test_in_shadow_the_two_are_compared_frame_by_frame() -> None:
    assert shadowed(0.9, promise=promise_of(1.0)).shadow == "well"
    worse = shadowed(0.5, promise=promise_of(1.0))
    assert worse.shadow == "bad"
    assert "that it has too: -39" in worse.shadow_because or "that it has too: -40" in worse.shadow_because
    assert worse.standing == "unknown", "it was not deployed"
    assert shadowed(0.9, promise=promise_of(1.0), frames=1).shadow == "well"
    untouched = ledger_of(Fleet(4), [0, 1, 1, 1]).judge(now(0))[0]
    assert (untouched.shadow, untouched.shadow_because) == ("absent", "")


def test_what_no_report_promises_is_held_to_the_incumbents_answers() -> None:
    worse = shadowed(0.4, promise=NO_PROMISE)
    assert worse.shadow == "bad"
    assert "off what could be expected" in worse.shadow_because
    assert shadowed(0.95, promise=NO_PROMISE).shadow == "well"
    # golden frames are few, and were chosen for being clear
    golden = Promise({**promise_of(0.5).shift, "reference": "golden frames"})
    assert golden.said is None
    assert promise_of(0.5).said is not None


# whatever the order


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0, 1))
def test_neither_order_nor_batches_nor_repetition_change_a_verdict(seed: int, batches: int, repeated: float) -> None:
    fleet = Fleet(6, seed=1)
    rows = [fleet.windows(0, 180), fleet.windows(180, 240, on=[0, 1], candidate=Candidate(rate=0.8))]
    straight = ledger_of(fleet, [0, 0, 1, 1, 1, 1])
    straight.add(rows[0], now(180))
    touched(straight, fleet, [0, 1], 180)
    straight.add(rows[1], now(240))
    draw = np.random.default_rng(seed)
    rebuilt = ledger_of(fleet, [0, 0, 1, 1, 1, 1])
    touched(rebuilt, fleet, [0, 1], 180)
    parts: list[Windows] = []
    for windows in rows:
        order = draw.permutation(len(windows))
        again = order[draw.random(len(order)) < repeated / 3]
        parts += [windows.take(part) for part in np.array_split(np.concatenate((order, again)), batches)]
    for part in draw.permutation(len(parts)).tolist():
        rebuilt.add(parts[part], now(240))
    assert _verdicts(straight) == _verdicts(rebuilt)


def _verdicts(ledger: Ledger) -> Sequence[RingVerdict]:
    return ledger.judge(now(241))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 30),
    st.sampled_from([0, 1, 2, 5]),
    st.lists(st.sampled_from(["looking", "frames", "window_s", "release", "detections"]), max_size=2),
)
def test_whatever_is_missing_it_is_never_well_without_evidence(
    seed: int, minutes: int, reporting: int, lacking: list[str]
) -> None:
    fleet = Fleet(6, seed=seed % 1000)
    ledger = ledger_of(fleet, [0] * 5 + [1])
    ledger.add(fleet.windows(0, 60), now(60))
    touched(ledger, fleet, range(5), 60)
    blank = {"looking": False, "frames": 0, "window_s": 1.0, "release": 1, "detections": 0}
    columns: dict[str, Any] = {name: blank[name] for name in lacking}
    if "detections" in lacking:
        columns |= {"mix": 0, "bins": 0}
    if minutes and reporting:
        told = fleet.windows(60, 60 + minutes, on=range(5), gateways=range(reporting), **columns)
        ledger.add(told, now(60 + minutes))
    verdict = ledger.judge(now(60 + minutes))[0]
    shown = reporting if minutes >= LIMITS.windows and not lacking else 0
    if verdict.standing == "well":
        assert verdict.well <= shown
        assert shown >= 3, "one of five may be away, and one that fell silent is counted apart"
    if not shown:
        assert verdict.standing != "well"


def test_clocks_that_are_far_off_break_nothing() -> None:
    fleet = Fleet(6)
    ledger = ledger_of(fleet, [0, 1, 1, 1, 1, 1])
    told = fleet.windows(0, 60)
    mad = np.where(told.gateway == 3, told.at_us * 2, np.where(told.gateway == 4, 0, told.at_us))
    columns = {name: getattr(told, name) for name in ("gateway", "release", "digest", "frames", "detections")}
    ledger.add(_replaced(told, {**columns, "at_us": mad}), now(60))
    touched(ledger, fleet, [0], 60)
    ledger.add(fleet.windows(60, 90, on=[0]), now(90))
    assert ledger.judge(now(90))[0].standing in ("well", "unknown")


def test_every_gateway_can_be_shown() -> None:
    fleet = Fleet(6)
    ledger = ledger_of(fleet, [0, 0, 1, 1, 1, 1])
    ledger.add(fleet.windows(0, 60), now(60))
    touched(ledger, fleet, [0, 1], 60)
    ledger.add(fleet.windows(60, 65, on=[0, 1]), now(65))
    first = ledger.gateway_verdicts(0, now(65))[0]
    assert (first.gateway, first.standing, first.release, first.windows, first.frames) == ("g00", "well", 2, 5, 1500)
    assert first.figures["fps"] == pytest.approx(5.0)
    assert first.figures["memory_bytes_was"] == pytest.approx(150e6, rel=0.05)
    other = ledger.gateway_verdicts(1, now(65))[0]
    assert (other.standing, other.because, other.release) == ("unknown", "has not got it yet", 1)
    assert SCORE_BINS == 10, "the bins of the drawn scores"
