"""How the two nuclei update, fail, roll back and restart: each fact on both."""

import json
import os
import queue
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc.model import ConfigurationValidityReport

from greengrass.recipe import gateway_recipe, model_recipe, recipe_bytes
from simulator.nucleus.component import State
from simulator.nucleus.nucleus import Nucleus
from simulator.nucleus.personality import JAVA, LITE, PERSONALITIES, Personality
from tests.simulator.nucleus.desk import Desk, Report, zipped
from tests.simulator.nucleus.recipes import recipe
from tests.simulator.nucleus.waiting import eventually

SUCCEEDED = Report("SUCCEEDED", "SUCCESSFUL", "")
STAY = "exec tail -f /dev/null"
BOTH = pytest.mark.parametrize("nucleus", PERSONALITIES.values(), ids=PERSONALITIES)
SLEEPER = "import time\ntime.sleep(1000)\n"
# writes to `story` what happens to it
TELLTALE = 'echo "run {0}" >> story; trap "echo stop {0} >> story; exit" TERM; while :; do sleep 0.05; done'


def story(device: Nucleus, name: str) -> list[str]:
    file = device.root / "work" / name / "story"
    return file.read_text().splitlines() if file.exists() else []


def eventually_told(device: Nucleus, name: str, expected: list[str]) -> None:
    # a component counts as started before its script has come to its first line, on a machine with much to do
    eventually(lambda: story(device, name) == expected, what=f"{name} tells {expected}")


def telltale(name: str, version: str, **more: Any) -> dict[str, Any]:
    install = {"Script": f'echo "install {version}" >> story'}
    return recipe(name, TELLTALE.format(version), version=version, install=install, **more)


@pytest.mark.parametrize(
    ("nucleus", "order"),
    [
        (LITE, ["install 1.0.0", "run 1.0.0", "install 2.0.0", "stop 1.0.0", "run 2.0.0"]),
        (JAVA, ["install 1.0.0", "run 1.0.0", "stop 1.0.0", "install 2.0.0", "run 2.0.0"]),
    ],
    ids=["lite", "java"],
)
def test_lite_installs_beside_and_java_in_turn(desk: Desk, unique: str, nucleus: Personality, order: list[str]) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    name = f"{unique}.Told"
    desk.register(telltale(name, "1.0.0"), telltale(name, "2.0.0"))
    for version in ("1.0.0", "2.0.0"):
        assert desk.report(unique, desk.deploy(unique, {name: version})) == SUCCEEDED
        eventually(lambda version=version: f"run {version}" in story(device, name))  # type: ignore[misc]
    eventually_told(device, name, order)


@BOTH
def test_a_configuration_alone_restarts_on_lite_and_is_told_on_both(
    desk: Desk, unique: str, nucleus: Personality
) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    name = f"{unique}.Tuned"
    desk.register(recipe(name, STAY, configuration={"a": {"b": 1}, "c": 1}))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid = device.pid(name)
    heard: queue.Queue[Any] = queue.Queue()
    desk.client(device, name).subscribe_to_configuration_update(key_path=["a"], on_stream_event=heard.put)
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Tuned={"merge": {"a": {"b": 2}}})) == SUCCEEDED
    assert heard.get(timeout=20).configuration_update_event.key_path == ["a", "b"]
    assert (device.pid(name) == pid) is (nucleus is JAVA)
    assert desk.client(device, name).get_configuration(key_path=["a", "b"]).value == {"b": 2}
    pid = device.pid(name)
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Tuned={"reset": ["/a"]})) == SUCCEEDED
    assert desk.client(device, name).get_configuration(key_path=["a", "b"]).value == {"b": 1}
    assert (device.pid(name) == pid) is (nucleus is JAVA)


