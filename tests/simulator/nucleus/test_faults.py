"""Faults of a device, each turned on and off again by a method, and what is left standing."""

import contextlib
import os
import queue
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc.model import ServiceError

from models.errors import ConfigError
from models.mqtt import Broker, Connection
from models.topics import acks_topic, results_filter, results_topic, shard_of
from simulator.broker import INGEST
from simulator.nucleus.cloud import AwayError, Cloud, Faults
from simulator.nucleus.component import State
from simulator.nucleus.nucleus import Nucleus
from simulator.nucleus.personality import JAVA, LITE
from tests.disks import small_disk_at
from tests.simulator.nucleus.desk import BUCKET, Desk, Report, group_of, process_state
from tests.simulator.nucleus.recipes import recipe
from tests.simulator.nucleus.waiting import eventually

SUCCEEDED = Report("SUCCEEDED", "SUCCESSFUL", "")
STAY = "exec tail -f /dev/null"
DAY_S = 86_400.0


def access(thing: str) -> dict[str, Any]:
    return {
        "aws.greengrass.ipc.mqttproxy": {
            "mine": {"operations": ["*"], "resources": [results_topic(thing), acks_topic(thing)]}
        }
    }


@pytest.mark.parametrize("nucleus", [LITE, JAVA], ids=["lite", "java"])
def test_a_network_that_goes_takes_nothing_with_it_but_what_lite_does_not_keep(
    desk: Desk, unique: str, thing: Callable[[str], Broker], nucleus: Any
) -> None:
    name = f"{unique}.Speaker"
    desk.register(recipe(name, STAY, configuration={"accessControl": access(unique)}))
    with Connection(thing(INGEST), client_id=INGEST, subscriptions=[results_filter(shard_of(unique))]) as cloud:
        assert cloud.wait_until_ready(20)
        device = desk.device(unique, unique, nucleus=nucleus, faulty_link=True)
        assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
        pid, client = device.pid(name), desk.client(device, name)
        heard: queue.Queue[Any] = queue.Queue()

        def publish(payload: bytes) -> str:
            try:
                client.publish_to_iot_core(topic_name=results_topic(unique), qos="1", payload=payload)
            except ServiceError:
                return "refused"
            return "taken"

        eventually(lambda: publish(b"before") == "taken")
        client.subscribe_to_iot_core(topic_name=acks_topic(unique), qos="1", on_stream_event=heard.put)
        assert next(cloud.messages()).payload == b"before"
        device.cut_network()
        deployment = desk.deploy(unique, {name: "1.0.0"}, Speaker={"merge": {"a": 1}})
        if nucleus is LITE:
            eventually(lambda: publish(b"meanwhile") == "refused")
        else:
            publish(b"meanwhile")
        assert device.pid(name) == pid
        device.mend_network()
        assert desk.report(unique, deployment) == SUCCEEDED
        if nucleus is JAVA:  # its spool kept it, and nothing was restarted
            assert any(message.payload == b"meanwhile" for message in cloud.messages())
            cloud.publish(acks_topic(unique), b"ack")
            assert heard.get(timeout=20).message.payload == b"ack"


