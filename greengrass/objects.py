"""Where artifacts and releases are kept: the object store port, on disk and on S3. boto3's S3 lives here."""

import contextlib
import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlparse

from models.durable import sync_folder, write_atomic
from models.errors import StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MAX_KEY_BYTES = 1024  # S3's limit
_PERMISSIONS = {"ListObjectsV2": "ListBucket", "HeadObject": "GetObject"}  # where it goes by another name


class MissingError(StoreError):
    """A key holds nothing."""


class ChangedError(StoreError):
    """A key does not hold what the writer thought: somebody else was there first, and nothing was written."""


@dataclass(frozen=True, slots=True)
class Versioned:
    """What a key holds. `version` differs for different data; `age_s`: since it was put, by the store's own clock,
    which on a disk is this machine's and may be negative once that was put back."""

    data: bytes
    version: str
    age_s: float


class ObjectStore(Protocol):
    """Bytes by key. A key is a relative path with `/` between its parts, none of which starts with a dot.

    What a put has returned from is durable and is read back whole, never in half. Every failure is a StoreError: a
    key that is not there, one that is refused, a store that cannot be reached. After one, a put may have happened.
    """

    def put(self, key: str, data: bytes) -> None:
        """Store `data`, in place of what the key held."""

    def put_new(self, key: str, data: bytes) -> None:
        """Store `data` if the key holds nothing yet, even with two writers at once; StoreError if it does."""

    def put_if(self, key: str, data: bytes, version: str | None) -> str:
        """Store `data` if the key still holds that version (None: nothing), even with two writers at once; the new
        version. ChangedError if it does not. No two writers may put the same data."""

    def get(self, key: str) -> bytes:
        """What the key holds."""

    def read(self, key: str) -> Versioned | None:
        """What the key holds, to be changed by `put_if`; None when it holds nothing."""

    def remove(self, key: str) -> None:
        """Let the key hold nothing, which may be so already."""

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that start with `prefix`, in order."""

    def uri(self, key: str) -> str:
        """Where others find the key: `s3://bucket/...` or `file:///...`."""


def open_store(uri: str) -> ObjectStore:
    """The store at `s3://bucket/prefix`, `file:///folder` or a folder's path; StoreError for any other scheme."""
    parts = urlparse(uri)
    if parts.scheme == "s3":
        return S3Store(parts.netloc, parts.path.strip("/"))
    if parts.scheme == "file":
        return DiskStore(Path(unquote(parts.path)))
    if parts.scheme or not uri:
        raise StoreError(f"object store {uri!r}: expected s3://BUCKET/PREFIX or a folder")
    return DiskStore(Path(uri))


def size_of(uri: str, *, client: "S3Client | None" = None) -> int:
    """The bytes of the object at `s3://BUCKET/KEY`; StoreError where there is none, or it may not be read."""
    parts = urlparse(uri)
    if parts.scheme != "s3":
        raise StoreError(f"{uri!r}: expected s3://BUCKET/KEY")
    with _as_store_error(uri):
        found = (client or _s3_client()).head_object(Bucket=parts.netloc, Key=unquote(parts.path.lstrip("/")))
    return found["ContentLength"]


