"""Real detectors rolled out to gateways that look at real videos: is what is worse stopped, and does what is as good
pass?

A few gateways of processes, on nucleus lite and on the Java one, each with two cameras that show the videos at two
frames a second, run YOLOX-nano in float. Then come, by the product's own commands: a naive int8 of it with half the
average precision, without and with the report that predicts so; FastestDet; and the int8 that the gate let through.
The value is how many of the two that must be stopped are, and of the one that must pass.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.learning import real_data
from cloud.lake.lake import Lake
from simulator.camera_server import Camera, CameraServer
from simulator.films import Film
from simulator.fleet import SimulatedFleet
from simulator.local_cloud import LocalCloud
from simulator.nucleus.personality import JAVA, LITE

FLEET, MODEL = "shop", "coco"
GATEWAYS = 3
FPS = 2.0
WINDOW_S = 5.0
PATIENCE_S = 900.0
FILMS = (
    "bottle-detection.mp4",
    "car-detection.mp4",
    "store-aisle-detection.mp4",
    "worker-zone-detection.mp4",
    "face-demographics-walking.mp4",
)
RINGS = "1,1,rest"
START = ("--window-s", f"{WINDOW_S:g}", "--poll-s", "2")
WATCHED = ("--shadow", "60s", "--soak", "60s,30s")  # a day and a night in a shop; the films begin again sooner


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a release: `phase` and `outcome` as `tidegate rollout status` has them; `decided_s` from the
    command's start until the roll-out was over; `touched` rings; the gateways on which it answered."""

    name: str
    release: str
    phase: str
    outcome: str
    held: str  # why it waited for an approval, if it did
    decided_s: float
    touched: int
    answered_on: tuple[str, ...]
    compared: tuple[int, int]  # frames that the challenger saw, and of these seen alike


class RealFleet:
    """The gateways, their cameras and the local cloud; YOLOX-nano in float runs everywhere once `settle` returns."""

    def __init__(self, folder: Path, *, gateways: int = GATEWAYS, films: Sequence[str] = FILMS) -> None:
        self.folder = folder
        self.names = [f"gateway-{number}" for number in range(1, gateways + 1)]
        self._opened = contextlib.ExitStack()
        reels = {film: Film(real_data("videos") / film, fps=FPS) for film in dict.fromkeys(films)}
        shown = cycle(reels.values())
        scenes = {f"{name}-{side}": Camera(next(shown), fps=FPS) for name in self.names for side in "ab"}
        try:
            self.cloud = self._opened.enter_context(LocalCloud(folder / "cloud"))
            self.cloud.adopt_environment()
            self._cameras = self._opened.enter_context(CameraServer(scenes))
            kinds = dict(zip(self.names, cycle((LITE, JAVA)), strict=False))
            self.fleet = SimulatedFleet(self.cloud, FLEET, self.names, folder / "gateways", personalities=kinds)
            self._opened.enter_context(self.fleet)
        except BaseException:
            self._opened.close()
            raise

    def __enter__(self) -> "RealFleet":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def lake(self) -> Lake:
        return Lake(self.cloud.lake)

    def release(self, run: Path, *words: str) -> str:
        """Sign a run as the next release and register it; its name@number."""
        signed = json.loads(tidegate("release", str(run), *words, "--json"))
        self.fleet.trust_root(MODEL, Path(signed["root"]).read_bytes())
        out = self.folder / "components" / signed["release"].replace("@", "-")
        tidegate("component", "build", "--model", signed["release"], "--out", str(out))
        tidegate("deploy", "--components", str(out))
        return str(signed["release"])

    def settle(self, run: Path) -> str:
        """Run the gateways with a first release on all of them, for as long as a baseline takes."""
        self.fleet.start()
        settings = {
            "model": MODEL,
            "trust": str(self.fleet.trust),
            "window_s": WINDOW_S,
            "cameras": [
                # films that begin again, without a sensor's noise, are no frozen camera
                {"name": side, "uri": f"{self._cameras.url}/{{gateway}}-{side}", "frozen_s": 0}
                for side in "ab"
            ],
            "challenger_cpu": 0.3,
            "shadow_pictures": 5000,
            "uplink": {"kind": "ipc"},
        }
        file, out = self.folder / "gateway.json", self.folder / "components" / "gateway"
        file.write_text(json.dumps(settings))
        tidegate(
            "component", "build", "--gateway", "--config", str(file), "--python", sys.executable, "--out", str(out)
        )
        tidegate("deploy", "--components", str(out), "--group", FLEET)
        release = self.release(run)
        self.roll_out("yolox_nano fp32", release, "--first", "--rings", RINGS)
        time.sleep(12 * WINDOW_S)
        return release

    def roll_out(self, name: str, release: str, *words: str, approve: bool = True) -> Story:
        """The whole of it, by the product's commands. Where it waits for an approval it is given that, or aborted."""
        started, since_us = time.monotonic(), time.time_ns() // 1000
        command = ("rollout", "start", release, "--fleet", FLEET, *START, *words)
        held, told = "", {}
        with subprocess.Popen([sys.executable, "-m", "tidegate", *command], stdout=sys.stderr) as starting:
            while starting.poll() is None:
                time.sleep(2 * WINDOW_S)
                if time.monotonic() - started > PATIENCE_S:
                    tidegate("rollout", "abort", MODEL, "--fleet", FLEET, "--because", "its time is up")
                if not held and (held := self._held(release)):
                    tidegate("rollout", "approve" if approve else "abort", MODEL, "--fleet", FLEET)
        took = time.monotonic() - started
        told = json.loads(tidegate("rollout", "status", MODEL, "--json"))
        number = int(release.partition("@")[2])
        answered = self.lake.query(f"SELECT DISTINCT gateway FROM frames WHERE release = {number} ORDER BY ALL")
        looked = [row.health.challenge for row in self.lake.health(since_us) if row.health.challenge]
        looked = [challenge for challenge in looked if challenge.release == number]
        return Story(
            name,
            release,
            told["phase"],
            told["outcome"],
            held,
            round(took, 1),
            told["touched"],
            tuple(answered.column("gateway").to_pylist()),
            (sum(one.frames for one in looked), sum(one.agreed for one in looked)),
        )

    def _held(self, release: str) -> str:
        """Why it waits for an approval, if it does."""
        try:
            told = json.loads(tidegate("rollout", "status", MODEL, "--json"))
        except subprocess.CalledProcessError:
            return ""  # it has not begun
        events = [event for event in told["events"] if event["kind"] not in ("wait", "trouble")]
        return events[-1]["text"] if told["release"] == release and events and events[-1]["kind"] == "hold" else ""


