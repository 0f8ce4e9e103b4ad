"""The gateways in the demo: deployed, working, and hurt."""

import itertools
import time
from pathlib import Path

from cloud.image_folder import find_split
from cloud.lake.lake import Lake
from greengrass.recipe import GATEWAY
from models.errors import TidegateError
from models.topics import shard_of
from simulator.broker import INGEST
from simulator.camera_server import Camera, CameraServer
from simulator.demo.judging import arrived, frames_in, recorded
from simulator.demo.making import data_folder
from simulator.demo.releasing import roll_out
from simulator.demo.world import FLEET, World
from simulator.fleet import SimulatedFleet
from simulator.local_cloud import LocalCloud
from simulator.nucleus.personality import JAVA, LITE, PERSONALITIES
from simulator.scenes import Conveyor, Photos, Scene
from simulator.tap import Tap

FPS = 8.0
BELT_SPEED = 0.35  # of the picture's height a frame: a part is in view for four frames
DEFECT_RATE = 0.06  # of the parts
GAP_RATE = 0.1  # of the places on the belt
OUTAGE_S = 10.0
RINGS = "1,1,rest"


def cloud_up(world: World) -> None:
    """Broker, AWS' stand-ins, ingest; cameras; things and certificates."""
    options = world.options
    world.cloud = LocalCloud(options.out / "cloud", embedded_broker=options.embedded_broker)
    world.cloud.adopt_environment()
    broker = world.cloud.broker
    world.findings.broker = broker.kind
    which = "found on PATH" if broker.kind == "mosquitto" else "embedded; mosquitto is not installed"
    world.say(f"  broker      mqtts://{broker.host}:{broker.port}  ({broker.kind}, {which}; a certificate per device)")
    for service in ("S3", "IOT", "GREENGRASSV2"):
        world.say(f"  {service.lower():<11} {world.cloud.environment[f'AWS_ENDPOINT_URL_{service}']}")
    world.say(f"  lake        {world.cloud.lake}")
    names = [f"gateway-{number}" for number in range(1, options.gateways + 1)]
    if options.video is None:
        world.cameras = CameraServer(
            {name: Camera(_scene(world, seed), fps=FPS) for seed, name in enumerate(names, start=100)}
        )
    nuclei = [LITE, JAVA] if options.nucleus == "both" else [PERSONALITIES[options.nucleus]]
    personalities = dict(zip(names, itertools.cycle(nuclei), strict=False))
    world.fleet = SimulatedFleet(world.cloud, FLEET, names, options.out / "gateways", personalities=personalities)
    world.tap = Tap(world.cloud.authority.device(INGEST).broker(broker.host, broker.port))


def deploy(world: World, release: str) -> None:
    """The gateway component to the whole fleet, the first release ring by ring; until each has a row in the lake."""
    started = time.time()
    world.fleet.start()
    components = world.out / "components" / release.replace("@", "-")
    world.tidegate("deploy", "--components", str(components), "--group", FLEET, "--only", GATEWAY)
    roll_out(world, release, "--first", "--rings", RINGS)
    seen = world.findings.first_result_s

    def arrived_from() -> float:
        for row in Lake(world.cloud.lake).query("SELECT DISTINCT gateway FROM frames").to_pylist():
            seen.setdefault(row["gateway"], time.time() - started)
        return len(seen) / len(world.fleet.gateways)

    if not world.wait("first results in the lake", arrived_from, timeout_s=60):
        raise TidegateError(f"no results from some gateways after 60 s; see {world.fleet.folder}/*/logs")
    for gateway, seconds in sorted(seen.items()):
        world.say(f"  {gateway}: shard {shard_of(gateway)}, first result {seconds:.1f} s after the deployment began")


def infer(world: World) -> None:
    """Three quiet windows."""
    world.pass_time("three windows of inference", 3 * world.options.window_s)
    show_lake(world)


def hurt(world: World) -> str:
    """The broker away for ten seconds, and in the middle of that a SIGKILL; the gateway that was killed."""
    killed = world.fleet.gateways[1 % len(world.fleet.gateways)]
    before = world.fleet.pids()[killed]
    world.say(f"The broker is killed. Three seconds later {killed} (process {before}) gets SIGKILL.")
    world.cloud.broker.kill()
    world.pass_time("no broker", 3)
    world.fleet.kill(killed)
    world.pass_time("no broker", OUTAGE_S - 3)
    world.cloud.broker.start()
    world.say("The broker is back.")
    _judge_recovery(world, killed, before)
    return killed


def hurt_on_video(world: World) -> str:
    """The same while the gateways go through a file, once; ends when all have."""
    killed = world.fleet.gateways[1 % len(world.fleet.gateways)]
    total = frames_in(str(world.options.video))
    before = world.fleet.pids()[killed]
    world.wait(f"{killed} is in the middle of {total} frames", lambda: _done(world, killed, total) / 0.4, timeout_s=240)
    world.say(f"{killed} (process {before}) gets SIGKILL, and the broker goes away for {OUTAGE_S:g} s.")
    world.fleet.kill(killed)
    world.cloud.broker.kill()
    world.pass_time("no broker", OUTAGE_S)
    world.cloud.broker.start()
    world.wait(
        "every gateway through the whole file",
        lambda: min(_done(world, name, total) for name in world.fleet.gateways),
        timeout_s=240,
    )
    _judge_recovery(world, killed, before)
    show_lake(world)
    return killed


def show_lake(world: World) -> None:
    """What a user would ask first."""
    world.tidegate(
        "query",
        "SELECT gateway, release, count(*) AS frames, count(DISTINCT stream) AS streams, "
        "sum(len(detections)) AS detections FROM frames GROUP BY ALL ORDER BY ALL",
    )


def _judge_recovery(world: World, killed: str, before: int | None) -> None:
    started, backlog = time.monotonic(), recorded(world)
    drained = world.wait("the backlog drains", lambda: arrived(world, backlog), timeout_s=60)
    after = world.fleet.pids()[killed]
    world.findings.claims.judge(
        "a killed gateway comes back, and the backlog of an outage drains within a minute",
        drained and None not in (before, after) and after != before,
        f"{killed}: process {before}, then {after}; all {len(backlog)} frames recorded until the broker was back are "
        f"in the lake {time.monotonic() - started:.0f} s later",
    )


def _done(world: World, gateway: str, total: int) -> float:
    return len(world.fleet.recorded(gateway)) / total


def _scene(world: World, seed: int) -> Scene:
    if world.options.data is None:
        return Conveyor(seed, speed=BELT_SPEED, defect_rate=DEFECT_RATE, gap_rate=GAP_RATE)
    # the split that training makes: its cameras show what it did not learn from
    _, held_out = find_split(data_folder(world), None, seed=world.options.seed)
    pictures: dict[str, list[Path]] = {label: [] for label in held_out.labels}
    for path, class_id in zip(held_out.paths, held_out.class_ids, strict=True):
        pictures[held_out.labels[class_id]].append(path)
    return Photos(pictures, seed=seed)
