"""What gateways' reports come to."""

from dataclasses import replace

from cloud.rollout.evidence import GatewayEvidence, weigh
from cloud.rollout.plan import Plan, Ring, Wave, gateways_named
from cloud.rollout.state import Touched
from models.health import Health
from simulator.rollout_fleet import RolloutReport

PLAN = Plan("flange", 2, 1, "shop", (Ring((Wave("shop_flange-ring-0", gateways_named(["belt"])),)),))
WELL = Health(0, 60.0, "flange", 1, "aa", "fp32", frames_seen=300, frames_inferred=300, p95_ms=9.0)
CANDIDATE = replace(WELL, release=2, digest="bb")
NO_MODEL = Health(0, 60.0, "flange", 0, "", "", camera_state="waiting")


def weighed(*since: Health) -> GatewayEvidence:
    """A gateway's evidence that ran release 1 for ten windows, and then reported this."""
    told = [replace(health, at_us=(at + 1) * 60_000_000) for at, health in enumerate((*[WELL] * 10, *since))]
    found = weigh(
        PLAN,
        [Touched({"belt": told[9].at_us}, deployed_us=told[9].at_us)],
        [RolloutReport("belt", "00000000000000aa", seq, health) for seq, health in enumerate(told, start=1)],
        window_s=60.0,
        since_us=0,
        heard_us={"belt": told[-1].at_us},
        progress={"belt": "succeeded"},
    )
    return found.waves[0].gateways[0]


def test_a_gateway_that_has_no_model_for_now_has_not_gone_back() -> None:
    """Its disk was replaced, or it was started anew: it waits for the candidate as any new gateway does."""
    assert weighed(*[CANDIDATE] * 3, *[NO_MODEL] * 3).failed == ""
    found = weighed(*[CANDIDATE] * 3, *[NO_MODEL] * 3, *[CANDIDATE] * 2)
    assert found.failed == ""
    assert (found.reports, found.now.windows, found.now.errors) == (5, 5, 0)
    assert found.now.fps == found.was.fps


def test_a_gateway_that_runs_the_release_before_again_has() -> None:
    assert weighed(CANDIDATE, WELL, WELL).failed == "runs release 1 again, of its own accord"
