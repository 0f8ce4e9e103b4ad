"""A gateway: what it opens, one configuration after another."""

import contextlib
import fcntl
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge.active_model import ActiveModel
from edge.cameras.opencv import prepare_opencv
from edge.config import GatewayConfig
from edge.config_changes import NO_NEWS, Source
from edge.kept_config import kept
from edge.model_store import ModelStore
from edge.running import Outcome, Running, budget_of
from edge.shadow import MODELS
from edge.spool import Spool
from edge.uplink import Uplink, open_uplink
from models.errors import SpoolError, TidegateError

log = logging.getLogger(__name__)

SPOOL = "spool.db"
_LOCK_S = 6.0  # the process before this one has 5 s to leave
_LOOK_S = 0.1


def run_gateway(
    config: GatewayConfig,
    *,
    gateway: str,
    stop: threading.Event,
    keep_running: bool,
    uplink: Uplink | None = None,
    source: Source = NO_NEWS,
    refused: str = "",
    busy: threading.Event | None = None,
) -> Outcome:
    """See, infer and ship until `stop`; unless `keep_running`, also until all cameras were files, have ended, and the
    cloud has acknowledged everything.

    `uplink` is used instead of the one that the configuration names, until that changes; it is closed in the end. A
    camera, a model or a cloud that is away is waited for. What a wait can't heal (the configuration, the state folder,
    a package that is refused) raises a TidegateError before the first frame.

    Other configurations come from `source`. One that cannot be opened is refused, as health says, and the one before
    goes on: at the start of a gateway that is to `keep_running` it is the one kept in the state folder. `refused` says
    why another than this `config` was refused already. `busy` is set while a window is written or a change is made.
    """
    prepare_opencv()
    before = kept(config.state) if keep_running and source is not NO_NEWS else None
    while True:
        with ExitStack() as opened:
            try:
                opened.enter_context(_locked(config.state))
                spool = opened.enter_context(Spool(config.state / SPOOL, limit_bytes=config.spool_limit_bytes))
                # before the model, which may take minutes to open: what is wrong is said at once
                link = opened.enter_context(contextlib.closing(uplink or open_uplink(config.uplink, gateway=gateway)))
                active = opened.enter_context(contextlib.closing(_open_model(config)))
                running = Running(
                    config,
                    gateway,
                    spool,
                    active,
                    link,
                    stop=stop,
                    keep_running=keep_running,
                    source=source,
                    refused=refused,
                    busy=busy or threading.Event(),
                )
            except TidegateError as exc:
                if before is None or before == config:
                    raise
                log.error("the configuration is refused, and the one before goes on: %s", exc)
                config, before, refused, uplink = before, None, str(exc), None
                continue
            outcome = running.run()
        if running.wanted is None or stop.is_set():
            return outcome
        config, before, refused, uplink = running.wanted, running.config, "", None


def _open_model(config: GatewayConfig) -> ActiveModel:
    store = ModelStore(config.state / MODELS, model=config.model, trust=config.trust)
    active = ActiveModel(store, keep_s=config.keep_s, budget=budget_of(config))
    if config.package is None:
        active.resume()
    elif config.allow_unsigned:
        active.offer_unsigned(config.package)
    else:
        active.offer(config.package)
    return active


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Keep a second gateway out of this state folder."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        file = (state / "lock").open("w")
    except OSError as exc:
        raise SpoolError(f"the state folder {state} cannot be written: {exc.strerror}") from exc
    with file:
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                if time.monotonic() > deadline:
                    raise SpoolError(f"another gateway runs in the state folder {state}; stop it first") from exc
                time.sleep(_LOOK_S)
        yield