class DiskStore:
    """An object store in a folder, which is made when first written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def put(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
            write_atomic(path, data)
        except OSError as exc:
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc

    def put_new(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                # unlike a rename, a link refuses to replace what another writer has just put there
                path.hardlink_to(temporary)
            finally:
                Path(temporary).unlink(missing_ok=True)
            sync_folder(path.parent)
        except FileExistsError as exc:
            raise _exists(self.uri(key)) from exc
        except OSError as exc:
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc

    def put_if(self, key: str, data: bytes, version: str | None) -> str:
        if version is None:
            self.put_new(key, data)
            return _digest(data)
        path = self._path(key)
        try:
            with _locked(path):
                if not path.is_file() or _digest(path.read_bytes()) != version:
                    raise _changed(self.uri(key))
                write_atomic(path, data)
        except OSError as exc:
            raise StoreError(f"{path} cannot be written: {exc.strerror}") from exc
        return _digest(data)

    def read(self, key: str) -> Versioned | None:
        path = self._path(key)
        try:
            with path.open("rb") as file:
                put_s = os.fstat(file.fileno()).st_mtime
                data = file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as exc:
            raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc
        return Versioned(data, _digest(data), time.time() - put_s)

    def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
            raise _missing(self.uri(key)) from exc
        except OSError as exc:
            raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc

    def remove(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
            for folder in path.relative_to(self._folder).parents[:-1]:
                (self._folder / folder).rmdir()  # folders are no objects: an empty one is nothing
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.ENOTDIR):
                raise StoreError(f"{path} cannot be removed: {exc.strerror}") from exc

    def list(self, prefix: str) -> Iterator[str]:
        parts = prefix.split("/")[:-1]
        if ".." in parts:
            return iter(())
        folder = self._folder.joinpath(*parts)
        keys = (
            path.relative_to(self._folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")  # a dot: somebody is writing it right now
        )
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)


class S3Store:
    """An object store in an S3 bucket, under a prefix. Where the bucket is comes from boto3's environment."""

    def __init__(self, bucket: str, prefix: str = "", *, client: "S3Client | None" = None) -> None:
        if not bucket:
            raise StoreError("an S3 store needs a bucket: s3://BUCKET/PREFIX")
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._s3 = client or _s3_client()

    def put(self, key: str, data: bytes) -> None:
        uri = self.uri(key)
        with _as_store_error(uri):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(key), Body=data)

    def put_new(self, key: str, data: bytes) -> None:
        uri = self.uri(key)
        with _as_store_error(uri):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(key), Body=data, IfNoneMatch="*")

    def put_if(self, key: str, data: bytes, version: str | None) -> str:
        uri = self.uri(key)
        bucket, name = self._bucket, self._key(key)
        try:
            with _as_store_error(uri):
                if version is None:
                    return self._s3.put_object(Bucket=bucket, Key=name, Body=data, IfNoneMatch="*")["ETag"]
                return self._s3.put_object(Bucket=bucket, Key=name, Body=data, IfMatch=version)["ETag"]
        except (ChangedError, MissingError) as exc:
            # a lost answer was asked for again: then it is our own that is there
            there = self.read(key)
            if there is not None and there.data == data:
                return there.version
            raise _changed(uri) from exc

    def read(self, key: str) -> Versioned | None:
        try:
            with _as_store_error(self.uri(key)):
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(key))
                data = answer["Body"].read()
        except MissingError:
            return None
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(said) if said else datetime.now(UTC)
        return Versioned(data, answer["ETag"], (now - answer["LastModified"]).total_seconds())

    def get(self, key: str) -> bytes:
        uri = self.uri(key)
        with _as_store_error(uri):
            return self._s3.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()

    def remove(self, key: str) -> None:
        with _as_store_error(self.uri(key)):
            self._s3.delete_object(Bucket=self._bucket, Key=self._key(key))

    def list(self, prefix: str) -> Iterator[str]:
        with _as_store_error(f"s3://{self._bucket}/{self._prefix}{prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield item["Key"][len(self._prefix) :]

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._key(key)}"

    def _key(self, key: str) -> str:
        return self._prefix + check_key(key)


def check_key(key: str) -> str:
    """The key, if both adapters can hold it; StoreError if not."""
    parts = PurePosixPath(key).parts
    plain = bool(parts) and "/".join(parts) == key and not any(part.startswith((".", "/")) for part in parts)
    if not plain or "\0" in key or len(key.encode()) > MAX_KEY_BYTES:
        raise StoreError(
            f"object key {key[:80]!r}: expected a relative path of at most {MAX_KEY_BYTES} bytes "
            f"without parts that are empty or start with a dot"
        )
    return key


def _exists(uri: str) -> ChangedError:
    return ChangedError(f"{uri} exists already and is not overwritten")


def _changed(uri: str) -> ChangedError:
    return ChangedError(f"{uri} was changed by somebody else meanwhile and is not overwritten")


def _missing(uri: str) -> MissingError:
    return MissingError(f"{uri} is not there")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else on this machine changes the file meanwhile; the lock goes with whoever holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _s3_client() -> "S3Client":
    # a store on disk must not need boto3, nor wait for its half second of importing
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 5}))
    except (BotoCoreError, ValueError) as exc:
        raise StoreError(f"S3 cannot be used: {exc}; check the AWS_* variables") from exc


@contextlib.contextmanager
def _as_store_error(uri: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        if code in ("NoSuchKey", "404"):
            raise _missing(uri) from exc
        # 409: two writers of a new key at the same moment, of which this one lost
        if code in ("PreconditionFailed", "ConditionalRequestConflict"):
            raise _exists(uri) from exc
        if code == "NoSuchBucket":
            raise StoreError(f"{uri}: there is no such bucket; make it, or name another store") from exc
        if code in ("AccessDenied", "403"):
            permission = _PERMISSIONS.get(exc.operation_name, exc.operation_name)
            raise StoreError(f"{uri}: access denied: grant the permission s3:{permission} there") from exc
        raise StoreError(f"{uri}: {exc}") from exc
    except BotoCoreError as exc:
        raise StoreError(f"{uri}: S3 cannot be reached or used: {exc}") from exc
