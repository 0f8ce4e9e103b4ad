"""What the tests of this folder arrange: a cloud with devices, and packages to deploy to them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from mypy_boto3_iot import IoTClient
from mypy_boto3_iot_jobs_data import IoTJobsDataPlaneClient

from cloud.sign import Keys, create_keys, sign_files
from greengrass.aws import Aws
from greengrass.objects import S3Store
from models.durable import write_atomic
from models.manifest import InputSpec, Manifest, Variant, sha256_file, write_manifest
from tidegate import main

_TOMORROW = datetime.now(UTC) + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cloud:
    """The world of a test. `report` plays a device that has just finished its next job."""

    aws: Aws
    iot: IoTClient
    jobs: IoTJobsDataPlaneClient
    store: S3Store

    def add_group(self, group: str, *things: str) -> None:
        self.iot.create_thing_group(thingGroupName=group)
        for thing in things:
            self.iot.create_thing(thingName=thing)
            self.iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)

    def report(self, thing: str, status: str = "SUCCEEDED", **details: str) -> str:
        """Take the device's next job and report on it; the job's document."""
        execution = self.jobs.start_next_pending_job_execution(thingName=thing)["execution"]
        self.jobs.update_job_execution(
            jobId=execution["jobId"],
            thingName=thing,
            status=status,  # type: ignore[arg-type]
            statusDetails={name.replace("_", "-"): detail for name, detail in details.items()},
        )
        return execution["jobDocument"]


def make_package(folder: Path, *, name: str = "coco", release: int = 3) -> Path:
    """A signed package folder; that its model is none only a gateway would find out."""
    write_atomic(folder / "model.onnx", b"weights")
    variant = Variant("fp32", "model.onnx", sha256_file(folder / "model.onnx"), 7)
    write_manifest(
        folder,
        Manifest(name, "detection", ("person",), InputSpec(416, 416), variants=(variant,), release=release),
    )
    write_atomic(folder / "golden" / "golden.json", b"{}")
    sign_files(folder, _keys(name), version=release, expires=_TOMORROW)
    return folder


@cache
def _keys(model: str) -> Keys:
    """The same in all tests, so that the same package has the same bytes."""
    with TemporaryDirectory() as folder:
        return create_keys(Path(folder), model)


def answer_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def error_of(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert main(list(arguments)) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said
