"""A fleet of gateway processes, built as an operator would: provisioned, deployed, a first release signed and given to
all; on a local cloud, with cameras of their own."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cloud.lake.lake import Lake
from greengrass.recipe import GATEWAY
from models.durable import write_atomic
from models.errors import TidegateError
from simulator.camera_server import Camera, CameraServer
from simulator.fleet import SimulatedFleet
from simulator.light.fleet import Strike
from simulator.light.happenings import What
from simulator.light.scenario import Gateways, Scenario
from simulator.local_cloud import LocalCloud
from simulator.nucleus.personality import JAVA, LITE, PERSONALITIES
from simulator.process.finder import MODEL, Flaw, make_finder
from simulator.process.gateway import ProcessGateway
from simulator.process.operator import Operator
from simulator.scenes import Conveyor
from simulator.small_disk import small_disk

GROUP = "fleet"
_FIRST_RESULTS_S = 180.0
_LOOK_S = 0.5
_SMALL_DISK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway is."""

    name: str
    site: str


def places(scenario: Scenario) -> tuple[Place, ...]:
    """The gateways of a scenario, which are at its sites by turns."""
    many = scenario.gateways
    return tuple(Place(scenario.name_of(number + 1), f"site-{number % many.sites + 1}") for number in range(many.count))


class ProcessFleet:
    """Cloud, cameras and devices of a scenario, in `out`. Up when constructed, with nothing deployed yet."""

    def __init__(
        self,
        scenario: Scenario,
        out: Path,
        *,
        seed: int,
        clock: Callable[[], float],
        embedded_broker: bool | None,
        strikes: Sequence[Strike] = (),
    ) -> None:
        """`strikes`: what will happen, for what has to be prepared. ConfigError for a disk that will be full, unless
        this is root."""
        many = scenario.gateways
        self.scenario, self.out = scenario, out
        self._releases = itertools.count(1)
        self._builds = itertools.count(1)
        names = [place.name for place in places(scenario)]
        with ExitStack() as opened:
            self.cloud = opened.enter_context(
                LocalCloud(out, embedded_broker=embedded_broker, commit_s=scenario.commit_s)
            )
            self.cloud.adopt_environment()
            # only those that will need one: in memory, a disk is not what a power cut leaves of a real one
            for name in _hit_by("disk_full", strikes):
                opened.enter_context(small_disk(out / "gateways" / name, _SMALL_DISK_BYTES))
            cameras = {
                name: Camera(Conveyor(1000 * seed + index), fps=many.fps) for index, name in enumerate(names, start=1)
            }
            self._cameras = opened.enter_context(CameraServer(cameras))
            self.fleet = opened.enter_context(
                SimulatedFleet(
                    self.cloud,
                    GROUP,
                    names,
                    out / "gateways",
                    personalities=dict(zip(names, itertools.cycle(_personalities(many)), strict=False)),
                    faulty_links=True,
                )
            )
            self.operator = Operator(out / "commands", self.cloud.environment, clock)
            for name in _hit_by("clock", strikes):
                # a process sees its clock change only if it was started with one that can
                self.fleet.nuclei[name].set_clock(0.0)
            self._opened = opened.pop_all()
        self.gateways: Mapping[str, ProcessGateway] = {
            place.name: ProcessGateway(place.name, place.site, self.fleet.nuclei[place.name], cameras[place.name])
            for place in places(scenario)
        }

    def deploy(self) -> None:
        """The devices start, and get the gateway's code and release 1; returns when each has a result in the lake."""
        self.fleet.start()
        release = self.release("")
        components = str(self.build(code=True, release=release))
        run, rollouts = self.operator.prepare, self.scenario.rollouts
        if rollouts:
            run("deploy", "--components", components, "--only", GATEWAY, "--group", GROUP, "--json")
            run("deploy", "--components", components, "--only", f"tidegate.Model.{MODEL}", "--json")
            first = ("--fleet", GROUP, "--first", "--rings", rollouts[0].rings)
            run("rollout", "start", release, *first, *self.rollout_words, "--json")
        else:
            run("deploy", "--components", components, "--group", GROUP, "--json")
        self._wait_for_results()

    @property
    def rollout_words(self) -> tuple[str, ...]:
        """What `tidegate rollout start` is told of this fleet."""
        return ("--window-s", f"{self.scenario.window_s:g}", "--poll-s", "1", "--soak", "0")

    def release(self, flaw: Flaw) -> str:
        """The next release of the model, NAME@NUMBER, signed and published."""
        number = next(self._releases)
        run = make_finder(self.out / "runs" / str(number), flaw=flaw, note=f"release {number}")
        released = self.operator.prepare("release", str(run), "--json")
        self.fleet.trust_root(MODEL, Path(released["root"]).read_bytes())
        return str(released["release"])

    def build(self, *, code: bool = False, release: str = "") -> Path:
        """A folder of components: another version of the gateway's code, a release of the model, or both."""
        number = next(self._builds)
        out = self.out / "components" / str(number)
        words = ["--out", str(out)]
        if code:
            config = self.out / "components" / f"gateway-{number}.json"
            write_atomic(config, json.dumps(self._settings(number), indent=2).encode())
            words += ["--gateway", "--development", "--config", str(config), "--python", sys.executable]
        if release:
            words += ["--model", release]
        self.operator.prepare("component", "build", *words, "--json")
        return out

    def _settings(self, number: int) -> dict[str, Any]:
        many, window_s = self.scenario.gateways, self.scenario.window_s
        line = {"name": "middle", "start": [0.5, 0.0], "end": [0.5, 1.0], "anchor": "centre"}
        camera = {
            "name": "belt",
            "uri": f"{self._cameras.url}/{{gateway}}",
            "numbered": True,
            "stall_s": 3.0,
            "frozen_s": 3.0,
            "dark_s": 3.0,
            "analytics": {"aggregate_s": window_s, "lines": [line]},
        }
        return {
            "model": MODEL,
            "trust": str(self.fleet.trust),
            "window_s": window_s,
            "ack_timeout_s": many.ack_timeout_s,
            "spool_limit_bytes": int(many.spool_mb * (1 << 20)),
            "keep_s": 60.0 + number,  # a configuration of its own makes a version of its own
            "cameras": [camera],
            "uplink": {"kind": "ipc"},
        }

    def close_cameras(self) -> None:
        """No more pictures."""
        for gateway in self.gateways.values():
            gateway.camera.close()

    def pids(self) -> list[int]:
        """Of all gateways' processes that run now."""
        return [pid for pid in self.fleet.pids().values() if pid is not None]

    def close(self) -> None:
        self.operator.leave()
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for_results(self) -> None:
        deadline = time.monotonic() + _FIRST_RESULTS_S
        lake = Lake(self.cloud.lake)
        while missing := set(self.gateways) - _with_frames(lake):
            if time.monotonic() > deadline:
                raise TidegateError(
                    f"no results of {', '.join(sorted(missing))} {_FIRST_RESULTS_S:g} s after the deployment; "
                    f"{self.fleet.folder}/NAME/logs/{GATEWAY}.log say why"
                )
            time.sleep(_LOOK_S)


def _with_frames(lake: Lake) -> set[str]:
    return {str(row["gateway"]) for row in lake.query("SELECT DISTINCT gateway FROM frames").to_pylist()}


def _hit_by(what: What, strikes: Sequence[Strike]) -> list[str]:
    return sorted({name for strike in strikes if strike.fault.what == what for name in strike.gateways})


def _personalities(many: Gateways) -> list[Any]:
    return [LITE, JAVA] if many.nucleus == "both" else [PERSONALITIES[many.nucleus]]
