"""A training job as SageMaker's API wants it described. Pure.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from models.errors import UsageError

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.type_defs import ChannelTypeDef, CreateTrainingJobRequestTypeDef

CHECKPOINTS = "/opt/ml/checkpoints"
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/?[\w+=,.@/-]+")
_INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")
_JOB = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_GIGABYTES = 30  # for pictures, checkpoints and the model

# what `tidegate train` says of an epoch where there is no terminal
_METRICS = (("loss", r"loss ([0-9.]+)"), ("validation", r"validation ([0-9.]+)"))


@dataclass(frozen=True, slots=True)
class Job:
    """One training. `channels` are S3 prefixes by name; `s3` the prefix, s3://BUCKET/..., below which it may write;
    `spot`: on spare machines that can be taken away, for less money."""

    name: str
    role: str
    image: str
    instance_type: str
    s3: str
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, str]
    hours: float = 4.0
    spot: bool = False

    def __post_init__(self) -> None:
        if not _JOB.fullmatch(self.name):
            raise UsageError(f"--job must be letters, digits and dashes between them (at most 63), got {self.name!r}")
        if not _ROLE.fullmatch(self.role):
            raise UsageError(f"--role must be an IAM role, arn:aws:iam::ACCOUNT:role/NAME, got {self.role!r}")
        if not self.image or any(letter.isspace() for letter in self.image) or len(self.image) > 255:
            raise UsageError(f"--image must be a container image of ours in a registry, got {self.image!r}")
        if not _INSTANCE.fullmatch(self.instance_type):
            raise UsageError(f"--instance-type must be SageMaker's, like ml.c7i.xlarge, got {self.instance_type!r}")
        if not re.fullmatch(r"s3://[^/\s]+(/\S*)?", self.s3):
            raise UsageError(f"--s3 must be s3://BUCKET/PREFIX, got {self.s3!r}")
        if not 0 < self.hours <= 120:
            raise UsageError(f"--hours must be above 0 and at most 120, got {self.hours:g}")


def default_name(model: str, now: datetime) -> str:
    """A job's name that tells the model and when it was begun (jobs of one account and region need different ones)."""
    return f"{model[:40].rstrip('-')}-{now.astimezone(UTC):%Y%m%d-%H%M%S}"


def job_request(job: Job) -> "CreateTrainingJobRequestTypeDef":
    """The arguments of CreateTrainingJob. Checkpoints go to S3 as they are written, so a job whose spot machine was
    taken away goes on from them."""
    s3, seconds = job.s3.rstrip("/"), round(job.hours * 3600)
    request: CreateTrainingJobRequestTypeDef = {
        "TrainingJobName": job.name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": name, "Regex": regex} for name, regex in _METRICS],
        },
        "HyperParameters": dict(job.hyperparameters),
        "InputDataConfig": [_channel(name, uri) for name, uri in job.channels.items()],
        "OutputDataConfig": {"S3OutputPath": f"{s3}/output"},
        "CheckpointConfig": {"S3Uri": f"{s3}/checkpoints/{job.name}", "LocalPath": CHECKPOINTS},
        "ResourceConfig": {
            "InstanceType": cast(Any, job.instance_type),  # a closed list in the stubs, an open one at AWS
            "InstanceCount": 1,
            "VolumeSizeInGB": _GIGABYTES,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": seconds},
        "EnableManagedSpotTraining": job.spot,
        "Tags": [{"Key": "tidegate", "Value": "train"}],
    }
    if job.spot:
        # a day for spare machines to turn up; it must not be less than the run time
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = seconds + 24 * 3600
    return request


def _channel(name: str, uri: str) -> "ChannelTypeDef":
    return {
        "ChannelName": name,
        "InputMode": "File",
        "DataSource": {
            "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        },
    }
