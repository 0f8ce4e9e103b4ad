"""What docs/new-models.md says to write is what a gateway reads, and its figures are the gateway's."""

import re
import tomllib
from pathlib import Path

from edge.active_model import DISK_RETRY_S
from edge.budget import UNNOTICED_MS, Budget
from edge.config import GatewayConfig
from models.configuration import parse

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "new-models.md").read_text()
CAMERA = {"name": "belt", "uri": "usb:0"}


def test_its_settings_are_read() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    written = tomllib.loads("".join(blocks))
    config = parse(GatewayConfig, {"model": "coco", "cameras": [CAMERA], **written}, where="docs/new-models.md")
    assert (config.latency_budget_ms, config.challenger, config.challenger_pictures) == (40, "coco-next", 20)


def test_its_figures_are_the_defaults() -> None:
    config = parse(GatewayConfig, {"model": "coco", "cameras": [CAMERA]}, where="")
    assert f"`keep_s` ({config.keep_s:g} s)" in PAGE
    assert f"`max_slowdown = {config.max_slowdown}`" in PAGE
    assert config.max_slowdown == Budget().slowdown
    assert f"more than {UNNOTICED_MS:g} ms" in PAGE
    assert f"tries again every {DISK_RETRY_S:g} s" in PAGE
