"""What the chapters of the demo share: the cloud, the fleet, the cameras, and what was found so far."""

import contextlib
import io
import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import tidegate
from models.errors import TidegateError
from simulator.camera_server import CameraServer
from simulator.demo.findings import Chapter, Findings
from simulator.fleet import SimulatedFleet
from simulator.local_cloud import LocalCloud
from simulator.tap import Tap

FLEET = "demo"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What the demo is to do. `data`: a folder of images instead of rendered scenes; `model` and `video`: a run folder
    and a file that its cameras play, instead of training. `nucleus`: a personality's name, or both in turns.
    `embedded_broker`: None takes mosquitto if it is there."""

    out: Path
    data: Path | None = None
    model: Path | None = None
    video: Path | None = None
    epochs: int = 6
    gateways: int = 4
    window_s: float = 5.0
    nucleus: str = "lite"
    seed: int = 0
    embedded_broker: bool | None = None


@dataclass(slots=True)
class World:
    """Built up by the chapters, taken down by `close` in reverse."""

    options: Options
    console: Console
    findings: Findings = field(default_factory=Findings)
    model: str = ""
    stack: ExitStack = field(default_factory=ExitStack)
    _cloud: LocalCloud | None = None
    _fleet: SimulatedFleet | None = None
    _cameras: CameraServer | None = None
    _tap: Tap | None = None

    @property
    def out(self) -> Path:
        return self.options.out

    @property
    def cloud(self) -> LocalCloud:
        return _there(self._cloud)

    @cloud.setter
    def cloud(self, cloud: LocalCloud) -> None:
        self._cloud = self.stack.enter_context(cloud)

    @property
    def fleet(self) -> SimulatedFleet:
        return _there(self._fleet)

    @fleet.setter
    def fleet(self, fleet: SimulatedFleet) -> None:
        self._fleet = self.stack.enter_context(fleet)

    @property
    def cameras(self) -> CameraServer:
        return _there(self._cameras)

    @cameras.setter
    def cameras(self, cameras: CameraServer) -> None:
        self._cameras = self.stack.enter_context(cameras)

    @property
    def tap(self) -> Tap:
        return _there(self._tap)

    @tap.setter
    def tap(self, tap: Tap) -> None:
        self._tap = tap
        self.stack.callback(tap.close)

    def say(self, text: str) -> None:
        """A line of the story."""
        self.console.print(text, highlight=False)

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """A heading, and afterwards how long it took."""
        number = len(self.findings.chapters) + 1
        self.console.rule(f"[bold]{number}. {title}", align="left")
        started = time.monotonic()
        yield
        self.findings.chapters.append(Chapter(title, time.monotonic() - started))

    def tidegate(self, *words: str, expected: tuple[int, ...] = (0,)) -> int:
        """Run a command of the product, shown as a user would type it; TidegateError on an unexpected exit code."""
        self.console.print(f"[cyan]$ tidegate {shlex.join(words)}[/cyan]", highlight=False, soft_wrap=True)
        code = tidegate.main(list(words))
        if code not in expected:
            raise TidegateError(f"`tidegate {words[0]}` ended with exit code {code}; what it said stands above")
        return code

    def tidegate_json(self, *words: str) -> Any:
        """The same with --json: the document that it prints."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.tidegate(*words, "--json")
        return json.loads(printed.getvalue())

    def wait(self, what: str, fraction: Callable[[], float], *, timeout_s: float) -> bool:
        """A progress bar until `fraction()` reaches 1; False when it has not within `timeout_s`."""
        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        deadline = time.monotonic() + timeout_s
        with Progress(*columns, TimeElapsedColumn(), console=self.console) as progress:
            task = progress.add_task(what, total=1.0)
            while (done := fraction()) < 1.0:
                progress.update(task, completed=max(0.0, done))
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.2)
            progress.update(task, completed=1.0)
        return True

    def pass_time(self, what: str, seconds: float) -> None:
        """A progress bar for a given time."""
        started = time.monotonic()
        self.wait(what, lambda: (time.monotonic() - started) / seconds, timeout_s=seconds + 1)

    def close(self) -> None:
        self.stack.close()


def _there(part: T | None) -> T:
    if part is None:
        raise RuntimeError("this part of the demo's world has not been built yet")
    return part
