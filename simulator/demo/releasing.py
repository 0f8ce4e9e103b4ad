"""Roll-outs in the demo: a bad release that looks on and is found out, and a good one that goes everywhere."""

import itertools
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from cloud.lake.lake import Lake
from models.manifest import read_manifest
from simulator.demo.bad_release import mix_up_classes
from simulator.demo.findings import Findings, Moment, RolloutStory
from simulator.demo.making import publish
from simulator.demo.world import FLEET, World

SHADOW_WINDOWS = 4
SHOWN = ("shadow", "advance", "revert", "reverted", "revert-failed", "done")


def bad_release(world: World, first: Path) -> None:
    """Published like any other; on ring 0 it looks on beside the release that answers, and is taken back."""
    run = world.out / "runs" / "bad"
    shutil.copytree(first, run)
    mix_up_classes(run)
    labels = ", ".join(reversed(read_manifest(run).labels))
    world.say(
        f"Somebody exports the model with its classes in the wrong order ({labels}). It loads, and it is as fast."
    )
    release = publish(world, run)
    story = roll_out(world, release, "--shadow", f"{SHADOW_WINDOWS * world.options.window_s:g}s", expected=(0, 1))
    number = _number(story)
    rows = Lake(world.cloud.lake).query(f"SELECT DISTINCT gateway FROM frames WHERE release = {number}").to_pylist()
    ran_it = {str(row["gateway"]) for row in rows}
    claims = world.findings.claims
    claims.judge(
        "the bad release is found out in shadow and taken back",
        story.outcome == "reverted" and "in shadow" in story.why,
        story.why,
    )
    claims.judge("it answered for nothing", not ran_it, f"answered on {', '.join(sorted(ran_it)) or 'no gateway'}")


def good_release(world: World, run: Path) -> None:
    """Ring by ring to all, into the running processes."""
    release = publish(world, run)
    before = world.fleet.pids()
    story = roll_out(world, release, expected=(0, 1))
    after = world.fleet.pids()
    newest = {
        row.gateway: row.health.release
        for row in sorted(Lake(world.cloud.lake).health(), key=lambda row: row.health.at_us)
    }
    number = _number(story)
    claims = world.findings.claims
    claims.judge(
        "the good release goes ring by ring to all gateways",
        story.outcome == "done" and all(newest.get(name) == number for name in world.fleet.gateways),
        story.why,
    )
    claims.judge(
        "models are swapped in the running processes",
        before == after and None not in before.values(),
        f"processes {_listed(before)} before, {_listed(after)} after",
    )


def judge_swaps(world: World) -> None:
    """No frame number is missing where one release ends and the next begins."""
    gaps = world.findings.lost_at_swaps
    swaps = sum(len(lost) for lost in gaps.values())
    lost = sum(sum(lost) for lost in gaps.values())
    world.findings.claims.judge(
        "frames lost while models were swapped: 0", swaps > 0 and lost == 0, f"{lost} in {swaps} swaps"
    )


def judge_order(findings: Findings) -> None:
    """What the frames in the lake say about the roll-outs, whatever those say about themselves."""
    first, _, good = findings.rollouts
    wanted = {gateway: [_number(first), _number(good)] for ring in good.rings for gateway in ring}
    ran = findings.releases_ran
    findings.claims.judge(
        "the frames of all gateways show the first release, then the good one, and the bad one never",
        ran == wanted,
        "; ".join(f"{gateway}: {', '.join(map(str, releases))}" for gateway, releases in sorted(ran.items())),
    )
    started = {span.gateway: span.start_s for span in reversed(findings.spans) if span.release == _number(good)}
    rings = [[started.get(gateway, math.inf) for gateway in ring] for ring in good.rings]
    findings.claims.judge(
        "no ring shows the good release before all of the ring before it do",
        all(max(before) < min(after) for before, after in itertools.pairwise(rings)),
        "first frames at " + ", then ".join(" and ".join(f"{at_s:.1f} s" for at_s in ring) for ring in rings),
    )


def _number(story: RolloutStory) -> int:
    return int(story.release.partition("@")[2])


def _listed(pids: Mapping[str, int | None]) -> str:
    return ", ".join(str(pids[name]) for name in sorted(pids))


def roll_out(world: World, release: str, *words: str, expected: tuple[int, ...] = (0,)) -> RolloutStory:
    """Roll a release out by the product's command, and note what it did."""
    world.tidegate(
        "rollout", "start", release, "--fleet", FLEET, *words,
        "--window-s", f"{world.options.window_s:g}", "--poll-s", "0.5", "--soak", "0",
        expected=expected,
    )  # fmt: skip
    document = world.tidegate_json("rollout", "status", world.model)
    moments = tuple(
        Moment(event["at_us"] / 1e6 - world.findings.started_at, event["ring"], event["kind"], event["text"])
        for event in document["events"]
        if event["kind"] in SHOWN
    )
    rings = tuple(tuple(ring) for ring in document["rings"])
    story = RolloutStory(release, rings, moments, document["phase"], document["outcome"])
    world.findings.rollouts.append(story)
    return story
