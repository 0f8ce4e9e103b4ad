"""What Greengrass starts: `python -m edge.component`. The configuration comes from the nucleus."""

import logging
import os
import signal
import sys
import threading

from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.leaving import leave
from edge.uplink_ipc import read_configuration
from models.configuration import parse
from models.errors import ConfigError, TidegateError

log = logging.getLogger("tidegate")

_KEY = "gateway"


def main() -> int:
    """Run until SIGTERM. A non-zero status lets the nucleus start the component again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("awsiot").setLevel(logging.CRITICAL)  # each try to connect; what matters we say ourselves, once
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        name = os.environ.get("AWS_IOT_THING_NAME")
        if not name:
            raise ConfigError(
                "AWS_IOT_THING_NAME is not set: edge.component is started by Greengrass; elsewhere use "
                "`tidegate gateway run`"
            )
        config = parse(GatewayConfig, read_configuration(_KEY), where=f"component configuration, {_KEY}")
        run_gateway(config, gateway=name, stop=stop, keep_running=True)
    except TidegateError as exc:
        log.error("%s", exc)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    status = main()
    leave(status)
    sys.exit(status)
