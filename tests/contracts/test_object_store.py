"""What every object store keeps, on each adapter: a folder, and S3 as moto's server plays it."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from greengrass.objects import ChangedError, DiskStore, ObjectStore, S3Store, open_store
from models.errors import StoreError


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"bucket-{uuid.uuid4()}"
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield name
    s3.close()


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "disk":
        return DiskStore(tmp_path / "store")
    return S3Store(request.getfixturevalue("bucket"), "some/prefix")


def test_what_was_put_is_read_back(store: ObjectStore) -> None:
    store.put("models/coco/1/package.zip", bytes(range(256)) * 100)

    assert store.get("models/coco/1/package.zip") == bytes(range(256)) * 100


def test_an_empty_object_is_not_a_missing_one(store: ObjectStore) -> None:
    store.put("empty", b"")

    assert store.get("empty") == b""
    assert list(store.list("")) == ["empty"]


def test_put_replaces(store: ObjectStore) -> None:
    store.put("a", b"old")
    store.put("a", b"new")

    assert store.get("a") == b"new"


def test_put_new_refuses_a_key_that_holds_something(store: ObjectStore) -> None:
    store.put_new("models/coco/1", b"first")

    with pytest.raises(StoreError, match="exists already"):
        store.put_new("models/coco/1", b"second")
    assert store.get("models/coco/1") == b"first"
    assert list(store.list("")) == ["models/coco/1"]


def test_of_two_writers_of_a_new_key_one_wins(store: ObjectStore) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        try:
            store.put_new("release", str(number).encode())
        except StoreError:
            return
        won.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len(won) == 1
    assert store.get("release") == str(won[0]).encode()


def test_a_missing_key_is_an_error_that_names_it(store: ObjectStore) -> None:
    store.put("models/coco/1", b"here")

    with pytest.raises(StoreError, match="models/coco/2 is not there"):
        store.get("models/coco/2")
    with pytest.raises(StoreError, match="models/coco is not there"):
        store.get("models/coco")


def test_what_was_removed_is_gone_and_others_stay(store: ObjectStore) -> None:
    for key in ("waiting/a/1", "waiting/a/2", "waiting/b"):
        store.put(key, b"x")

    for key in ("waiting/a/1", "waiting/a/1", "nowhere/at/all", "waiting/b/c"):
        store.remove(key)
    assert list(store.list("")) == ["waiting/a/2", "waiting/b"]

    for key in ("waiting/a/2", "waiting/b"):
        store.remove(key)
    assert list(store.list("")) == []
    store.put("waiting", b"a name that was a folder's")
    assert store.get("waiting") == b"a name that was a folder's"


def test_list_gives_the_keys_with_the_prefix_in_order(store: ObjectStore) -> None:
    for key in ("models/b/1", "models/a/2", "models/a/10", "models/ab/1", "other"):
        store.put(key, b"x")

    assert list(store.list("models/a/")) == ["models/a/10", "models/a/2"]
    assert list(store.list("models/a")) == ["models/a/10", "models/a/2", "models/ab/1"]
    assert list(store.list("nothing")) == []
    assert list(store.list("nothing/at/all")) == []
    assert list(store.list("../")) == []
    assert len(list(store.list(""))) == 5


def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    assert list(store.list("")) == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../outside", "a/../b", "a//b", "a/", ".hidden", "a/.b", "x" * 1025]
)
def test_keys_that_not_every_store_can_hold_are_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(StoreError, match="object key"):
        store.put(key, b"x")
    with pytest.raises(StoreError, match="object key"):
        store.get(key)
    with pytest.raises(StoreError, match="object key"):
        store.remove(key)
    assert list(store.list("")) == []


def test_the_uri_of_a_key_opens_the_same_object(store: ObjectStore) -> None:
    store.put("folder/file name.bin", b"found")

    folder, _, name = store.uri("folder/file name.bin").rpartition("/")
    reopened = open_store(folder)

    assert [reopened.get(key) for key in reopened.list("")] == [b"found"]
    assert name in ("file name.bin", "file%20name.bin")


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    absent = S3Store("no-such-bucket-here", "p")

    with pytest.raises(StoreError, match=r"no-such-bucket-here.*no such bucket"):
        absent.get("a")
    with pytest.raises(StoreError, match="no such bucket"):
        list(absent.list(""))


def test_an_unreachable_s3_is_a_store_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(StoreError, match="s3://b/p/a: S3 cannot be reached"):
        S3Store("b", "p").get("a")


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"not a folder")

    with pytest.raises(StoreError, match="cannot be written"):
        DiskStore(tmp_path / "file").put("a", b"x")


@pytest.mark.parametrize("uri", ["", "http://example.org/x", "s3://"])
def test_a_uri_that_names_no_store_is_refused(uri: str) -> None:
    with pytest.raises(StoreError):
        open_store(uri)


def test_what_is_read_can_be_put_again_in_its_new_version(store: ObjectStore) -> None:
    first = store.put_if("state.json", b"one", None)
    there = store.read("state.json")
    assert there is not None
    assert (there.data, there.version) == (b"one", first)

    second = store.put_if("state.json", b"two", first)

    assert second != first
    there = store.read("state.json")
    assert there is not None
    assert (there.data, there.version) == (b"two", second)
    assert list(store.list("")) == ["state.json"]


def test_nothing_is_read_where_nothing_is(store: ObjectStore) -> None:
    assert store.read("state.json") is None


@pytest.mark.parametrize("held", [b"", b"something"])
def test_what_somebody_else_changed_is_not_put_over(store: ObjectStore, held: bytes) -> None:
    old = store.put_if("state.json", held, None)
    new = store.put_if("state.json", b"theirs", old)

    for version in (old, None):
        with pytest.raises(ChangedError, match="not overwritten"):
            store.put_if("state.json", b"ours", version)

    assert store.get("state.json") == b"theirs"
    store.remove("state.json")
    with pytest.raises(ChangedError, match="changed by somebody else"):
        store.put_if("state.json", b"ours", new)


def test_how_old_something_is_goes_by_the_stores_clock(store: ObjectStore) -> None:
    store.put_if("state.json", b"one", None)

    there = store.read("state.json")

    assert there is not None
    assert -2 < there.age_s < 60  # S3 tells whole seconds


def test_of_many_writers_that_change_one_key_none_overwrites_another(store: ObjectStore) -> None:
    store.put_if("count", b"0", None)

    def add_one(writer: int) -> None:
        for _ in range(5):
            while True:
                there = store.read("count")
                assert there is not None
                counted = int(there.data.split()[0]) + 1
                try:
                    store.put_if("count", f"{counted} by {writer}".encode(), there.version)
                    break
                except ChangedError:
                    continue

    writers = [threading.Thread(target=add_one, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert store.get("count").split()[0] == b"20"
