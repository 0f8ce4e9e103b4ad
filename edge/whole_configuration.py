"""`python -m edge.whole_configuration WHERE`: a gateway's configuration from standard input, as JSON, with all that it
leaves to the defaults; for the desk, which ships this code and does not import it.

Each camera stays as it was given: a deployment replaces the list as a whole, and 32 cameras with all their defaults
would be longer than a recipe may be. Exit code 2, and one line on standard error, when a gateway would refuse it.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from edge.config import GatewayConfig
from models.configuration import document, parse
from models.errors import ConfigError


def whole(given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The configuration with all defaults that are a value; ConfigError when it makes no sense."""
    return {**document(parse(GatewayConfig, given, where=where)), "cameras": given["cameras"]}


def main() -> int:
    try:
        print(json.dumps(whole(json.load(sys.stdin), where=sys.argv[1])))
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
