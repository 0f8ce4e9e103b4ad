"""The demo's story in order. What a command of the product can do is done by that command."""

import time
from pathlib import Path

from simulator.demo import judging, making, releasing, running
from simulator.demo.findings import Findings
from simulator.demo.report import write_report
from simulator.demo.world import World


def tell(world: World) -> Findings:
    """The whole story, its report written; TidegateError when a step fails that everything after it needs."""
    findings = world.findings
    findings.started_at = time.time()
    findings.window_s = world.options.window_s
    findings.model = world.model
    with world.chapter("A cloud comes up on this machine"):
        running.cloud_up(world)
    first = _first_model(world)
    with world.chapter("Sign and publish release 1"):
        release = making.publish(world, first, gateway=True)
    with world.chapter(f"Deploy to {world.options.gateways} gateways in 3 rings"):
        running.deploy(world, release)
    killed = _on_cameras(world, first) if world.options.video is None else _on_video(world)
    with world.chapter("Count, and report"):
        judging.settle(world)
        judging.count(world, killed)
        if world.options.video is None:
            releasing.judge_swaps(world)
            releasing.judge_order(findings)
    write_report(findings, world.out)
    return findings


def _first_model(world: World) -> Path:
    if world.options.model is not None:
        return making.adopt(world, world.options.model)
    with world.chapter("Train"):
        run = making.train(world)
    with world.chapter("Compress, and let the gate judge"):
        making.compress(world, run)
    return run


def _on_cameras(world: World, first: Path) -> str:
    """Quiet work, then harm, then a bad release and a good one; the gateway that was killed."""
    retraining = making.retrain_in_background(world)
    with world.chapter("Infer"):
        running.infer(world)
    with world.chapter("Hurt it: the broker goes away, a gateway is killed"):
        killed = running.hurt(world)
    with world.chapter("A bad release"):
        releasing.bad_release(world, first)
    with world.chapter("A good release, ring by ring"):
        releasing.good_release(world, making.retrained(world, retraining))
    return killed


def _on_video(world: World) -> str:
    """Harm while the file is gone through; the gateway that was killed. A file ends, and gateways that have seen it
    report nothing more: there is nothing to judge another release by."""
    with world.chapter("Infer, and be hurt: the broker goes away, a gateway is killed"):
        return running.hurt_on_video(world)
