"""A challenger as the configuration has it, and the threads that it runs on."""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from edge.active_model import ActiveModel, look_after
from edge.budget import Budget
from edge.candidates import Candidates
from edge.challenger import Challenger
from edge.config import GatewayConfig
from edge.model_store import ModelStore
from edge.pictures import part_bytes
from edge.threads import Start

log = logging.getLogger(__name__)

MODELS = "models"  # the folder of all model stores, in the state folder


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where there is no challenger all of it does nothing."""

    challenger: Challenger | None = None
    pointer: Path = Path()
    leave: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, start: Start) -> None:
        """Look, and take the releases that the pointer names."""
        if self.challenger is None:
            return
        model = self.challenger.model
        say_missing("challenger", model, self.pointer)
        self.threads.append(start("challenger", self.challenger.run))
        self.threads.append(start("challengers", lambda: look_after(model, self.leave, pointer=self.pointer)))

    def judge_by(self, config: GatewayConfig) -> None:
        """What it may take, from now on."""
        if self.challenger is not None:
            self.challenger.model.judge_by(_budget(config), keep_s=0)

    def close(self) -> None:
        """Let the threads end; the challenger is gone."""
        self.leave.set()
        if self.challenger is not None:
            self.challenger.close()


def open_shadow(config: GatewayConfig) -> Shadow:
    """The challenger that the configuration names, with the release that it ran last."""
    if config.challenger is None:
        return Shadow()
    store = ModelStore(config.state / MODELS, model=config.challenger, trust=config.trust)
    active = ActiveModel(store, keep_s=0, budget=_budget(config))
    active.resume()
    candidates = Candidates(
        config.challenger_pictures,
        blur={camera.name: camera.blur for camera in config.cameras},
        part_bytes=part_bytes(config.uplink.message_limit_bytes),
    )
    challenger = Challenger(active, cpu_share=config.challenger_cpu, candidates=candidates)
    return Shadow(challenger, pointer_of(config, config.challenger))


def pointer_of(config: GatewayConfig, model: str) -> Path:
    """The file that names a model's package."""
    return config.pointers / f"tidegate.Model.{model}" / "pointer"


def say_missing(what: str, model: ActiveModel, pointer: Path | None) -> None:
    """That there is neither a model nor anything that names one."""
    if model.current is None and pointer is not None and not pointer.exists():
        log.info("no %s yet; waiting for %s", what, pointer)


def _budget(config: GatewayConfig) -> Budget:
    return Budget(memory_bytes=config.memory_limit_bytes)
