"""What Greengrass starts: `python -m edge.component`. The configuration comes from the nucleus."""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from contextlib import closing
from typing import Any

from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.kept_config import start_with
from edge.leaving import leave
from edge.nucleus import Nucleus
from models.configuration import parse
from models.errors import ConfigError, TidegateError

log = logging.getLogger("tidegate")

_KEY = "gateway"
_WHERE = f"component configuration, {_KEY}"


class _FromNucleus:
    """Configurations as the nucleus tells of them."""

    def __init__(self, nucleus: Nucleus) -> None:
        self._nucleus = nucleus

    def changed(self) -> GatewayConfig | None:
        document = self._nucleus.news()
        return None if document is None else parse(GatewayConfig, _unfolded(document), where=_WHERE)


def main() -> int:
    """Run until SIGTERM. A non-zero status lets the nucleus start the component again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("awsiot").setLevel(logging.CRITICAL)  # each try to connect; what matters we say ourselves, once
    stop, busy = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        name = os.environ.get("AWS_IOT_THING_NAME")
        if not name:
            raise ConfigError(
                "AWS_IOT_THING_NAME is not set: edge.component is started by Greengrass; elsewhere use "
                "`tidegate gateway run`"
            )
        with closing(Nucleus(_KEY, busy=busy)) as nucleus:
            config, refused = start_with(_unfolded(nucleus.read()), where=_WHERE)
            source = _FromNucleus(nucleus)
            run_gateway(config, gateway=name, stop=stop, keep_running=True, source=source, refused=refused, busy=busy)
    except TidegateError as exc:
        log.error("%s", exc)
        return exc.exit_code
    return 0


def _unfolded(document: Any) -> Any:
    """The configuration with its cameras as a list: many travel as one string of JSON, since nucleus lite counts
    values. What is no JSON stays, and is refused as what it is."""
    if isinstance(document, dict) and isinstance(document.get("cameras"), str):
        with contextlib.suppress(ValueError):
            return {**document, "cameras": json.loads(document["cameras"])}
    return document


if __name__ == "__main__":
    status = main()
    leave(status)
    sys.exit(status)