def test_a_download_that_the_network_breaks_off_goes_on_where_it_was(desk: Desk, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    desk.upload("broken-off", data)
    faults = Faults()
    with contextlib.closing(Cloud(desk.environment, faults)) as cloud:
        reading = cloud.read(f"s3://{BUCKET}/broken-off")
        first = next(reading)
        faults.gone = True
        with pytest.raises(AwayError, match="artifact s3://artifacts/broken-off: the network is gone"):
            next(reading)
        with pytest.raises(AwayError):
            next(cloud.read(f"s3://{BUCKET}/broken-off"))
        faults.gone = False
        assert first + b"".join(cloud.read(f"s3://{BUCKET}/broken-off", offset=len(first))) == data


def test_a_deployment_outlives_downloads_that_break_off(
    desk: Desk, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    name, data = f"{unique}.Late", os.urandom(300_000)
    desk.register(recipe(name, STAY, Artifacts=[desk.upload(f"{unique}/late", data)]))
    device = desk.device(unique, unique)
    device.break_off_downloads(2)
    deployment = desk.deploy(unique, {name: "1.0.0"})
    assert desk.report(unique, deployment) == SUCCEEDED
    assert caplog.text.count(f"deployment {deployment} waits: artifact s3://artifacts/{unique}/late: broken off") == 2
    assert (device.root / "packages" / "artifacts" / name / "1.0.0" / "late").read_bytes() == data


def test_a_download_that_arrives_damaged_changes_nothing_and_the_next_one_may(desk: Desk, unique: str) -> None:
    name = f"{unique}.Tool"
    desk.register(recipe(name, STAY, Artifacts=[desk.upload(f"{unique}/tool", b"tool")]))
    device = desk.device(unique, unique)
    device.damage_downloads(1)
    report = desk.report(unique, desk.deploy(unique, {name: "1.0.0"}))
    assert report.detail == "FAILED_NO_STATE_CHANGE"
    assert "its SHA-256 is" in report.cause
    assert device.state(name) is None
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED


def test_a_components_clock_is_what_it_was_set_to(desk: Desk, unique: str) -> None:
    name = f"{unique}.Clock"
    program = (
        "import datetime, pathlib, time\n"
        "while True:\n"
        "    now = datetime.datetime.now(datetime.timezone.utc).timestamp()\n"
        "    pathlib.Path('new').write_text(f'{now} {time.time()} {time.time_ns()}')\n"
        "    pathlib.Path('new').replace('now')\n"
        "    time.sleep(0.05)\n"
    )
    own_path = {"PYTHONPATH": "{artifacts:path}"}  # as the gateway's recipe has one
    desk.register(
        recipe(
            name,
            f'exec "{sys.executable}" "{{artifacts:path}}/tell.py"',
            Setenv=own_path,
            Artifacts=[desk.upload(f"{unique}/tell.py", program.encode())],
        )
    )
    device = desk.device(unique, unique)
    device.set_clock(DAY_S)
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    told = device.root / "work" / name / "now"

    def days_off() -> set[int]:
        wall_s, wall_too_s, wall_ns = (float(word) for word in told.read_text().split())
        return {round((moment_s - time.time()) / DAY_S) for moment_s in (wall_s, wall_too_s, wall_ns / 1e9)}

    eventually(lambda: told.exists() and days_off() == {1})
    device.set_clock(-DAY_S)
    eventually(lambda: days_off() == {-1}, what="the same process sees it")


def test_a_slow_processor_stops_and_goes_on_and_lets_components_leave(desk: Desk, unique: str) -> None:
    device = desk.device(unique, unique)
    name = f"{unique}.Busy"
    desk.register(recipe(name, "while :; do sleep 0.01; done"))
    assert desk.report(unique, desk.deploy(unique, {name: "1.0.0"})) == SUCCEEDED
    pid = device.pid(name)
    assert pid is not None
    with pytest.raises(ConfigError, match=r"a processor's share must be in 0.05..1, got 0"):
        device.slow_down(0)
    device.slow_down(0.2)
    eventually(lambda: process_state(pid) == "T", what="it is stopped")
    eventually(lambda: process_state(pid) != "T", what="it goes on")
    device.kill(name)
    eventually(lambda: device.pid(name) not in (None, pid), what="a new process")
    again = device.pid(name)
    assert again is not None
    device.slow_down(1.0)
    assert "T" not in {process_state(member) for member in group_of(again)}
    device.slow_down(0.1)
    device.close()
    assert not group_of(again)


@pytest.mark.parametrize("nucleus", [LITE, JAVA], ids=["lite", "java"])
def test_a_full_disk_changes_nothing_and_room_makes_the_next_deployment_work(
    desk: Desk, unique: str, tmp_path: Path, nucleus: Any
) -> None:
    with small_disk_at(tmp_path / "disk", "4m") as folder:
        device = desk.device(unique, unique, nucleus=nucleus, root=folder)
        old, new = f"{unique}.Old", f"{unique}.New"
        artifact = desk.upload(f"{unique}/large", os.urandom(1 << 20))
        desk.register(
            recipe(old, STAY, configuration={"a": 1}),
            recipe(new, STAY, Artifacts=[artifact]),
            recipe(new, STAY, version="2.0.0"),
        )
        assert desk.report(unique, desk.deploy(unique, {old: "1.0.0"})) == SUCCEEDED
        pid = device.pid(old)
        device.fill_disk()
        for version in ("1.0.0", "2.0.0"):  # with files to fetch, and with nothing but the memory of it
            report = desk.report(unique, desk.deploy(unique, {old: "1.0.0", new: version}))
            assert (report.detail, "No space left on device" in report.cause) == ("FAILED_NO_STATE_CHANGE", True)
        with pytest.raises(ServiceError):
            desk.client(device, old).update_configuration(value_to_merge={"a": 2})
        assert (device.pid(old), device.state(new)) == (pid, None)
        device.power_cut()
        device.start()
        eventually(lambda: device.pid(old) not in (None, pid), what="what was installed runs, on a full disk too")
        device.free_disk()
        desk.client(device, old).update_configuration(value_to_merge={"a": 3})
        assert desk.report(unique, desk.deploy(unique, {old: "1.0.0", new: "1.0.0"})) == SUCCEEDED
        assert device.state(new) is State.RUNNING
        device.close()


def test_a_disk_that_is_everybodys_is_not_filled_and_a_network_that_stays_not_cut(tmp_path: Path) -> None:
    device = Nucleus("thing", tmp_path, environment={}, broker=Broker("127.0.0.1", 1))
    with pytest.raises(ConfigError, match="is no disk of its own of at most 1024 MiB"):
        device.fill_disk()
    with pytest.raises(ConfigError, match="thing has no faulty_link"):
        device.cut_network()
