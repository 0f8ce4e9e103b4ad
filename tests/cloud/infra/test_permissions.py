"""The functions do their work on S3 with no more rights than their roles have."""

import fnmatch
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import boto3
import pytest

from cloud.ingest import upkeep
from cloud.ingest.aws_lambda import keep_up, open_ingest, take_in
from cloud.lake.place import open_place
from cloud.lake.upkeep import small_files
from greengrass.objects import open_store
from models.mqtt import Message
from models.topics import results_topic
from simulator.kinesis_feed import EventSource, Rule
from tests.cloud.lake.results import OTHER_STREAM, bad_message, frames_message, message, picture, seqs_in_lake
from tests.s3 import S3

Asked = Callable[[str, str], bool]


class Context:
    """Lambda's, with all the time in the world."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = s3.new_bucket()
    monkeypatch.setenv("TIDEGATE_LAKE", f"s3://{name}/lake")
    open_ingest.cache_clear()
    yield name
    open_ingest.cache_clear()


def statements(template: Mapping[str, Any], function: str) -> list[dict[str, Any]]:
    """Of the role's own policy."""
    (role,) = (
        item["Properties"]
        for name, item in template["Resources"].items()
        if item["Type"] == "AWS::IAM::Role" and name.startswith(f"{function}Role")
    )
    return [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]


def refuser(template: Mapping[str, Any], function: str, bucket: str) -> Asked:
    """True for requests to S3 that the function's role does not allow. Kinesis and IoT share the port, and are let
    through."""
    allowed = [
        (action, resource)
        for statement in statements(template, function)
        for action in _list(statement["Action"])
        for resource in _text(statement["Resource"], bucket)
    ]

    def is_refused(method: str, path: str) -> bool:
        if not path.startswith(f"/{bucket}"):
            return False
        key = path.removeprefix(f"/{bucket}").strip("/")
        action = _ACTIONS[method, bool(key)]
        resource = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
        if action == "s3:DeleteObject" and not key:  # many at once, named in what is sent
            resource = f"arn:aws:s3:::{bucket}/lake/frames/"
        return not any(action == name and fnmatch.fnmatchcase(resource, pattern) for name, pattern in allowed)

    return is_refused


# by method, and whether an object is named
_ACTIONS = {
    ("GET", True): "s3:GetObject",
    ("HEAD", True): "s3:GetObject",
    ("PUT", True): "s3:PutObject",
    ("POST", True): "s3:PutObject",  # in several parts
    ("DELETE", True): "s3:DeleteObject",
    ("GET", False): "s3:ListBucket",
    ("HEAD", False): "s3:ListBucket",
    ("PUT", False): "s3:CreateBucket",
    ("POST", False): "s3:DeleteObject",
}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(resources: Any, bucket: str) -> list[str]:
    texts = []
    for resource in _list(resources):
        parts = resource["Fn::Join"][1] if "Fn::Join" in resource else [resource]
        texts.append("".join(part if isinstance(part, str) else f"arn:aws:s3:::{bucket}" for part in parts))
    return texts


@pytest.fixture
def feed(s3: S3) -> Iterator[Callable[[list[bytes]], EventSource]]:
    kinesis = boto3.client("kinesis")

    def send(payloads: list[bytes]) -> EventSource:
        stream = f"results-{os.urandom(4).hex()}"
        kinesis.create_stream(StreamName=stream, ShardCount=1)
        for payload in payloads:
            Rule(kinesis, stream).publish(Message(results_topic("gw-1"), payload))
        return EventSource(kinesis, stream, lambda event: take_in(event, Context()), batch=2)

    yield send
    kinesis.close()


def test_results_get_in(
    template: dict[str, Any], bucket: str, s3: S3, feed: Callable[[list[bytes]], EventSource]
) -> None:
    first, second = picture(9, parts=2, data=b"\xff\xd8\xff" + bytes(100))
    source = feed([
        message([first], stream=OTHER_STREAM),
        bad_message(1, 2),
        frames_message(3, 4),
        message([second], first=2, stream=OTHER_STREAM),
        frames_message(5, 9),
    ])  # fmt: skip

    with s3.refusing(refuser(template, "TakeIn", bucket)):
        source.poll()

    assert source.given_up == []
    assert seqs_in_lake(f"s3://{bucket}/lake") == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert seqs_in_lake(f"s3://{bucket}/lake", stream=OTHER_STREAM) == [2]  # the picture is whole with its last part
    assert list(open_store(f"s3://{bucket}/lake/objects").list("waiting/")) == []


def test_the_lake_is_kept_in_order(
    template: dict[str, Any],
    bucket: str,
    s3: S3,
    feed: Callable[[list[bytes]], EventSource],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed([frames_message(seq, seq) for seq in range(1, 7)]).poll()
    frames = open_place(f"s3://{bucket}/lake") / "frames"
    assert small_files(frames) == 3
    monkeypatch.setattr(upkeep, "COMPACT_AT_FILES", 2)

    with s3.refusing(refuser(template, "KeepUp", bucket)):
        keep_up({"sweep": True}, Context())

    assert small_files(frames) == 0
    assert seqs_in_lake(f"s3://{bucket}/lake") == [1, 2, 3, 4, 5, 6]


def test_who_takes_in_cannot_delete_results(template: dict[str, Any], bucket: str) -> None:
    is_refused = refuser(template, "TakeIn", bucket)

    assert is_refused("DELETE", f"/{bucket}/lake/frames/part-1.parquet")
    assert is_refused("POST", f"/{bucket}")
    assert is_refused("PUT", f"/{bucket}/elsewhere/x")
    assert is_refused("GET", f"/{bucket}/elsewhere/x")
    assert not is_refused("PUT", f"/{bucket}/lake/frames/part-1.parquet")
