"""A cloud to deploy from with plain boto3, and devices that run in a hurry."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from models.mqtt import Broker
from simulator.aws import REGION, Aws
from simulator.nucleus.nucleus import Nucleus
from simulator.nucleus.personality import LITE, Personality
from tests.simulator.nucleus.waiting import eventually

BUCKET = "artifacts"


def hasty(personality: Personality) -> Personality:
    """The same nucleus, but for its patience."""
    return replace(
        personality, restart_delay_s=0.1, settle_s=0.3, stop_grace_s=2.0, keep_old_s=0.5, deployment_timeout_s=20.0
    )


HASTY = hasty(LITE)
DONE = ("SUCCEEDED", "FAILED", "CANCELED", "COMPLETED", "REJECTED")
ACCOUNT = "123456789012"


@dataclass(frozen=True)
class Report:
    """How a deployment went on a device."""

    status: str
    detail: str
    cause: str


class Desk:
    """The operator's side of an Aws, and the devices started so far."""

    def __init__(self, aws: Aws, broker: Callable[[str], Broker], folder: Path, stack: ExitStack) -> None:
        self.environment = aws.environment
        self.folder = folder
        self._broker = broker
        self._stack = stack
        self.s3 = boto3.client("s3")
        self._greengrass = boto3.client("greengrassv2")
        self._iot = boto3.client("iot")
        self._jobs = boto3.client("iot-jobs-data")
        for client in (self.s3, self._greengrass, self._iot, self._jobs):
            stack.callback(client.close)

    def device(
        self,
        thing: str,
        *groups: str,
        nucleus: Personality = LITE,
        root: Path | None = None,
        run_as: str = "",
        faulty_link: bool = False,
        **personality: Any,
    ) -> Nucleus:
        """A started device in these thing groups."""
        self.create_thing(thing)
        for group in groups:
            self._iot.create_thing_group(thingGroupName=group)
            self._iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
        device = Nucleus(
            thing,
            root or self.folder / thing,
            environment=self.environment,
            broker=self._broker(thing),
            personality=replace(hasty(nucleus), **personality),
            poll_s=0.1,
            run_as=run_as,
            faulty_link=faulty_link,
        )
        return self._stack.enter_context(device)

    def client(self, device: Nucleus, component: str) -> GreengrassCoreIPCClientV2:
        """The SDK's own client, connected as that component."""
        powered = device._powered
        assert powered is not None
        running = powered.device.component(component)
        assert running is not None
        client = GreengrassCoreIPCClientV2(
            client=connect(ipc_socket=str(powered._server.path), authtoken=running.token)
        )
        self._stack.callback(client.close)
        return client

    def create_thing(self, thing: str) -> None:
        self._iot.create_thing(thingName=thing)

    def move(self, thing: str, *, into: str, out_of: str) -> None:
        """From one thing group to another one, which is made."""
        self._iot.create_thing_group(thingGroupName=into)
        self._iot.update_thing_groups_for_thing(thingName=thing, thingGroupsToAdd=[into], thingGroupsToRemove=[out_of])

    def upload(self, key: str, data: bytes) -> dict[str, Any]:
        """An artifact in S3, and what a recipe says of it."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        return {"Uri": f"s3://{BUCKET}/{key}", "Permission": {"Read": "ALL", "Execute": "ALL"}}

    def register(self, *recipes: Mapping[str, Any]) -> None:
        for recipe in recipes:
            self._greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())

    def deploy(
        self,
        target: str,
        components: Mapping[str, str],
        policies: Mapping[str, Any] | None = None,
        **updates: Mapping[str, Any],
    ) -> str:
        """Deploy name -> version to a thing group; `updates` (merge, reset, posixUser) by the last part of a
        component's name."""
        wanted: dict[str, Any] = {}
        for name, version in components.items():
            wanted[name] = {"componentVersion": version}
            if name.rpartition(".")[2] in updates:
                update = updates[name.rpartition(".")[2]]
                wanted[name]["configurationUpdate"] = {
                    **({"merge": json.dumps(update["merge"])} if "merge" in update else {}),
                    **({"reset": update["reset"]} if "reset" in update else {}),
                }
                if "posixUser" in update:
                    wanted[name]["runWith"] = {"posixUser": update["posixUser"]}
        arn = f"arn:aws:iot:{REGION}:{ACCOUNT}:thinggroup/{target}"
        asked: Any = policies or {}
        return self._greengrass.create_deployment(targetArn=arn, components=wanted, deploymentPolicies=asked)[
            "deploymentId"
        ]

    def report(self, thing: str, deployment: str) -> Report:
        """What the device said of the deployment; waits until it has."""
        reports: list[Report] = []

        def said() -> bool:
            try:
                effective = self._greengrass.list_effective_deployments(coreDeviceThingName=thing)
            except self._greengrass.exceptions.ResourceNotFoundException:
                return False  # the cloud has not heard of the device yet
            for found in effective["effectiveDeployments"]:
                if found["deploymentId"] == deployment and found["coreDeviceExecutionStatus"] in DONE:
                    execution = self._jobs.describe_job_execution(jobId=found["iotJobId"], thingName=thing)["execution"]
                    details = execution.get("statusDetails", {})
                    reports.append(
                        Report(
                            execution["status"],
                            details.get("detailed-deployment-status", ""),
                            details.get("deployment-failure-cause", ""),
                        )
                    )
                    return True
            return False

        eventually(said, every_s=0.1, what=f"{thing} reports on {deployment}")
        return reports[0]


def zipped(files: Mapping[str, str]) -> bytes:
    """A ZIP archive of these texts."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


def alive(pids: Iterable[int]) -> set[int]:
    """Those of the processes that still run (a zombie does not)."""
    return {pid for pid in pids if process_state(pid) not in ("", "Z", "X")}


def group_of(pid: int) -> set[int]:
    """All processes of the process group that this one leads."""
    return {
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit()
        and _field(int(path.name), 2) == str(pid)
        and process_state(int(path.name)) not in ("", "Z", "X")
    }


def process_state(pid: int) -> str:
    """R, S, T (stopped), Z ...; empty when there is no such process."""
    return _field(pid, 0)


def _field(pid: int, index: int) -> str:
    """A field of /proc/PID/stat after the command's name: 0 state, 1 parent, 2 process group."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[index]
    except (FileNotFoundError, ProcessLookupError):
        return ""