def test_java_restarts_for_a_configuration_that_its_script_holds(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique, nucleus=JAVA)
    name = f"{unique}.Held"
    desk.register(recipe(name, "echo {configuration:/a} >> story; " + STAY, configuration={"a": 1, "b": 1}))
    for merge in ({"a": 2}, {"b": 2}):
        assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Held={"merge": merge})) == SUCCEEDED
        eventually_told(device, name, ["2"])
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Held={"merge": {"a": 3}})) == SUCCEEDED
    eventually_told(device, name, ["2", "3"])


BAD = {"run": recipe("x", "exit 3"), "install": recipe("x", STAY, install={"Script": "exit 3"})}


@pytest.mark.parametrize(
    ("nucleus", "policy", "step", "detail", "version"),
    [
        (JAVA, "ROLLBACK", "run", "FAILED_ROLLBACK_COMPLETE", "1.0.0"),
        (JAVA, "ROLLBACK", "install", "FAILED_ROLLBACK_COMPLETE", "1.0.0"),
        (JAVA, "DO_NOTHING", "run", "FAILED_ROLLBACK_NOT_REQUESTED", "2.0.0"),
        (LITE, "ROLLBACK", "run", "FAILED_ROLLBACK_NOT_REQUESTED", "2.0.0"),  # it stays dead
        (LITE, "ROLLBACK", "install", "FAILED_NO_STATE_CHANGE", "1.0.0"),
    ],
)
def test_what_becomes_of_a_version_that_fails(
    desk: Desk, unique: str, nucleus: Personality, policy: str, step: str, detail: str, version: str
) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    name, other, extra = f"{unique}.Failing", f"{unique}.Other", f"{unique}.Extra"
    bad = {**BAD[step], "ComponentName": name, "ComponentVersion": "2.0.0"}
    desk.register(recipe(name, STAY, configuration={"a": 1}), bad, recipe(other, STAY), recipe(extra, STAY))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0", other: "1.0.0"})) == SUCCEEDED
    undisturbed = device.pid(other)
    report = desk.report(
        unique,
        desk.deploy(
            unique,
            {name: "2.0.0", other: "1.0.0", extra: "1.0.0"},
            {"failureHandlingPolicy": policy},
            Failing={"merge": {"a": 2}},
        ),
    )
    assert (report.detail, report.cause.startswith(name)) == (detail, True)
    assert "ended with status 3" in report.cause
    assert device.version(name) == version
    assert device.state(name) is (State.RUNNING if version == "1.0.0" else State.BROKEN)
    assert device.pid(other) == undisturbed
    undone = version == "1.0.0"
    assert (device.version(extra) is None) is undone
    kept = json.loads((device.root / "config" / "state.json").read_text())["components"]
    assert kept[name]["configuration"]["a"] == (1 if undone else 2)


@BOTH
def test_lite_reads_braces_and_the_environment_as_a_shell_does_not(
    desk: Desk, unique: str, nucleus: Personality
) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    name, braced = f"{unique}.Blank", f"{unique}.Braced"
    desk.register(
        recipe(name, f'echo "$A" > story; {STAY}', Setenv={"A": "one two"}),
        recipe(braced, f'A=one; echo "${{A}}" > story; {STAY}'),
    )
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    eventually_told(device, name, ["one"] if nucleus is LITE else ["one two"])
    report = desk.report(unique, desk.deploy(unique, {name: "1.0.0", braced: "1.0.0"}))
    if nucleus is LITE:
        assert "takes every brace for one" in report.cause
        assert device.state(braced) is State.BROKEN
    else:
        assert report == SUCCEEDED
        eventually_told(device, braced, ["one"])


@BOTH
def test_lite_hands_on_no_configuration_that_is_too_large(desk: Desk, unique: str, nucleus: Personality) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    many, long = f"{unique}.Many", f"{unique}.Long"
    desk.register(
        recipe(many, STAY, configuration={f"k{number}": number for number in range(120)}),
        recipe(long, STAY, configuration={"a": "x" * 10_001}),
    )
    for name in (many, long):
        report = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}))
        if nucleus is LITE:
            assert report.detail == "FAILED_NO_STATE_CHANGE"
            assert "hands on at most 10000 and 200" in report.cause
            assert device.state(name) is None
        else:
            assert report == SUCCEEDED


