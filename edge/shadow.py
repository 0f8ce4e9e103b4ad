"""Who looks on without answering, and the threads that they run on: a release of the running model that a deployment
put beside it, or else a model of another name that the configuration names."""

import logging
import threading
from pathlib import Path

from edge.active_model import ActiveModel, look_after
from edge.budget import Budget
from edge.candidates import Candidates
from edge.challenger import Challenger
from edge.config import GatewayConfig
from edge.looking_on import LookingOn
from edge.model_store import ModelStore
from edge.pictures import part_bytes
from edge.threads import Start
from models.manifest import Manifest

log = logging.getLogger(__name__)

MODELS = "models"  # the folder of all model stores, in the state folder
LOOKING_ON = "looking-on"  # and that of releases which do not answer yet


class Shadow:
    """The challengers of a gateway whose model is `running`. Only one compares at a time: a release that was deployed
    to look on before the one that the configuration names."""

    def __init__(self, config: GatewayConfig, running: ActiveModel) -> None:
        self.threads: list[threading.Thread] = []
        self._leave = threading.Event()
        self._released: Challenger | None = None
        self._looking_on: LookingOn | None = None
        self._configured: Challenger | None = None
        self._pointer = Path()
        if config.package is None:
            model = _model(config, config.model, folder=LOOKING_ON)
            self._released = _challenger(config, model, daily=config.shadow_pictures)
            pointer = config.pointers / f"tidegate.Challenger.{config.model}" / "pointer"
            self._looking_on = LookingOn(model, pointer, running=running)
        if config.challenger is not None:
            model = _model(config, config.challenger, folder=MODELS)
            model.resume()
            self._configured = _challenger(config, model, daily=config.challenger_pictures)
            self._pointer = pointer_of(config, config.challenger)

    @property
    def challenger(self) -> Challenger | None:
        """The one that compares now."""
        released, configured = self._released, self._configured
        return configured if released is None or (configured and released.model.current is None) else released

    @property
    def failed_release(self) -> str:
        """Of a release that was deployed to look on and does not: which, and why; or ""."""
        return self._released.model.failed_release if self._released is not None else ""

    def start(self, start: Start) -> None:
        """Look, and take the releases that the pointers name."""
        if self._released is not None and self._looking_on is not None:
            looking_on = self._looking_on
            self.threads.append(start("shadow", self._released.run))
            self.threads.append(start("shadows", lambda: looking_on.run(self._leave)))
        if self._configured is not None:
            model = self._configured.model
            say_missing("challenger", model, self._pointer)
            self.threads.append(start("challenger", self._configured.run))
            self.threads.append(start("challengers", lambda: look_after(model, self._leave, pointer=self._pointer)))

    def make_room(self, manifest: Manifest) -> None:
        """The release is about to be opened, to answer."""
        if self._looking_on is not None:
            self._looking_on.make_room(manifest)

    def judge_by(self, config: GatewayConfig) -> None:
        """What they may take, from now on."""
        for challenger in self._challengers:
            challenger.model.judge_by(_budget(config), keep_s=0)

    def close(self) -> None:
        """Let the threads end; nobody looks on any more."""
        self._leave.set()
        for challenger in self._challengers:
            challenger.close()

    @property
    def _challengers(self) -> list[Challenger]:
        return [challenger for challenger in (self._released, self._configured) if challenger is not None]


def pointer_of(config: GatewayConfig, model: str) -> Path:
    """The file that names a model's package."""
    return config.pointers / f"tidegate.Model.{model}" / "pointer"


def say_missing(what: str, model: ActiveModel, pointer: Path | None) -> None:
    """That there is neither a model nor anything that names one."""
    if model.current is None and pointer is not None and not pointer.exists():
        log.info("no %s yet; waiting for %s", what, pointer)


def _model(config: GatewayConfig, name: str, *, folder: str) -> ActiveModel:
    store = ModelStore(config.state / folder, model=name, trust=config.trust)
    return ActiveModel(store, keep_s=0, budget=_budget(config))


def _challenger(config: GatewayConfig, model: ActiveModel, *, daily: int) -> Challenger:
    candidates = Candidates(
        daily,
        blur={camera.name: camera.blur for camera in config.cameras},
        part_bytes=part_bytes(config.uplink.message_limit_bytes),
    )
    return Challenger(model, cpu_share=config.challenger_cpu, candidates=candidates)


def _budget(config: GatewayConfig) -> Budget:
    return Budget(memory_bytes=config.memory_limit_bytes)