def tidegate(*words: str) -> str:
    """A command of the product's; what it printed."""
    done = subprocess.run([sys.executable, "-m", "tidegate", *words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def stories(folder: Path, runs: Path) -> Iterator[Story]:
    """All of it, one after the other; the releases' run folders are made in `runs` where they are not there yet."""
    from benchmarks.real_releases import fastest_run, fp32_run, gated_run, naive_run

    runs.mkdir(parents=True, exist_ok=True)
    made = {path.name for path in runs.iterdir()}
    fp32 = runs / "yolox_nano" if "yolox_nano" in made else fp32_run(runs)
    naive = runs / "naive" if "naive" in made else naive_run(runs)
    fastest = runs / "FastestDet" if "FastestDet" in made else fastest_run(runs)
    gated = runs / "gated" if "gated" in made else gated_run(runs, fp32)
    with RealFleet(folder) as world:
        incumbent = world.settle(fp32).partition("@")[2]
        pictures = ("--reference", str(real_data("coco128") / "images"), "--against", incumbent)
        for name, run, words in (
            ("naive int8, unreported", naive, ()),
            ("naive int8, reported", naive, pictures),
            ("FastestDet, reported", fastest, pictures),
            ("gated int8, reported", gated, pictures),
        ):
            # whoever made the naive one asks not for it when told what it is
            story = world.roll_out(name, world.release(run, *words), *WATCHED, approve=run is not naive)
            yield story
            if story.phase == "done" and run is not gated:
                tidegate("rollout", "revert", MODEL, "--fleet", FLEET)
            time.sleep(6 * WINDOW_S)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    parser.add_argument("--runs", type=Path, help="make the releases here, or take those that are here")
    args, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        told = {story.name: story for story in stories(folder, args.runs or folder / "runs")}
    stopped = [told["naive int8, unreported"].phase, told["naive int8, reported"].phase]
    right = sum(phase == "reverted" for phase in stopped) + (told["gated int8, reported"].phase == "done")
    measured = "; ".join(
        f"{one.name}: {one.phase} after {one.decided_s:.0f} s and {one.touched} rings ({one.outcome})"
        for one in told.values()
    )
    print(json.dumps([asdict(one) for one in told.values()], indent=1), file=sys.stderr)
    return report(Bar("real releases judged as they should be", right, 3.0, "higher", "of 3", measured))


if __name__ == "__main__":
    sys.exit(main())
