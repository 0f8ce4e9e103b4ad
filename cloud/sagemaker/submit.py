"""Data to S3, a training job to SageMaker, its model back. boto3's SageMaker lives here."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud.archive import files_below, unpack
from cloud.sagemaker.job import Job, job_request
from greengrass.aws import spoken_of
from greengrass.objects import open_store
from models.errors import DataError, DeployError
from models.manifest import sha256_file

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient

_WRITERS = 8
_GOING_ON = ("InProgress", "Stopping")


@dataclass(frozen=True, slots=True)
class State:
    """How a job is: `status` InProgress, Completed, Failed, Stopping or Stopped; `detail` what it does right now or why
    it ended; `model` the URI of its model.tar.gz, once there is one."""

    status: str
    detail: str
    model: str | None


def connect() -> "SageMakerClient":
    """The client that the environment's AWS_* variables call for."""
    try:
        return boto3.client("sagemaker", config=Config(retries={"mode": "standard", "max_attempts": 5}))
    except (BotoCoreError, ValueError) as exc:
        raise DeployError(f"SageMaker cannot be used: {exc}; check the AWS_* variables") from exc


def upload(what: Path, s3: str, *, on_file: Callable[[int, int], None] = lambda *_: None) -> str:
    """Put a folder's files, or one file, below `s3`/data/; the URI of the prefix they have there.

    The prefix is made of names and contents, so what is there already is not sent again. `on_file` is told how many of
    how many are there. Hidden files stay here.
    """
    files = {path.relative_to(what if what.is_dir() else what.parent): path for path in _files(what)}
    if not files:
        raise DataError(f"{what} holds no files; expected what is to be trained on")
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name.as_posix()}\0{sha256_file(path)}\n".encode())
    prefix = f"data/{digest.hexdigest()[:24]}"
    store = open_store(s3)
    there = set(store.list(f"{prefix}/"))
    missing = [(f"{prefix}/{name.as_posix()}", path) for name, path in sorted(files.items())]
    missing = [(key, path) for key, path in missing if key not in there]
    with ThreadPoolExecutor(_WRITERS) as pool:
        for number, _ in enumerate(pool.map(lambda item: store.put(item[0], item[1].read_bytes()), missing), start=1):
            on_file(len(files) - len(missing) + number, len(files))
    return store.uri(prefix) + "/"


def submit(client: "SageMakerClient", job: Job) -> None:
    """Begin the job; DeployError says why SageMaker would not."""
    with spoken_of(f"training job {job.name}"):
        client.create_training_job(**job_request(job))


def look(client: "SageMakerClient", name: str) -> State | None:
    """How the job is; None where there is none of that name."""
    with spoken_of(f"training job {name}"):
        try:
            found = client.describe_training_job(TrainingJobName=name)
        except ClientError as exc:
            # it has no error code of its own for this
            if "not found" in str(exc).lower() or "could not find" in str(exc).lower():
                return None
            raise
    detail = found.get("FailureReason") or found.get("SecondaryStatus", "")
    return State(found["TrainingJobStatus"], detail, found.get("ModelArtifacts", {}).get("S3ModelArtifacts"))


def watch(client: "SageMakerClient", name: str, *, every_s: float = 15.0) -> Iterator[State]:
    """Its states, each once, until it has ended; DeployError when it ended without a model."""
    before = None
    while True:
        state = look(client, name)
        if state is None:
            raise DeployError(f"training job {name} is not there; was it begun in this account and region?")
        if state != before:
            yield state
            before = state
        if state.status not in _GOING_ON:
            break
        time.sleep(every_s)
    if state.status != "Completed" or state.model is None:
        raise DeployError(f"training job {name} ended as {state.status}: {state.detail or 'no reason was given'}")


def fetch_model(model: str, into: Path) -> None:
    """Unpack a job's model.tar.gz, given by its URI, into an empty folder."""
    place, _, file = model.rpartition("/")
    unpack(open_store(place).get(file), into, where=model)


def _files(what: Path) -> list[Path]:
    if what.is_file():
        return [what]
    if not what.is_dir():
        raise DataError(f"{what} is not there; expected a folder of what is to be trained on")
    return files_below(what)