def test_what_was_broken_before_does_not_keep_java_from_rolling_back(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique, nucleus=JAVA)
    sick, name = f"{unique}.Sick", f"{unique}.Fine"
    desk.register(recipe(sick, "exit 1"), recipe(name, STAY), recipe(name, "exit 3", version="2.0.0"))
    first = desk.deploy(unique, {sick: "1.0.0", name: "1.0.0"}, {"failureHandlingPolicy": "DO_NOTHING"})
    assert desk.report(unique, first).detail == "FAILED_ROLLBACK_NOT_REQUESTED"
    report = desk.report(unique, desk.deploy(unique, {sick: "1.0.0", name: "2.0.0"}))
    assert report.detail == "FAILED_ROLLBACK_COMPLETE"
    assert (device.version(name), device.state(name)) == ("1.0.0", State.RUNNING)


def test_java_knows_install_only_dependencies_variables_and_the_whole_life(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique, nucleus=JAVA)
    tool, name = f"{unique}.Tool", f"{unique}.User"
    user = recipe(
        name,
        'echo "$(cat {' + tool + ":artifacts:path}/word) {" + tool + ':configuration:/c}" >> story; test -e recovered',
        recover={"Script": "echo recover >> story; touch recovered", "Timeout": 5},
        install={"Script": "echo never >> story", "Skipif": "onpath sh"},
        startup={"Script": "echo never >> story", "Skipif": "exists /"},
    )
    user["ComponentDependencies"] = {tool: {"VersionRequirement": "1.0.0", "DependencyType": "HARD"}}
    stays = recipe(f"{unique}.Stays", "echo run >> story; " + STAY, shutdown="echo shutdown >> story")
    word = desk.upload(f"{unique}/word", b"hello")
    desk.register(
        recipe(tool, "", install={"Script": "true"}, configuration={"c": "world"}, Artifacts=[word]), user, stays
    )
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0", f"{unique}.Stays": "1.0.0"})) == SUCCEEDED
    assert device.state(tool) is State.FINISHED  # lite would hang
    assert device.state(name) is State.FINISHED
    eventually_told(device, name, ["hello world", "recover", "hello world"])
    eventually_told(device, f"{unique}.Stays", ["run"])
    device.close()
    assert story(device, f"{unique}.Stays") == ["run", "shutdown"]


@BOTH
def test_after_a_power_cut_java_installs_again_and_lite_does_not(desk: Desk, unique: str, nucleus: Personality) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    name = f"{unique}.Told"
    desk.register(telltale(name, "1.0.0"))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    eventually_told(device, name, ["install 1.0.0", "run 1.0.0"])
    device.power_cut()
    device.start()
    again = ["install 1.0.0", "run 1.0.0"] if nucleus is JAVA else ["run 1.0.0"]
    eventually(lambda: story(device, name) == ["install 1.0.0", "run 1.0.0", *again])


# --- notices


@contextmanager
def noticed(desk: Desk, unique: str, nucleus: Personality, *, waits_ms: list[int]) -> Iterator[tuple[str, list[str]]]:
    """A component that answers each notice with the next of these; what it was told."""
    device = desk.device(unique, unique, nucleus=nucleus)
    name = f"{unique}.Asked"
    desk.register(telltale(name, "1.0.0"), telltale(name, "2.0.0"))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    eventually_told(device, name, ["install 1.0.0", "run 1.0.0"])
    client, told, answers = desk.client(device, name), [], iter(waits_ms)

    def answer(event: Any) -> None:
        if event.pre_update_event is None:
            told.append("post")
            return
        told.append(f"pre, {len(story(device, name))} in the story")
        wait_ms = next(answers, None)
        if wait_ms is not None:
            deployment = event.pre_update_event.deployment_id
            client.defer_component_update_async(deployment_id=deployment, recheck_after_ms=wait_ms)

    client.subscribe_to_component_updates(on_stream_event=answer)
    yield name, told


