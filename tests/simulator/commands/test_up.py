"""`tidegate up`: a cloud for another shell, one per folder, gone without a trace of its ports after Ctrl-C."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tidegate
from simulator import processes
from simulator.local_cloud import BUCKET
from simulator.nucleus.personality import JAVA

Up = Callable[[Path], "subprocess.Popen[bytes]"]

# what a shell beside it does: a component for the gateway that runs there
DEPLOY = """
import json, time, boto3
lifecycle = {"run": "echo $GGC_VERSION > nucleus; exec tail -f /dev/null"}
recipe = {"RecipeFormatVersion": "2020-01-25", "ComponentName": "a.Stay", "ComponentVersion": "1.0.0",
          "Manifests": [{"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": lifecycle}]}
greengrass, iot = boto3.client("greengrassv2"), boto3.client("iot")
greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())
group = iot.describe_thing_group(thingGroupName="fleet")["thingGroupArn"]
greengrass.create_deployment(targetArn=group, components={"a.Stay": {"componentVersion": "1.0.0"}})
status = ""
while status not in ("SUCCEEDED", "FAILED"):
    time.sleep(0.1)
    try:
        status = greengrass.list_effective_deployments(coreDeviceThingName="press")["effectiveDeployments"][0][
            "coreDeviceExecutionStatus"]
    except greengrass.exceptions.ResourceNotFoundException:
        pass
print(status)
"""


def wait_for(process: "subprocess.Popen[bytes]", path: Path) -> None:
    while not path.exists():
        with pytest.raises(subprocess.TimeoutExpired):  # it still runs
            process.wait(0.05)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    started = []

    def start(folder: Path) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tidegate", "up", "--out", str(folder), "--device", "door"]
        command += ["--gateway", "press", "--nucleus", "java"]
        started.append(processes.start(command, log=tmp_path / "up.log"))
        return started[-1]

    yield start
    for process in started:
        processes.stop(process)


def test_another_shell_uses_it_until_ctrl_c(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "a cloud"
    environment = folder / "environment"
    process = up(folder)
    wait_for(process, environment)
    buckets = "import boto3; print([bucket['Name'] for bucket in boto3.client('s3').list_buckets()['Buckets']])"
    asked = subprocess.run(
        ["/bin/sh", "-c", '. "$1/environment" && exec "$2" -c "$3"', "sh", folder, sys.executable, buckets],
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout == f"['{BUCKET}']\n"
    assert (folder / "certificates" / "door.crt").is_file()
    deployed = subprocess.run(
        ["/bin/sh", "-c", '. "$1/environment" && exec "$2" -c "$3"', "sh", folder, sys.executable, DEPLOY],
        capture_output=True,
        text=True,
        check=True,
    )
    assert deployed.stdout == "SUCCEEDED\n"
    assert (folder / "gateways" / "press" / "work" / "a.Stay" / "nucleus").read_text() == f"{JAVA.version}\n"

    second = subprocess.run(
        [sys.executable, "-m", "tidegate", "up", "--out", folder], capture_output=True, text=True, check=False
    )
    assert (second.returncode, second.stderr.count("\n")) == (2, 1)
    assert "another local cloud runs in" in second.stderr

    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not environment.exists()
    assert "Traceback" not in (tmp_path / "up.log").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "a-file"], "cannot be used for a local cloud"),
        (["--device", "../../door"], "gateway name must be"),
        (["--device", "ca"], "the local cloud itself goes by that name"),
        (["--gateway", "ca"], "the local cloud itself goes by that name"),
        (["--device", "ingest"], "the local cloud itself goes by that name"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    assert tidegate.main(["up", *words]) in (1, 2)
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
