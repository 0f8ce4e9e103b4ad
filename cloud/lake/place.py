"""Where a lake is, or one of its tables: a folder, or a prefix of an S3 bucket.

On S3 a file that must be new is a conditional put (`If-None-Match: *`), and what a put has returned from is durable.
Region, endpoint and credentials come from the AWS_* variables, or from wherever AWS's libraries look for them.
"""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pyarrow.fs as pa_fs

from cloud.lake.durable import make_durable
from greengrass.objects import DiskStore, S3Store
from models.errors import LakeError

Where = Path | str

# A worker whose bucket does not answer must say so, not hang: the gateways keep what it does not acknowledge.
_CONNECT_S = 5
_REQUEST_S = 30
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """`uri` and `options`: as deltalake takes them. `files`: what is there, by names relative to it. `folder`: on a
    disk."""

    uri: str
    files: pa_fs.FileSystem
    options: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def __truediv__(self, name: str) -> "Place":
        """What lies under this."""
        files = pa_fs.SubTreeFileSystem(f"{self.files.base_path}{name}", self.files.base_fs)
        return Place(f"{self.uri}/{name}", files, self.options, self.folder / name if self.folder else None)

    def __str__(self) -> str:
        return self.uri

    def exists(self, name: str) -> bool:
        """Whether there is such a file, or anything in such a folder."""
        return self.files.get_file_info(name).type is not pa_fs.FileType.NotFound

    def list(self, folder: str) -> Sequence[pa_fs.FileInfo]:
        """What lies in a folder; nothing when there is none."""
        found: list[pa_fs.FileInfo] = self.files.get_file_info(pa_fs.FileSelector(folder, allow_not_found=True))
        return found

    def read(self, name: str) -> bytes:
        """What is in a file; FileNotFoundError when there is none."""
        with self.files.open_input_stream(name) as file:
            content: bytes = file.read()
        return content

    def put_new(self, name: str, content: bytes) -> None:
        """A durable file where none is yet, whatever others do at the same moment. StoreError if there is one, or when
        it is not known whether it was put."""
        if self.folder is not None:
            DiskStore(self.folder).put_new(name, content)
        else:
            bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
            _bucket(bucket, _endpoint()).put_new(f"{prefix}/{name}", content)

    def make_folder(self, name: str = "") -> None:
        """Make the folder where there are any: a bucket has none."""
        if self.folder is not None:
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def make_durable(self, names: Iterable[str]) -> None:
        """Make these files survive a power cut, where they do not yet."""
        if self.folder is not None:
            make_durable(self.folder, names)


def open_place(where: Where) -> Place:
    """The place at `s3://bucket/prefix` or a folder's path; LakeError for any other scheme. Nothing is looked up."""
    parts = urlparse(str(where))
    if isinstance(where, Path) or not parts.scheme:
        folder = Path(where).absolute()
        return Place(str(folder), pa_fs.SubTreeFileSystem(str(folder), pa_fs.LocalFileSystem()), {}, folder)
    prefix = parts.path.strip("/")
    if parts.scheme != "s3" or not parts.netloc or not prefix:
        raise LakeError(f"lake {where!r}: expected s3://BUCKET/PREFIX or a folder")
    return _on_s3(f"{parts.netloc}/{prefix}")


@functools.cache
def _bucket(name: str, endpoint: str | None) -> S3Store:
    """One for all tables: making boto3's client takes longer than a commit. `endpoint`: where it was made for."""
    return S3Store(name)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _on_s3(path: str) -> Place:
    endpoint = _endpoint()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options = {
        "conditional_put": "etag",
        "connect_timeout": f"{_CONNECT_S}s",
        "timeout": f"{_REQUEST_S}s",
        "retry_timeout": f"{_REQUEST_S * 2}s",
        "max_retries": str(_ATTEMPTS),
    }
    if region:
        options["region"] = region
    if endpoint:
        options |= {"endpoint": endpoint, "allow_http": str(endpoint.startswith("http://")).lower()}
    files = pa_fs.S3FileSystem(
        region=region,
        endpoint_override=endpoint,
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        allow_delayed_open=True,  # a file of less than 5 MB is one put, and not three requests
        retry_strategy=pa_fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )
    return Place(f"s3://{path}", pa_fs.SubTreeFileSystem(path, files), options)
