"""A gateway becomes a service that may do little, and that starts only where it can see what it needs."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tidegate
from edge import service
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig, UplinkConfig
from edge.service import Devices, check, devices, secrets, unit, users
from models.errors import ConfigError

COMMAND = ("/usr/bin/env", "gateway", "run")
ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
USB = Devices(("char-video4linux",), ("video",))


def config(*uris: str, **settings: object) -> GatewayConfig:
    cameras = tuple(CameraConfig(f"camera-{index}", uri) for index, uri in enumerate(uris))
    return GatewayConfig("coco", cameras, **settings)  # type: ignore[arg-type]


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, "--no-pager", *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("uris", "found"),
    [
        (("rtsp://192.0.2.7/stream", "http://192.0.2.8/"), Devices()),
        (("/var/lib/videos/a.mp4",), Devices()),
        (("usb:0", "http://192.0.2.8/"), USB),
        (("/dev/video2",), USB),
    ],
)
def test_only_a_camera_of_this_machine_opens_devices(uris: tuple[str, ...], found: Devices) -> None:
    assert devices(config(*uris)) == found


def test_a_camera_on_a_ribbon_needs_more_than_one_on_a_cable() -> None:
    found = devices(config("picamera:0", "usb:0"))
    assert set(USB.allowed) < set(found.allowed)
    assert "char-media" in found.allowed


def test_without_a_local_camera_there_are_no_devices() -> None:
    text = unit(COMMAND, folder=Path("/etc/tidegate"), devices=Devices())
    assert "PrivateDevices=yes\n" in text
    assert "DeviceAllow" not in text


def test_with_one_there_are_its_devices_and_no_others() -> None:
    text = unit(COMMAND, folder=Path("/etc/tidegate"), devices=USB)
    assert "DevicePolicy=closed\nDeviceAllow=char-video4linux rw\nSupplementaryGroups=video\n" in text
    assert "PrivateDevices" not in text


@needs_analyze
@pytest.mark.parametrize("found", [Devices(), USB, devices(config("picamera:0"))])
def test_systemd_takes_the_unit_and_finds_it_tight(tmp_path: Path, found: Devices) -> None:
    path = tmp_path / service.UNIT
    path.write_text(unit(COMMAND, folder=Path("/etc"), devices=found))
    verified = analyze("verify", str(path))
    assert verified.returncode == 0
    assert service.UNIT not in verified.stderr, "it knows all settings"
    # 10.0 is a service without any sandbox; systemd's own word for below 2 is "OK"
    judged = analyze("security", "--offline=true", "--threshold=20", str(path))
    assert judged.returncode == 0, judged.stdout[-2000:]


@needs_analyze
@pytest.mark.parametrize("word", ["a b", 'quo"ted', "50%", "$HOME", "back\\slash", "semi;colon", "it's", "ümläut"])
def test_odd_words_reach_the_gateway_as_they_are(tmp_path: Path, word: str) -> None:
    path = tmp_path / service.UNIT
    folder = tmp_path / word
    folder.mkdir()
    path.write_text(unit((*COMMAND, word), folder=folder, devices=Devices()))
    verified = analyze("verify", str(path))
    assert service.UNIT not in verified.stderr


def test_a_wrong_configuration_is_said_once_and_not_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "gateway.toml"
    wrong.write_text('model = "coco"\ncamera = "usb:0"\n')
    status = tidegate.main(["gateway", "run", "--config", str(wrong)])
    assert capsys.readouterr().err.count("\n") == 1
    lines = unit(COMMAND, folder=Path("/etc/tidegate"), devices=Devices()).splitlines()
    assert f"RestartPreventExitStatus={status}" in lines
    assert "Restart=always" in lines


@needs_analyze
def test_the_service_has_a_user_of_its_own(tmp_path: Path) -> None:
    if (sysusers := shutil.which("systemd-sysusers")) is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc/sysusers.d").mkdir(parents=True)
    (tmp_path / "etc/sysusers.d/tidegate.conf").write_text(users())
    done = subprocess.run([sysusers, f"--root={tmp_path}", "tidegate.conf"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "etc/passwd").read_text().splitlines()
    name, _, _, _, _, home, shell = line.split(":")
    assert (name, home) == ("tidegate", "/var/lib/tidegate")
    assert shell.endswith("nologin")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What an administrator has put into /etc, below a folder that stands for / and that everybody can reach."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        monkeypatch.setattr(service, "_HIDDEN", (Path(root) / "home",))
        yield _provide(Path(root) / "etc")


def _provide(etc: Path) -> Path:
    for name in ("trust/coco.root.json", "ca.crt", "gateway.crt", "gateway.key", "gateway.toml"):
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text("{}")
        (etc / name).chmod(0o644)
    (etc / "gateway.toml").write_text(
        'model = "coco"\ncameras = [{name = "door", uri = "usb:0"}]\n'
        '[uplink]\nkind = "mqtt"\nhost = "broker.example"\nca = "ca.crt"\n'
        'certificate = "gateway.crt"\nkey = "gateway.key"\n'
    )
    return etc


MQTT = UplinkConfig(
    "mqtt", "broker.example", ca=Path("ca.crt"), certificate=Path("gateway.crt"), key=Path("gateway.key")
)


def test_a_key_and_a_configuration_are_for_the_service_alone(site: Path) -> None:
    found = secrets(config("usb:0", uplink=MQTT), site / "gateway.toml")
    assert found == [site / "gateway.toml", site / "gateway.key"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("trust/coco.root.json", "root of trust .*/trust/coco.root.json is not there"),
        ("gateway.key", "key .*/gateway.key is not there"),
    ],
)
def test_what_is_missing_is_said_before_the_service_fails(site: Path, change: str, complaint: str) -> None:
    (site / change).unlink()
    with pytest.raises(ConfigError, match=complaint):
        check(config("usb:0", uplink=MQTT), site / "gateway.toml", [])


def test_what_lies_in_somebodys_home_can_not_be_seen(site: Path) -> None:
    with pytest.raises(ConfigError, match=r"the program .*/home/pi/bin/tidegate lies where the service can't see it"):
        check(config("usb:0", uplink=MQTT), site / "gateway.toml", [site.parent / "home/pi/bin/tidegate"])


def test_the_folder_of_pointers_can_be_seen_and_the_state_is_where_systemd_puts_it(site: Path) -> None:
    hidden = config("usb:0", uplink=MQTT, pointers=site.parent / "home" / "models")
    with pytest.raises(ConfigError, match=r"the folder of pointers .*/home/models lies where"):
        check(hidden, site / "gateway.toml", [])
    with pytest.raises(
        ConfigError, match=r"a service keeps its state in /var/lib/tidegate; leave out state = '/srv/x'"
    ):
        check(config("usb:0", uplink=MQTT, state=Path("/srv/x")), site / "gateway.toml", [])
    check(config("usb:0", uplink=MQTT, state=service.STATE), site / "gateway.toml", [])


def test_a_challenger_is_trusted_by_a_root_of_its_own(site: Path) -> None:
    with pytest.raises(ConfigError, match=r"root of trust .*/trust/other.root.json is not there"):
        check(config("usb:0", uplink=MQTT, challenger="other"), site / "gateway.toml", [])


def test_what_the_service_may_not_read_is_said(site: Path) -> None:
    (site / "ca.crt").chmod(0o600)
    with pytest.raises(ConfigError, match=r"ca .*/ca.crt can't be read by user tidegate"):
        secrets(config("usb:0", uplink=MQTT), site / "gateway.toml")
    (site / "ca.crt").chmod(0o644)
    (site / "trust").chmod(0o700)
    with pytest.raises(ConfigError, match=r"coco.root.json can't be reached by user tidegate: `chmod o\+x .*/trust`"):
        secrets(config("usb:0", uplink=MQTT), site / "gateway.toml")
    (site / "trust").chmod(0o755)
    site.chmod(0o700)
    with pytest.raises(ConfigError, match=r"can't be reached by user tidegate: `chmod o\+x .*/etc`"):
        secrets(config("usb:0", uplink=MQTT), site / "gateway.toml")


def test_greengrass_is_not_waited_for_by_a_service(site: Path) -> None:
    with pytest.raises(ConfigError, match="a service needs mqtt or aws"):
        check(config("usb:0"), site / "gateway.toml", [])


def install(site: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.executable", str(site.parent / "opt/bin/python"))
    for name in ("tidegate", "python"):
        (site.parent / "opt/bin").mkdir(parents=True, exist_ok=True)
        (site.parent / "opt/bin" / name).touch()
    return tidegate.main(["gateway", "install", "--config", str(site / "gateway.toml"), *words])


def test_a_dry_run_shows_all_and_writes_nothing(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(site.parent.rglob("*"))
    assert install(site, monkeypatch, "--dry-run", "--name", "g1") == 0
    out = capsys.readouterr().out
    assert f"ExecStart={site.parent}/opt/bin/tidegate gateway run --config {site}/gateway.toml" in out
    assert "--state /var/lib/tidegate --keep-running --name g1" in out
    assert out.strip().endswith(
        f"systemd-sysusers /etc/sysusers.d/tidegate.conf\nchgrp tidegate {site}/gateway.toml\n"
        f"chgrp tidegate {site}/gateway.key\nchmod 0640 {site}/gateway.toml\nchmod 0640 {site}/gateway.key\n"
        "systemctl daemon-reload\nsystemctl enable tidegate-gateway.service\nsystemctl restart tidegate-gateway.service"
    )
    written = {path for path in site.parent.rglob("*") if path not in before}
    assert all(path.is_relative_to(site.parent / "opt") for path in written)


def test_below_another_root_only_files_are_written(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = tmp_path / "image"
    assert install(site, monkeypatch, "--root", str(root)) == 0
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert files == ["etc/systemd/system/tidegate-gateway.service", "etc/sysusers.d/tidegate.conf"]
    assert (site / "gateway.key").stat().st_mode & 0o777 == 0o644


def test_a_configuration_that_makes_no_sense_is_not_installed(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "gateway.toml").write_text('model = "coco"\ncameras = []\n')
    assert install(site, monkeypatch, "--root", str(tmp_path / "image")) == 2
    assert "cameras must name at least one camera" in capsys.readouterr().err
    assert not (tmp_path / "image").exists()


def test_only_root_installs(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert install(site, monkeypatch) == 2
    assert "call it with sudo" in capsys.readouterr().err