def test_a_component_on_java_puts_an_update_off_until_it_does_not(desk: Desk, unique: str) -> None:
    with noticed(desk, unique, JAVA, waits_ms=[100, 50, 0]) as (name, told):
        assert desk.report(unique, desk.deploy(unique, {name: "2.0.0"})) == SUCCEEDED
    # asked three times, before anything was stopped; its connection goes with the process that is replaced
    assert told[:3] == ["pre, 2 in the story"] * 3


def test_a_silent_component_delays_java_by_the_whole_timeout_and_others_not(desk: Desk, unique: str) -> None:
    with noticed(desk, unique, JAVA, waits_ms=[]) as (name, told):
        policy = {"componentUpdatePolicy": {"timeoutInSeconds": 1, "action": "NOTIFY_COMPONENTS"}}
        # a configuration alone is told, too, and then the component stays
        assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, policy, Asked={"merge": {"a": 1}})) == SUCCEEDED
        eventually(lambda: told == ["pre, 2 in the story", "post"])
        skip = {"componentUpdatePolicy": {"action": "SKIP_NOTIFY_COMPONENTS"}}
        assert desk.report(unique, desk.deploy(unique, {name: "2.0.0"}, skip)) == SUCCEEDED
        assert len(told) == 2


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("ACCEPTED", ""),
        ("REJECTED", "refuses its configuration: a must be at most 10, got 20"),
        (None, "refuses its configuration: it did not answer in time"),
    ],
    ids=["yes", "no", "silence"],
)
def test_a_running_component_on_java_may_refuse_its_configuration(
    desk: Desk, unique: str, answer: str | None, cause: str
) -> None:
    device = desk.device(unique, unique, nucleus=JAVA)
    name = f"{unique}.Judge"
    desk.register(recipe(name, STAY, configuration={"a": 1}), recipe(name, STAY, version="2.0.0"))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid, client = device.pid(name), desk.client(device, name)
    shown: queue.Queue[Any] = queue.Queue()

    def judge(event: Any) -> None:
        shown.put(event.validate_configuration_update_event.configuration)
        if answer is not None:
            message = "a must be at most 10, got 20"
            deployment = event.validate_configuration_update_event.deployment_id
            client.send_configuration_validity_report_async(
                configuration_validity_report=ConfigurationValidityReport(
                    status=answer, deployment_id=deployment, message=message
                )
            )

    client.subscribe_to_validate_configuration_updates(on_stream_event=judge)
    policy = {"configurationValidationPolicy": {"timeoutInSeconds": 1}}
    report = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, policy, Judge={"merge": {"a": 20}}))
    assert shown.get(timeout=20) == {"a": 20}
    if answer == "ACCEPTED":
        assert report == SUCCEEDED
    else:
        assert report == Report("FAILED", "FAILED_NO_STATE_CHANGE", f"{name} {cause}")
    assert client.get_configuration(key_path=["a"]).value == {"a": 20 if answer == "ACCEPTED" else 1}
    assert device.pid(name) == pid


# --- dependencies


@BOTH
def test_who_depends_hard_starts_after_and_restarts_with_it(desk: Desk, unique: str, nucleus: Personality) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    base, hard, soft = f"{unique}.Base", f"{unique}.Hard", f"{unique}.Soft"
    documents = [recipe(base, "", startup={"Script": "sleep 0.3; touch ready; sleep 1000 &"})]
    for name, kind in ((hard, "HARD"), (soft, "SOFT")):
        document = recipe(name, f"test -e ../{base}/ready && echo ready >> story; " + STAY)
        document["ComponentDependencies"] = {base: {"VersionRequirement": "1.0.0", "DependencyType": kind}}
        documents.append(document)
    desk.register(*documents)
    assert desk.report(unique, desk.deploy(unique, {hard: "1.0.0", soft: "1.0.0"})) == SUCCEEDED
    eventually_told(device, hard, ["ready"])  # which SOFT did not wait for
    before = {name: device.pid(name) for name in (hard, soft)}
    device.kill(base)
    eventually(lambda: device.pid(hard) not in (None, before[hard]), what="it starts anew")
    assert device.pid(soft) == before[soft]
    assert device.state(hard) is State.RUNNING


