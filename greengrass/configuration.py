"""The gateway's configuration at the desk: checked, and completed, by the very code that is shipped to read it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import models
from models.errors import ConfigError, DeployError


def whole_configuration(given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """All settings of the gateway with their values, those that are not `given` with their defaults; ConfigError when a
    gateway would refuse it, with `where` in front of the reason."""
    root = Path(models.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "edge.whole_configuration", where],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == ConfigError.exit_code:
        raise ConfigError(done.stderr.strip())
    if done.returncode:
        raise DeployError(f"{where} could not be checked: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}")
    return cast(dict[str, Any], json.loads(done.stdout))
