"""What a component's configuration is by default, and what is refused before it leaves the desk."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

import tidegate
from edge.config import MAX_CAMERAS, GatewayConfig
from greengrass.configuration import whole_configuration
from greengrass.recipe import gateway_recipe
from greengrass.recipe_rules import check_recipe
from models.configuration import document, parse
from models.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden" / "gateway-configuration.json"
GIVEN: dict[str, Any] = {
    "model": "coco",
    "cameras": [{"name": "belt", "uri": "http://192.0.2.7/mjpeg", "fps": 5}],
    "byte_budget": {"limit_bytes": 50_000_000},
    "uplink": {"kind": "aws", "host": "example.amazonaws.com"},
}


def test_the_default_configuration_is_all_of_it() -> None:
    """Set TIDEGATE_REWRITE_GOLDEN=1 to take the present defaults as right."""
    whole = whole_configuration(GIVEN, where="gateway.toml")
    if os.environ.get("TIDEGATE_REWRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(whole, indent=2) + "\n")
    assert whole == json.loads(GOLDEN.read_text())
    config = parse(GatewayConfig, whole, where="the recipe")
    assert config == parse(GatewayConfig, GIVEN, where="gateway.toml"), "and means what was given"
    assert document(config).keys() == whole.keys()


def test_with_as_many_cameras_as_a_gateway_takes_the_recipe_is_short_enough() -> None:
    uri = "rtsp://operator:a-long-password@192.0.2.100:8554/Streaming/Channels/{}01?transportmode=unicast"
    cameras = [{"name": f"camera-{n}", "uri": uri.format(n), "fps": 5.0, "stall_s": 20} for n in range(MAX_CAMERAS)]
    whole = whole_configuration({**GIVEN, "cameras": cameras}, where="gateway.toml")
    check_recipe(
        gateway_recipe("1.0.0", configuration=whole, python="python3", artifact_uri="s3://bucket/tidegate.zip")
    )


def test_what_a_gateway_would_refuse_is_refused_at_the_desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('model = "coco"\nwindow_s = 0\n[[cameras]]\nname = "belt"\nuri = "usb:0"\n')
    out = tmp_path / "built"
    assert tidegate.main(["component", "build", "--gateway", "--config", str(file), "--out", str(out)]) == 2
    assert f"{file}: window_s must be in 0.1..3600, got 0" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("given", [{}, {"model": "coco", "cameras": [], "news": 1}, {**GIVEN, "cameras": "belt"}])
def test_where_it_is_wrong_is_said(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^gateway\.toml: "):
        whole_configuration(given, where="gateway.toml")
