"""A device takes deployments and runs real processes, through faults."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greengrass.recipe import model_recipe
from models.mqtt import Broker, Connection
from models.topics import results_filter, results_topic, shard_of
from simulator.aws import Aws
from simulator.broker import INGEST
from simulator.control_plane import ControlPlane
from simulator.nucleus.component import State
from simulator.nucleus.device_state import DeviceState
from simulator.nucleus.nucleus import Nucleus
from simulator.ports import free_port
from tests.simulator.nucleus.desk import HASTY, Desk, Report, alive, group_of, zipped
from tests.simulator.nucleus.recipes import recipe
from tests.simulator.nucleus.waiting import eventually

SUCCEEDED = Report("SUCCEEDED", "SUCCESSFUL", "")
STAY = "exec tail -f /dev/null"


def running_pid(nucleus: Nucleus, component: str) -> int:
    eventually(lambda: nucleus.pid(component) is not None, what=f"{component} runs")
    pid = nucleus.pid(component)
    assert pid is not None
    return pid


def test_a_new_model_version_reaches_the_gateway_whose_process_stays(desk: Desk, unique: str) -> None:
    """The hand-over of GREENGRASS.md, with the recipe that models really get."""
    device = desk.device(unique, f"{unique}-fleet", f"{unique}-ring")
    models = []
    for release in (1, 2):
        item = desk.upload(f"{unique}/{release}/package.zip", zipped({"manifest.json": f"release {release}"}))
        models.append(model_recipe(unique, release, artifact_uri=item["Uri"]))
    model, gateway = f"tidegate.Model.{unique}", f"{unique}.Gateway"
    # like the gateway: watches the pointer beside its own work folder
    watch = f'while :; do cat "../{model}/pointer" 2>/dev/null | xargs -I@ cat @/manifest.json; echo; sleep 0.05; done'
    desk.register(*models, recipe(gateway, watch))
    heard = device.root / "logs" / f"{gateway}.log"

    first = [
        desk.deploy(f"{unique}-fleet", {gateway: "1.0.0"}),
        desk.deploy(f"{unique}-ring", {model: "1.0.0"}),
    ]
    assert [desk.report(unique, deployment) for deployment in first] == [SUCCEEDED, SUCCEEDED]
    eventually(lambda: "release 1" in heard.read_text())
    pid = running_pid(device, gateway)
    unpacked = device.root / "packages" / "artifacts-unarchived" / model
    assert (unpacked / "1.0.0" / "package" / "manifest.json").stat().st_mode & 0o777 == 0o644

    assert desk.report(unique, desk.deploy(f"{unique}-ring", {model: "2.0.0"})) == SUCCEEDED
    eventually(lambda: "release 2" in heard.read_text())
    assert device.pid(gateway) == pid
    assert device.version(model) == "2.0.0"
    eventually(lambda: not (unpacked / "1.0.0").exists(), what="the old version's files are deleted")
    assert (unpacked / "2.0.0").exists()

    assert desk.report(unique, desk.deploy(f"{unique}-ring", {model: "1.0.0"})) == SUCCEEDED  # a revert
    assert (device.version(model), device.pid(gateway)) == ("1.0.0", pid)
    pointer = device.root / "work" / model / "pointer"
    eventually(lambda: pointer.read_text() == f"{unpacked}/1.0.0/package\n")


def test_a_group_that_the_device_has_left_wants_nothing_of_it_any_more(desk: Desk, unique: str) -> None:
    """Both nuclei ask for their thing groups at each deployment (ListThingGroupsForCoreDevice)."""
    device = desk.device(unique, f"{unique}-fleet", f"{unique}-ring")
    name, other = f"{unique}.Model", f"{unique}.Other"
    desk.register(*[recipe(name, STAY, version=version) for version in ("1.0.0", "2.0.0")], recipe(other, STAY))
    desk.report(unique, desk.deploy(f"{unique}-fleet", {other: "1.0.0"}))
    assert desk.report(unique, desk.deploy(f"{unique}-ring", {name: "1.0.0"})) == SUCCEEDED

    desk.move(unique, into=f"{unique}-wave", out_of=f"{unique}-ring")
    assert desk.report(unique, desk.deploy(f"{unique}-wave", {name: "2.0.0"})) == SUCCEEDED

    assert device.version(name) == "2.0.0"
    assert device.version(other) == "1.0.0"


def test_a_component_gets_greengrass_environment_and_nothing_of_ours(
    desk: Desk, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "secret")
    device = desk.device(unique, unique)
    name = f"{unique}.Env"
    desk.register(
        recipe(
            name,
            'env > new; pwd >> new; echo "{configuration:/greeting} {iot:thingName}" >> new; mv new seen; ' + STAY,
            configuration={"greeting": "hello"},
            Setenv={"MINE": "{work:path}/x"},
        )
    )
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    work = device.root / "work" / name
    eventually((work / "seen").exists)
    lines = (work / "seen").read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert lines[-2:] == [str(work), f"hello {unique}"]
    assert seen["MINE"] == f"{work}/x"
    assert seen["AWS_IOT_THING_NAME"] == unique
    assert seen["GGC_VERSION"] == "2.6.0"
    assert len(seen["SVCUID"]) == 16
    assert Path(seen["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"]).is_socket()
    assert {"AWS_REGION", "AWS_DEFAULT_REGION", "GG_ROOT_CA_PATH"} <= seen.keys()
    assert not {"OURS", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} & seen.keys()


def test_who_depends_on_the_token_exchange_uses_boto3_and_nobody_else_may(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    trusted, other = f"{unique}.Trusted", f"{unique}.Other"
    program = (
        "import boto3, os, pathlib, time, urllib.error, urllib.request\n"
        "names = [bucket['Name'] for bucket in boto3.client('s3').list_buckets()['Buckets']]\n"
        "try:\n"
        "    urllib.request.urlopen(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])\n"
        "except urllib.error.HTTPError as exc:\n"
        "    names.append(exc.code)\n"
        "pathlib.Path('new').write_text(repr(names))\n"
        "pathlib.Path('new').replace('seen')\n"
        "time.sleep(1000)\n"
    )
    document = recipe(
        trusted,
        f'exec {sys.executable} "{{artifacts:path}}/list.py"',
        Artifacts=[desk.upload(f"{unique}/list.py", program.encode())],
    )
    document["ComponentDependencies"] = {"aws.greengrass.TokenExchangeService": {"VersionRequirement": "^2.0.0"}}
    desk.register(document, recipe(other, "env > env; " + STAY))
    assert desk.report(unique, desk.deploy(unique, {trusted: "1.0.0", other: "1.0.0"})) == SUCCEEDED
    seen = device.root / "work" / trusted / "seen"
    eventually(seen.exists)
    assert seen.read_text() == "['artifacts', 403]"
    others = device.root / "work" / other / "env"
    eventually(lambda: others.exists() and "SVCUID" in others.read_text())
    assert "CREDENTIALS" not in others.read_text()


def test_a_component_that_keeps_failing_is_broken_and_the_others_go_on(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    good, bad = f"{unique}.Good", f"{unique}.Bad"
    desk.register(recipe(good, STAY), recipe(bad, "echo tried >> tries; exit 3"))
    report = desk.report(unique, desk.deploy(unique, {good: "1.0.0", bad: "1.0.0"}))
    assert report == Report("FAILED", "FAILED_ROLLBACK_NOT_REQUESTED", f"{bad} is BROKEN: ended with status 3")
    assert (device.root / "work" / bad / "tries").read_text() == "tried\n" * 3
    assert (device.state(bad), device.state(good)) == (State.BROKEN, State.RUNNING)
    pid = device.pid(good)

    desk.register(recipe(bad, STAY, version="1.0.1"))
    assert desk.report(unique, desk.deploy(unique, {good: "1.0.0", bad: "1.0.1"})) == SUCCEEDED
    assert (device.state(bad), device.pid(good)) == (State.RUNNING, pid)


def test_an_artifact_that_is_not_what_was_registered_is_refused_and_nothing_runs(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name, old = f"{unique}.Tampered", f"{unique}.Old"
    desk.register(recipe(old, STAY), recipe(name, STAY, Artifacts=[desk.upload(f"{unique}/tool", b"as registered")]))
    assert desk.report(unique, desk.deploy(unique, {old: "1.0.0"})) == SUCCEEDED
    pid = device.pid(old)
    desk.upload(f"{unique}/tool", b"as tampered!!")
    report = desk.report(unique, desk.deploy(unique, {old: "1.0.0", name: "1.0.0"}))
    assert (report.status, report.detail) == ("FAILED", "FAILED_NO_STATE_CHANGE")
    assert f"artifact s3://artifacts/{unique}/tool: its SHA-256 is" in report.cause
    assert device.state(name) is None
    assert device.pid(old) == pid
    assert not [path for path in (device.root / "packages").rglob("*") if path.is_file()]


def test_a_killed_component_is_started_again_with_all_of_its_group(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name = f"{unique}.Killed"
    desk.register(recipe(name, "sleep 1000 & sleep 1001"))  # no exec: it has children
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid = running_pid(device, name)
    group = group_of(pid)
    assert len(group) >= 3
    device.kill(name)
    eventually(lambda: device.pid(name) not in (None, pid), what="a new process")
    eventually(lambda: not alive(group), what="nothing is left of the old group")
    assert device.state(name) is State.RUNNING


def test_after_a_power_cut_a_device_runs_what_it_had_without_any_network(
    desk: Desk, unique: str, tmp_path: Path
) -> None:
    device = desk.device(unique, unique)
    name = f"{unique}.Steady"
    desk.register(
        recipe(
            name,
            'trap "echo goodbye >> said; exit" TERM; echo "{configuration:/n}" >> said; '
            'cat "{artifacts:path}/tool" >> said; while :; do sleep 0.05; done',
            configuration={"n": 1},
            Artifacts=[desk.upload(f"{unique}/tool", b"tool\n")],
        )
    )
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Steady={"merge": {"n": 2}})) == SUCCEEDED
    said = device.root / "work" / name / "said"
    group = group_of(running_pid(device, name))
    device.power_cut()
    assert not alive(group)
    assert device.pid(name) is None

    nowhere = f"http://127.0.0.1:{free_port()}"
    cut_off = Nucleus(
        unique,
        device.root,
        environment={name: nowhere if "ENDPOINT" in name else value for name, value in desk.environment.items()},
        broker=Broker("127.0.0.1", free_port()),
        personality=HASTY,
    )
    with cut_off:
        running_pid(cut_off, name)
        eventually(lambda: said.read_text() == "2\ntool\n" * 2)


def test_a_deployment_that_a_power_cut_interrupts_goes_on_afterwards(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name = f"{unique}.Slow"
    install = "echo started >> installs; test -e ready || exec sleep 1000"
    desk.register(recipe(name, STAY, install={"Script": install}))
    deployment = desk.deploy(unique, {name: "1.0.0"})
    installs = device.root / "work" / name / "installs"
    eventually(installs.exists, what="install has begun")
    device.power_cut()
    assert DeviceState.load(device.root / "config" / "state.json") == DeviceState()
    (installs.parent / "ready").touch()
    device.start()
    assert desk.report(unique, deployment) == SUCCEEDED
    assert device.state(name) is State.RUNNING
    assert installs.read_text() == "started\n" * 2


def test_closing_is_polite_first_and_leaves_nothing(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    polite, deaf = f"{unique}.Polite", f"{unique}.Deaf"
    desk.register(
        recipe(polite, "trap 'echo flushed > said; exit 0' TERM; echo up > up; while :; do sleep 0.05; done"),
        recipe(deaf, "trap '' TERM; sleep 1000 & while :; do sleep 0.05; done"),
    )
    assert desk.report(unique, desk.deploy(unique, {polite: "1.0.0", deaf: "1.0.0"})) == SUCCEEDED
    eventually((device.root / "work" / polite / "up").exists)
    groups = group_of(running_pid(device, polite)) | group_of(running_pid(device, deaf))
    device.close()
    assert not alive(groups)
    assert (device.root / "work" / polite / "said").read_text() == "flushed\n"


def test_what_a_deployment_does_not_name_is_removed(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    one, two = f"{unique}.One", f"{unique}.Two"
    desk.register(recipe(one, STAY), recipe(two, STAY))
    assert desk.report(unique, desk.deploy(unique, {one: "1.0.0", two: "1.0.0"})) == SUCCEEDED
    pid, gone = device.pid(one), running_pid(device, two)
    assert desk.report(unique, desk.deploy(unique, {one: "1.0.0"})) == SUCCEEDED
    assert (device.pid(one), device.state(two)) == (pid, None)
    assert not alive([gone])


def test_two_groups_that_want_different_versions_fail_the_deployment(desk: Desk, unique: str) -> None:
    device = desk.device(unique, f"{unique}-a", f"{unique}-b")
    name = f"{unique}.Torn"
    desk.register(recipe(name, STAY), recipe(name, STAY, version="2.0.0"))
    assert desk.report(unique, desk.deploy(f"{unique}-a", {name: "1.0.0"})) == SUCCEEDED
    pid = device.pid(name)
    report = desk.report(unique, desk.deploy(f"{unique}-b", {name: "2.0.0"}))
    assert report.detail == "FAILED_NO_STATE_CHANGE"
    assert "wanted as 1.0.0 by one group of this device and as 2.0.0 by another" in report.cause
    assert (device.version(name), device.pid(name)) == ("1.0.0", pid)


def test_configuration_outlives_versions_and_a_change_of_it_alone_restarts(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name, other = f"{unique}.Tuned", f"{unique}.Other"
    script = "echo {configuration:/a} {configuration:/b} >> said; " + STAY
    desk.register(
        recipe(name, script, configuration={"a": 1, "b": 1}),
        recipe(name, script, configuration={"a": 10, "b": 10}, version="2.0.0"),
        recipe(other, STAY),
    )
    said = device.root / "work" / name / "said"

    def told(*lines: str) -> None:
        eventually(lambda: said.exists() and tuple(said.read_text().splitlines()) == lines, what=f"it says {lines}")

    both = {name: "1.0.0", other: "1.0.0"}
    assert desk.report(unique, desk.deploy(unique, both)) == SUCCEEDED
    told("1 1")
    undisturbed = device.pid(other)
    assert desk.report(unique, desk.deploy(unique, both, Tuned={"merge": {"a": 2}})) == SUCCEEDED
    told("1 1", "2 1")
    assert desk.report(unique, desk.deploy(unique, both)) == SUCCEEDED  # nothing new: nothing restarts
    assert desk.report(unique, desk.deploy(unique, {**both, name: "2.0.0"})) == SUCCEEDED
    told("1 1", "2 1", "2 1")
    assert desk.report(unique, desk.deploy(unique, {**both, name: "2.0.0"}, Tuned={"reset": ["/a"]})) == SUCCEEDED
    told("1 1", "2 1", "2 1", "10 1")
    assert device.pid(other) == undisturbed


def test_a_component_without_run_or_startup_hangs_the_deployment_as_on_lite(desk: Desk, unique: str) -> None:
    desk.device(unique, unique, deployment_timeout_s=1.0)
    name = f"{unique}.InstallOnly"
    desk.register(recipe(name, "", install={"Script": "true"}))
    report = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}))
    assert report.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
    assert f"{name} is INSTALLED: it has neither run nor startup" in report.cause


def test_a_startup_component_runs_in_the_background_until_it_is_stopped(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name = f"{unique}.Daemon"
    desk.register(recipe(name, "", startup={"Script": "sleep 1000 & echo $! > pid; exit 0"}))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid_file = device.root / "work" / name / "pid"
    first = int(pid_file.read_text())
    assert alive([first])
    device.kill(name)
    eventually(lambda: int(pid_file.read_text() or first) != first, what="it is started again")
    eventually(lambda: device.state(name) is State.RUNNING)
    second = int(pid_file.read_text())
    device.close()
    assert not alive([first, second])


@pytest.mark.parametrize(
    ("script", "limits", "cause"),
    [
        ("exit 7", {}, "install ended with status 7"),
        ("sleep 1000", {"install_timeout_s": 0.1}, "install took too long"),  # lite's own time, and not the recipe's
    ],
)
def test_an_install_that_fails_leaves_the_old_version_running(
    desk: Desk, unique: str, script: str, limits: dict[str, Any], cause: str
) -> None:
    device = desk.device(unique, unique, **limits)
    name = f"{unique}.Installed"
    install = {"Script": script, "Timeout": 1800}
    desk.register(recipe(name, STAY), recipe(name, STAY, version="2.0.0", install=install))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid = device.pid(name)
    report = desk.report(unique, desk.deploy(unique, {name: "2.0.0"}))
    assert (report.detail, report.cause) == ("FAILED_NO_STATE_CHANGE", f"{name}: {cause}")
    assert (device.version(name), device.pid(name)) == ("1.0.0", pid)


def test_a_variable_of_the_java_nucleus_makes_a_component_broken(desk: Desk, unique: str) -> None:
    desk.device(unique, unique)
    name = f"{unique}.Dep"
    desk.register(recipe(name, "exec {other.Component:artifacts:path}/tool"))
    report = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}))
    assert report.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
    assert "is BROKEN: recipe variable {other.Component:artifacts:path} is not known to this nucleus" in report.cause


def test_dependencies_come_along_and_hard_ones_restart_their_dependents(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    app, hard, soft = f"{unique}.App", f"{unique}.Hard", f"{unique}.Soft"
    document = recipe(app, STAY)
    document["ComponentDependencies"] = {
        hard: {"VersionRequirement": "^1.0.0", "DependencyType": "HARD"},
        soft: {"VersionRequirement": "^1.0.0", "DependencyType": "SOFT"},
        "aws.greengrass.NucleusLite": {"VersionRequirement": ">=2.0.0"},
    }
    desk.register(document, recipe(hard, STAY), recipe(soft, STAY))
    assert desk.report(unique, desk.deploy(unique, {app: "1.0.0"})) == SUCCEEDED
    before = device.pid(app)
    assert device.version(hard) == device.version(soft) == "1.0.0"

    desk.register(recipe(soft, STAY, version="1.1.0"))
    assert desk.report(unique, desk.deploy(unique, {app: "1.0.0"})) == SUCCEEDED
    assert (device.version(soft), device.pid(app)) == ("1.1.0", before)
    desk.register(recipe(hard, STAY, version="1.1.0"))
    assert desk.report(unique, desk.deploy(unique, {app: "1.0.0"})) == SUCCEEDED
    assert device.version(hard) == "1.1.0"
    assert device.pid(app) != before


def test_a_real_component_speaks_to_the_broker_through_the_sdk(
    desk: Desk, unique: str, thing: Callable[[str], Broker]
) -> None:
    access = {
        "aws.greengrass.ipc.mqttproxy": {
            "results": {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["tidegate/v1/results/*"]}
        }
    }
    program = (
        "import os, time\n"
        "from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2\n"
        "from awsiot.greengrasscoreipc.model import ServiceError\n"
        "client = GreengrassCoreIPCClientV2()\n"
        "word = client.get_configuration(key_path=['word']).value['word']\n"
        "while True:\n"
        "    try:\n"
        "        client.publish_to_iot_core(topic_name=os.environ['TOPIC'], qos='1', payload=word.encode())\n"
        "        break\n"
        "    except ServiceError:\n"
        "        time.sleep(0.1)\n"
        "time.sleep(1000)\n"
    )
    name = f"{unique}.Speaker"
    desk.register(
        recipe(
            name,
            f'exec {sys.executable} "{{artifacts:path}}/speak.py"',
            configuration={"word": "hello", "accessControl": access},
            Setenv={"TOPIC": results_topic(unique)},
            Artifacts=[desk.upload(f"{unique}/speak.py", program.encode())],
        )
    )
    with Connection(thing(INGEST), client_id=INGEST, subscriptions=[results_filter(shard_of(unique))]) as cloud:
        assert cloud.wait_until_ready(20)
        desk.device(unique, unique)
        assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
        message = next(cloud.messages())
        assert (message.topic, message.payload) == (results_topic(unique), b"hello")


def test_a_cloud_that_is_away_is_said_once_and_served_again_when_it_is_back(
    aws: Aws, desk: Desk, unique: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk.create_thing(unique)
    port = free_port()
    nucleus = Nucleus(
        unique,
        desk.folder / unique,
        environment={**desk.environment, "AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE": f"http://127.0.0.1:{port}"},
        broker=Broker("127.0.0.1", free_port()),
        personality=HASTY,
        poll_s=0.05,
    )
    with nucleus:
        eventually(lambda: "the cloud is away" in caplog.text)
        with ControlPlane(aws.endpoint, tmp_path / "later", port=port):
            eventually(lambda: "the cloud is back" in caplog.text)
            nucleus.close()
    assert caplog.text.count("the cloud is away") == 1
