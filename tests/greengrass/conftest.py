"""A cloud to deploy to: moto's server and our control plane, with unmodified boto3 clients."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from greengrass.aws import connect
from greengrass.component import BuiltComponent, build_gateway
from greengrass.objects import S3Store
from simulator.aws import Aws
from tests.greengrass.world import Cloud, make_package

BUCKET = "artifacts"


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("control-plane")) as local:
        yield local


@pytest.fixture
def cloud(local_cloud: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """As new for each test; the environment points at it."""
    local_cloud.forget()
    for name, value in local_cloud.environment.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    jobs = boto3.client("iot-jobs-data")
    aws = connect()
    yield Cloud(aws, aws.iot, jobs, S3Store(BUCKET, "components", client=s3))
    for client in (s3, jobs):
        client.close()


@pytest.fixture
def gateway(tmp_path: Path) -> BuiltComponent:
    return build_gateway(tmp_path / "built", version="0.1.0", configuration={"model": "coco"}, python="python3")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "package")
