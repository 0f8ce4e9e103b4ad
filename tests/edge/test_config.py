"""What a gateway's configuration takes and refuses."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import tidegate
from edge.byte_budget import ByteBudget
from edge.config import GatewayConfig
from edge.config_file import located, read_config
from models.configuration import parse
from models.errors import ConfigError

MINIMAL: dict[str, Any] = {"model": "coco", "cameras": [{"name": "door", "uri": "usb:0"}]}


def test_a_model_and_a_camera_are_enough() -> None:
    config = parse(GatewayConfig, MINIMAL, where="gateway.toml")
    assert config.window_s == 60
    assert config.uplink.message_limit_bytes == 5_000


def test_a_broker_takes_larger_messages_than_the_nucleus() -> None:
    document = {**MINIMAL, "uplink": {"kind": "mqtt", "host": "127.0.0.1", "port": 1883}}
    assert parse(GatewayConfig, document, where="gateway.toml").uplink.message_limit_bytes == 131_072


CAMERA: dict[str, Any] = MINIMAL["cameras"][0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"windows_s": 5}, "unknown key 'windows_s'; did you mean 'window_s'"),
        ({"window_s": -5}, "window_s must be in 0.1..3600, got -5"),
        ({"window_s": "60"}, "window_s must be a number, got '60'"),
        ({"model": "Coco Large"}, "model must be lower-case"),
        ({"cameras": []}, "at least one camera"),
        ({"cameras": [CAMERA, CAMERA]}, "different names"),
        ({"cameras": [{"name": "door", "uri": "ftp://x/y"}]}, "uri must be a file, a folder, http://, rtsp://"),
        ({"cameras": [{"name": "a door", "uri": "usb:0"}]}, "camera name"),
        ({"cameras": [{"name": "door", "uri": "usb:front"}]}, "like usb:0, /dev/video0 or picamera:0, got 'usb:front'"),
        ({"cameras": [{"name": "door", "uri": "/dev/video"}]}, "like usb:0, /dev/video0 or picamera:0"),
        ({"cameras": [{"name": "door", "uri": "http://[::1/stream"}]}, "uri is not well-formed"),
        ({"cameras": [{"name": "door", "uri": "rtsp://192.0.2.7:99999/stream"}]}, "uri is not well-formed"),
        ({"cameras": [{"name": "door", "uri": "a.mp4", "numbered": True}]}, "numbered is for live cameras"),
        ({"cameras": [{"name": "door", "uri": "usb:0", "fps": 0}]}, "fps must be in 0.01..240"),
        ({"cameras": [{**CAMERA, "ca": "ca.pem"}]}, "ca is for a camera at https:// or rtsps://"),
        ({"cameras": [{**CAMERA, "uri": "https://a/", "ca": "c;a|b"}]}, "ca must be a path without ; and |"),
        ({"cameras": [{**CAMERA, "rotate": 45}]}, "rotate must be one of 0, 90, 180, 270, got 45"),
        ({"cameras": [{**CAMERA, "crop": [0.5, 0, 0.5, 1]}]}, "crop must be [left, top, right, bottom]"),
        ({"cameras": [{**CAMERA, "crop": [0, 0, 1]}]}, "crop must be [left, top, right, bottom]"),
        ({"cameras": [{**CAMERA, "size": [640]}]}, "size must be [width, height]"),
        ({"cameras": [{**CAMERA, "frozen_s": -1}]}, "frozen_s must be in 0.1..86400, or 0 for never"),
        ({"cameras": [{**CAMERA, "masks": [[[0, 0], [1, 1]]]}]}, "masks[0] must have at least 3 points"),
        ({"cameras": [{**CAMERA, "masks": [[[0, 0], [1, 1], [640, 0]]]}]}, "masks[0] must have points [x, y] in parts"),
        ({"cameras": [{**CAMERA, "regions": [[[0, 0], [1, 1], [0.5, 0.5]]]}]}, "regions[0] must enclose an area"),
        ({"cameras": [{**CAMERA, "motion": {"threshold": 0}}]}, "threshold must be in 1..254, got 0"),
        ({"cameras": [{**CAMERA, "motion": {"area": 0}}]}, "area must be a part of the picture"),
        ({"cameras": [{**CAMERA, "blur": [""]}]}, "blur must name classes"),
        ({"spool_limit_bytes": 10}, "spool_limit_bytes must be at least"),
        ({"latency_budget_ms": 0}, "latency_budget_ms must be in 0.1..60000, got 0"),
        ({"max_slowdown": 1}, "max_slowdown must be in 1.1..1000, got 1"),
        ({"memory_limit_bytes": 160}, "memory_limit_bytes must be at least"),
        ({"challenger": "coco"}, "challenger must be another model than 'coco'"),
        ({"challenger": "Coco"}, "challenger must be lower-case"),
        ({"challenger_pictures": -1}, "challenger_pictures must be in 0..100000 a day, got -1"),
        ({"challenger_cpu": 0}, "challenger_cpu must be in 0.001..1, got 0"),
        ({"uplink": {"kind": "carrier-pigeon"}}, "must be one of ipc, aws, mqtt"),
        ({"uplink": {"kind": "ipc", "limit_bytes": 10}}, "limit_bytes must be in 1000..131072"),
        ({"uplink": {"port": 0}}, "port must be in 1..65535"),
        ({"metrics_port": 80}, "metrics_port must be 0 or in 1024..65535, got 80"),
        ({"cameras": [{"name": f"c{n}", "uri": "usb:0"} for n in range(33)]}, "cameras must be at most 32, got 33"),
        ({"allow_unsigned": True}, "allow_unsigned is for a package folder"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)) as raised:
        parse(GatewayConfig, {**MINIMAL, **change}, where="gateway.toml")
    assert str(raised.value).startswith("gateway.toml: ")


def test_a_password_is_in_no_complaint_and_in_no_printed_configuration() -> None:
    camera = {"name": "door", "uri": "ftp://admin:secret@192.0.2.7/x?password=secret"}
    with pytest.raises(ConfigError) as raised:
        parse(GatewayConfig, {**MINIMAL, "cameras": [camera]}, where="gateway.toml")
    assert "secret" not in str(raised.value)
    good = parse(
        GatewayConfig, {**MINIMAL, "cameras": [{**camera, "uri": "rtsp://admin:secret@192.0.2.7/x"}]}, where=""
    )
    assert "secret" not in repr(good)


def test_the_byte_budget_of_the_guide_is_one() -> None:
    guide = (Path(tidegate.__file__).parent / "docs" / "spool.md").read_text()
    example = guide.split("```toml\n")[1].split("```")[0]
    config = parse(GatewayConfig, {**MINIMAL, **tomllib.loads(example)}, where="docs/spool.md")
    assert config.byte_budget == ByteBudget(50_000_000, "month")


def test_paths_in_a_file_start_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "gateway.toml").write_text(
        'model = "coco"\ntrust = "/etc/trust"\n[uplink]\nkind = "mqtt"\nhost = "broker"\nca = "tls/ca.crt"\n'
        '[[cameras]]\nname = "film"\nuri = "film.mp4"\n[[cameras]]\nname = "photos"\nuri = "file://photos"\n'
        '[[cameras]]\nname = "door"\nuri = "https://door/"\nca = "door.pem"\n'
    )
    monkeypatch.chdir(tmp_path)
    config = read_config(Path("site/gateway.toml"))
    site = tmp_path / "site"
    assert (config.trust, config.state, config.uplink.ca) == (Path("/etc/trust"), site / "state", site / "tls/ca.crt")
    assert [camera.uri for camera in config.cameras] == [str(site / "film.mp4"), str(site / "photos"), "https://door/"]
    assert config.cameras[2].ca == site / "door.pem"
    assert located(config, Path("/elsewhere")) == config


def test_a_byte_budget_out_of_range_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"gateway\.toml: byte_budget: limit_bytes must be at least 300000 a day"):
        parse(GatewayConfig, {**MINIMAL, "byte_budget": {"limit_bytes": 5}}, where="gateway.toml")
