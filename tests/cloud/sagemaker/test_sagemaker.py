"""`tidegate train --sagemaker`: the job that is begun, the container's entry point run for real, and the model brought
back, with moto in SageMaker's and S3's place."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from moto.server import ThreadedMotoServer

import tidegate
from cloud.sagemaker import entry
from cloud.sagemaker.submit import watch
from models.errors import DeployError
from models.manifest import read_manifest

ROLE = "arn:aws:iam::123456789012:role/tidegate-training"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/tidegate:1"
TINY = ["--size", "16x16", "--width", "4", "--stages", "1", "--epochs", "20", "--batch", "8", "--no-balance"]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it would print a line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = boto3.client("s3")
    client.create_bucket(Bucket="training")
    yield client
    client.close()


def train(pictures: Path | str, out: Path, *more: str) -> int:
    words = ["train", "--data", str(pictures), "--name", "colours", "--out", str(out), *TINY, "--sagemaker"]
    return tidegate.main([*words, "--role", ROLE, "--image", IMAGE, "--s3", "s3://training/here", *more])


def as_sagemaker_would(s3: Any, job: dict[str, Any], place: Path) -> None:
    """Lay out a job's folders: its hyperparameters, and each channel's objects below their prefix."""
    (place / "input" / "config").mkdir(parents=True)
    (place / "input" / "config" / "hyperparameters.json").write_text(json.dumps(job["HyperParameters"]))
    (place / "model").mkdir()
    for channel in job["InputDataConfig"]:
        bucket, _, prefix = channel["DataSource"]["S3DataSource"]["S3Uri"].removeprefix("s3://").partition("/")
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            file = place / "input" / "data" / channel["ChannelName"] / item["Key"].removeprefix(prefix)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())


def put_model(s3: Any, job: dict[str, Any], model: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(model, arcname=".")
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=archive.getvalue())


@pytest.fixture
def one_core() -> Iterator[None]:
    """A job takes all cores that it may; where they are busy its threads would wait for each other, at length."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def container(place: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, entry.PREFIX: str(place)}
    command = [sys.executable, "-m", "cloud.sagemaker.entry", "train"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_job_goes_there_is_interrupted_goes_on_and_comes_back_as_a_run_folder(
    one_core: None,
    s3: Any,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, place = tmp_path / "run", tmp_path / "ml"
    assert train(pictures, out, "--spot", "--hours", "2", "--json") == 0
    name = json.loads(capsys.readouterr().out)["job"]
    assert name.startswith("colours-")
    assert not out.exists()

    job: Any = boto3.client("sagemaker").describe_training_job(TrainingJobName=name)
    assert job["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert job["RoleArn"] == ROLE
    assert job["EnableManagedSpotTraining"]
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 7200 + 86400}
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://training/here/checkpoints/{name}"
    assert job["HyperParameters"]["size"] == "16x16"
    assert job["HyperParameters"]["no-balance"] == "true"

    as_sagemaker_would(s3, job, place)
    checkpoint = place / "checkpoints" / "training.checkpoint"
    with container(place) as running:
        until = time.monotonic() + 120
        while not checkpoint.exists() and time.monotonic() < until:
            time.sleep(0.01)
        running.terminate()  # its machine is wanted back
        assert running.wait(60) == 143
    assert checkpoint.exists()
    assert not list((place / "model").iterdir())

    monkeypatch.setenv(entry.PREFIX, str(place))
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest's own handlers stay
    assert entry.main() == 0
    assert f"going on from {checkpoint}" in capsys.readouterr().out.replace("\n", "")
    assert not (place / "output" / "failure").exists()
    assert not list((place / "checkpoints").iterdir())  # it has ended: nothing is left to go on from

    put_model(s3, job, place / "model")
    assert train(pictures, out, "--job", name, "--wait", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    manifest = read_manifest(out)
    assert (manifest.name, printed["accuracy"]) == ("colours", manifest.variant("fp32").accuracy)
    assert (manifest.input.height, manifest.lineage["seed"]) == (16, 0)
    assert (out / "weights.pt").is_file()


def test_what_was_sent_before_is_not_sent_again(s3: Any, pictures: Path, tmp_path: Path) -> None:
    def objects() -> dict[str, Any]:
        found = s3.list_objects_v2(Bucket="training", Prefix="twice/data/")["Contents"]
        return {item["Key"]: item["LastModified"] for item in found}

    assert train(pictures, tmp_path / "run", "--job", "first", "--s3", "s3://training/twice") == 0
    before = objects()
    s3.delete_object(Bucket="training", Key=min(before))  # as when the line went dead
    assert train(pictures, tmp_path / "run", "--job", "second", "--s3", "s3://training/twice") == 0
    after = objects()
    assert after.keys() == before.keys()
    assert len(after) == 96
    assert all(after[key] == before[key] for key in list(before)[1:])


def test_data_in_s3_is_used_where_it_is(s3: Any, tmp_path: Path) -> None:
    assert train("s3://elsewhere/photos", tmp_path / "run", "--job", "remote") == 0
    job: Any = boto3.client("sagemaker").describe_training_job(TrainingJobName="remote")
    assert [channel["ChannelName"] for channel in job["InputDataConfig"]] == ["training"]
    assert job["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://elsewhere/photos/"


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--role", "admin"], 2, "--role must be an IAM role"),
        (["--instance-type", "large"], 2, "--instance-type must be SageMaker's"),
        (["--s3", "/data"], 2, "--s3 must be s3://BUCKET/PREFIX"),
        (["--hours", "0"], 2, "--hours must be above 0"),
        (["--job", "two words"], 2, "--job must be letters"),
        (["--s3", "s3://no-such-bucket/x"], 1, "no such bucket"),
        (["--data", "absent"], 1, "absent is not a folder"),
        (["--name", "Wrong"], 2, "--name must be"),
    ],
)
def test_what_is_wrong_with_a_job_is_said_before_it_begins(
    s3: Any,
    pictures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    complaint: str,
) -> None:
    before = len(boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"])
    assert train(pictures, tmp_path / "run", *words) == code
    assert complaint in capsys.readouterr().err
    assert len(boto3.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]) == before


class Replies:
    """A SageMaker that tells of one job, a state each time it is asked."""

    def __init__(self, *statuses: str) -> None:
        self._left = list(statuses)

    def describe_training_job(self, **_: str) -> dict[str, object]:
        status = self._left.pop(0)
        found: dict[str, object] = {"TrainingJobStatus": status, "SecondaryStatus": "Training"}
        if status == "Failed":
            found["FailureReason"] = "AlgorithmError: no pictures"
        if status == "Completed":
            found["ModelArtifacts"] = {"S3ModelArtifacts": "s3://training/model.tar.gz"}
        return found


@pytest.mark.parametrize(
    ("replies", "seen", "complaint"),
    [
        (["InProgress", "InProgress", "Completed"], ["InProgress", "Completed"], ""),
        (["InProgress", "Failed"], ["InProgress", "Failed"], "ended as Failed: AlgorithmError: no pictures"),
        (["Stopping", "Stopped"], ["Stopping", "Stopped"], "ended as Stopped"),
    ],
)
def test_a_job_is_waited_for_until_it_has_ended(replies: list[str], seen: list[str], complaint: str) -> None:
    found = []
    with pytest.raises(DeployError, match=complaint) if complaint else nullcontext():
        for state in watch(cast(Any, Replies(*replies)), "job", every_s=0):
            found.append(state.status)
    assert found == seen


def test_an_archive_that_reaches_outside_is_refused(
    s3: Any, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(pictures, tmp_path / "run", "--job", "hostile") == 0
    job: Any = boto3.client("sagemaker").describe_training_job(TrainingJobName="hostile")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    s3.put_object(Bucket=bucket, Key=key, Body=archive.getvalue())
    assert train(pictures, tmp_path / "run", "--job", "hostile", "--wait") == 1
    assert "no plain file below it" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "outside").exists()


def lay_out(place: Path, pictures: Path, hyperparameters: dict[str, str]) -> None:
    (place / "input" / "config").mkdir(parents=True)
    (place / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    (place / "input" / "data").mkdir()
    (place / "input" / "data" / "training").symlink_to(pictures)


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        ({"name": "colours", "epoch-count": "3"}, "a hyperparameter is wrong: unrecognized arguments: --epoch-count 3"),
        ({"name": "colours", "epochs": "0"}, "need epochs 1..10000"),
        ({"name": "colours", "val": "absent"}, "absent is not a folder"),
    ],
)
def test_a_job_that_fails_says_why(
    pictures: Path, tmp_path: Path, hyperparameters: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, pictures, hyperparameters)
    monkeypatch.setenv(entry.PREFIX, str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert entry.main() == 1
    assert complaint in (tmp_path / "output" / "failure").read_text()


def test_the_image_is_built_of_files_that_there_are() -> None:
    root = Path(tidegate.__file__).parent
    lines = (root / "cloud" / "sagemaker" / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert len(copied) > 5
    assert all((root / name).exists() for name in copied)