@BOTH
def test_who_depends_hard_on_what_is_broken_waits_and_the_others_go_on(
    desk: Desk, unique: str, nucleus: Personality
) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    base, hard, other = f"{unique}.Base", f"{unique}.Hard", f"{unique}.Other"
    document = recipe(hard, STAY)
    document["ComponentDependencies"] = {base: {"VersionRequirement": "1.0.0", "DependencyType": "HARD"}}
    desk.register(recipe(base, "", startup={"Script": "exit 3"}), document, recipe(other, STAY))
    report = desk.report(
        unique, desk.deploy(unique, {hard: "1.0.0", other: "1.0.0"}, {"failureHandlingPolicy": "DO_NOTHING"})
    )
    assert report.detail == "FAILED_ROLLBACK_NOT_REQUESTED"
    assert f"{base} is BROKEN: ended with status 3" in report.cause
    assert f"it waits for {base}, which is BROKEN" in report.cause
    assert (device.state(base), device.state(other), device.pid(hard)) == (State.BROKEN, State.RUNNING, None)


# --- users


@BOTH
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run components as somebody else")
def test_components_run_as_another_user_who_reaches_ipc(desk: Desk, unique: str, nucleus: Personality) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # pytest's own folders are root's alone
        device = desk.device(unique, unique, nucleus=nucleus, root=Path(folder) / "root", run_as="nobody:nogroup")
        name = f"{unique}.Who"
        who = 'test -w "$AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT" && echo "$(id -un):$(id -gn)" >> story; '
        privileged = {"Script": "id -un >> ../privileged", "RequiresPrivilege": True}
        desk.register(recipe(name, who + STAY, install=privileged))
        assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
        assert (device.root / "work" / "privileged").read_text() == "root\n"
        eventually_told(device, name, ["nobody:nogroup"])
        asked = desk.deploy(unique, {name: "1.0.0"}, Who={"posixUser": "daemon"})
        assert desk.report(unique, asked) == SUCCEEDED  # who runs it is reason enough on both
        eventually_told(device, name, ["nobody:nogroup", "daemon:daemon"])
        wrong = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}, Who={"posixUser": "ghost:ghost"}))
        assert wrong.detail == "FAILED_NO_STATE_CHANGE"
        assert "components cannot run as 'ghost:ghost'" in wrong.cause
        device.close()


@BOTH
def test_our_own_recipes_are_taken_unchanged(desk: Desk, unique: str, nucleus: Personality) -> None:
    device = desk.device(unique, unique, nucleus=nucleus)
    package = desk.upload(f"{unique}/package.zip", zipped({"manifest.json": "{}"}))
    code = desk.upload(f"{unique}/tidegate.zip", zipped({"edge/__init__.py": "", "edge/component.py": SLEEPER}))
    model = model_recipe(unique, 1, artifact_uri=package["Uri"])
    gateway = gateway_recipe("1.0.0", configuration={}, python=sys.executable, artifact_uri=code["Uri"])
    gateway = {**gateway, "ComponentName": f"{unique}.Gateway"}
    desk.register(*(json.loads(recipe_bytes(document)) for document in (model, gateway)))
    names = {f"tidegate.Model.{unique}": "1.0.0", f"{unique}.Gateway": "1.0.0"}
    assert desk.report(unique, desk.deploy(unique, names)) == SUCCEEDED
    assert {device.state(name) for name in names} == {State.RUNNING}
