"""`tidegate rollout` against the local control plane and a lake."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

import tidegate
from cloud.lake.delta import DeltaSink, create_lake
from cloud.lake.lake import Lake
from cloud.rollout import aws_lambda
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.place import Place
from cloud.rollout.record import find
from cloud.rollout.requests import Request, post
from cloud.rollout.run import utc_us
from greengrass.component import build_model
from greengrass.groups import ensure_group
from greengrass.objects import DiskStore, S3Store
from greengrass.register import register
from models.health import Health
from simulator.aws import Aws
from tests.cloud.lake.results import run_of
from tests.greengrass.world import Cloud, make_package

WINDOW_S = 0.5
MODEL, FLEET = "flange", "shop"
START = (
    "--window-s", str(WINDOW_S), "--poll-s", "0.1", "--rings", "1,rest", "--silence-windows", "60", "--soak", "0"
)  # fmt: skip


@dataclass
class Shop:
    """Two gateways, each a thread's worth of one: it takes its ring's release and reports health to the lake."""

    lake: Path
    state: Path
    cloud: Cloud
    slow: set[int] = field(default_factory=set)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        closing = threading.Event()
        worker = threading.Thread(target=self._work, args=(closing,))
        worker.start()
        try:
            yield
        finally:
            closing.set()
            worker.join()

    def _work(self, closing: threading.Event) -> None:
        sink = DeltaSink(self.lake)
        running: dict[str, int] = {}
        seqs: Counter[str] = Counter()
        while not closing.wait(WINDOW_S):
            for name in ("one", "two"):
                for job in self.cloud.jobs.get_pending_job_executions(thingName=name)["queuedJobs"]:
                    document = json.loads(
                        self.cloud.jobs.describe_job_execution(jobId=job["jobId"], thingName=name)["execution"][
                            "jobDocument"
                        ]
                    )
                    component = document["components"].get(f"tidegate.Model.{MODEL}")
                    if component is not None:
                        running[name] = int(component["version"].split(".")[0])
                    self.cloud.jobs.update_job_execution(jobId=job["jobId"], thingName=name, status="SUCCEEDED")
            seqs.update(running.keys())
            sink.commit(
                [
                    run_of([self._health(release)], first=seqs[name], gateway=name)
                    for name, release in sorted(running.items())
                ],
                at=datetime.now(UTC),
            )

    def _health(self, release: int) -> Health:
        slow = 3.0 if release in self.slow else 1.0
        return Health(
            at_us=utc_us(),
            window_s=WINDOW_S,
            model=MODEL,
            release=release,
            digest="d" * 64,
            variant="fp32",
            frames_inferred=40,
            p50_ms=8.0 * slow,
            p95_ms=10.0 * slow,
            memory_bytes=100_000_000,
            score_histogram=(0,) * 9 + (40,),
            class_mix={"good": 30, "defect": 10},
            detections=40,
        )


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("control-plane")) as local:
        yield local


@pytest.fixture
def shop(local_cloud: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shop]:
    """Releases 1, 2 and 3 are registered, none is deployed."""
    local_cloud.forget()
    lake, state = tmp_path / "lake", tmp_path / "rollouts"
    create_lake(lake)
    for name, value in {
        **local_cloud.environment,
        "TIDEGATE_LAKE": str(lake),
        "TIDEGATE_STATE": str(state),
    }.items():
        monkeypatch.setenv(name, value)
    s3, iot, jobs = boto3.client("s3"), boto3.client("iot"), boto3.client("iot-jobs-data")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for thing in ("one", "two"):
        iot.create_thing(thingName=thing)
    ensure_group(FLEET, ["one", "two"])
    store = S3Store("artifacts", "components", client=s3)
    for release in (1, 2, 3):
        package = make_package(tmp_path / str(release), name=MODEL, release=release)
        register(build_model(package, tmp_path / "out"), store)
    yield Shop(lake, state, Cloud(None, iot, jobs, store))  # type: ignore[arg-type]
    for client in (s3, iot, jobs):
        client.close()


def tidegate_rollout(*words: str) -> int:
    return tidegate.main(["rollout", *words])


def test_a_fleet_gets_its_first_release_a_good_one_and_no_bad_one(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.slow = {3}
    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", *START) == 0
        assert tidegate_rollout("start", "flange@2", "--fleet", FLEET, *START) == 0
        capsys.readouterr()
        assert tidegate_rollout("start", "flange@3", "--fleet", FLEET, *START, "--json") == 1

    document = json.loads(capsys.readouterr().out)
    assert (document["release"], document["incumbent"], document["phase"]) == ("flange@3", 2, "reverted")
    assert (len(document["rings"]), document["touched"]) == (2, 1)
    assert "is slow: its median inference takes 24.0 ms, the incumbent's 8.0 ms" in document["outcome"]
    fleet = GreengrassFleet()
    assert [fleet.release_of(f"shop_flange-ring-{k}", MODEL) for k in (0, 1)] == [2, 2]
    (canary,) = document["rings"][0]
    tried = {row.gateway for row in Lake(shop.lake).health() if row.health.release == 3}
    assert tried == {canary}

    assert tidegate_rollout("status") == 0
    told = capsys.readouterr().out
    assert "flange@3 to shop: reverted" in told
    assert "undeployed" in told


def test_a_ring_is_cut_into_waves_where_less_is_wanted_at_once(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    together = (*START, "--rings", "rest")
    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", *together) == 0
        capsys.readouterr()
        assert tidegate_rollout("start", "flange@2", "--fleet", FLEET, *together, "--max-in-flight", "1", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    fleet = GreengrassFleet()
    waves = ("shop_flange-ring-0", "shop_flange-ring-0-wave-1")
    assert [fleet.things(group) for group in waves] == [("one",), ("two",)]
    assert [fleet.release_of(group, MODEL) for group in waves] == [2, 2]
    told = [event["kind"] for event in document["events"] if event["kind"] in ("advance", "deployed", "done")]
    assert told == ["advance", "deployed", "advance", "deployed", "done"]
    # it moved to another group, and was never without a release
    ran = [row.health.release for row in Lake(shop.lake).health() if row.gateway == "two"]
    assert ran == sorted(ran)
    assert set(ran) == {1, 2}


def test_what_was_done_can_be_undone(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", *START) == 0
        assert tidegate_rollout("start", "flange@2", "--fleet", FLEET, *START) == 0
        capsys.readouterr()
        assert tidegate_rollout("revert", "flange", "--poll-s", "0.1", "--json") == 0

    assert json.loads(capsys.readouterr().out)["phase"] == "reverted"
    newest = {row.gateway: row.health.release for row in Lake(shop.lake).health()}
    assert newest == {"one": 1, "two": 1}
    assert tidegate_rollout("revert", "flange") == 1
    assert "is reverted already" in capsys.readouterr().err


def test_one_that_was_killed_is_gone_on_with(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    start = [sys.executable, "-m", "tidegate", "rollout", "start", "flange@1", "--fleet", FLEET, "--first", *START]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(" deployed " in line for line in process.stdout)
        process.kill()
    assert tidegate_rollout("status", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["phase"], document["touched"]) == ("rolling", 1)

    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--poll-s", "0.1") == 0
    assert "going on with the unfinished roll-out of flange@1" in capsys.readouterr().out


def test_what_was_done_is_told_and_a_log_that_was_changed_is_noticed(
    shop: Shop, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", *START) == 0
    assert tidegate_rollout("tick") == 0
    assert aws_lambda.tick({}, None) == {
        "rollouts": [{"model": MODEL, "fleet": FLEET, "well": True, "note": "", "events": []}]
    }
    assert tidegate_rollout("watch", "--json") == 0
    for ask, message in (
        ("pause", "has ended (done)"),
        ("approve", "has ended (done)"),
        ("abort", "can only be undone"),
    ):
        assert tidegate_rollout(ask) == 1
        assert message in capsys.readouterr().err
    store, place = DiskStore(shop.state), Place(FLEET, MODEL)
    assert list(store.list("requests/")) == []

    assert tidegate_rollout("history", "--out", str(tmp_path / "report"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["release"], one["how"]) for one in told["rollouts"]] == [("flange@1", "done")]
    assert Path(told["pages"][0]).read_text().startswith("# flange@1 on shop")

    store.put(place.audit(2), store.get(place.audit(2)).replace(b"rings", b"kings"))
    for verb in ("history", "status"):
        assert tidegate_rollout(verb) == 1
        said = "".join(capsys.readouterr())
        assert "the audit log is damaged" in said
        assert "00000003.json does not follow from the entry before it" in said


def test_a_dry_run_changes_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", "--dry-run", "--json") == 0

    plan = json.loads(capsys.readouterr().out)["plan"]
    assert [wave["group"] for ring in plan["rings"] for wave in ring["waves"]] == [
        "shop_flange-ring-0",
        "shop_flange-ring-1",
    ]
    assert not shop.state.exists()
    assert GreengrassFleet().things("shop_flange-ring-0") is None


def test_a_request_to_a_dead_process_is_seen_to_by_the_next(shop: Shop) -> None:
    with shop.at_work():
        assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first", *START) == 0
        store, place = DiskStore(shop.state), Place(FLEET, MODEL)
        found = find(store, place)
        assert found is not None
        post(store, place, Request("abort", "ann@desk", 1, found.record.rollout.id))  # too late for that one
        assert tidegate_rollout("start", "flange@2", "--fleet", FLEET, *START) == 0

    found = find(store, place)
    assert found is not None
    kinds = [event.kind for event in found.log(store, place).events]
    assert "revert" not in kinds
    assert kinds.count("refused") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("start", "flange", "--fleet", FLEET), 2, "expected a release as NAME@RELEASE, such as coco@7, got 'flange'"),
        (("start", "flange@0", "--fleet", FLEET), 2, "expected a release as NAME@RELEASE"),
        (("start", "flange@1", "--fleet", "shops"), 1, "there is no thing group shops"),
        (("start", "flange@9", "--fleet", FLEET), 1, "flange@9 is not registered as a component"),
        (("start", "flange@1", "--fleet", FLEET), 1, "is this the first one? Then say --first"),
        (("start", "flange@1", "--fleet", FLEET, "--first", "--rings", "9"), 2, "hold more gateways"),
        (("start", "flange@1", "--fleet", FLEET, "--first", "--window-s", "-1"), 2, "--window-s must be above 0"),
        (("start", "flange@1", "--fleet", FLEET, "--first", "--health-windows", "0"), 2, "windows must be above 0"),
        (("status",), 1, "no roll-out in"),
        (("revert", "flange"), 1, "no roll-out of flange in"),
    ],
)
def test_a_wrong_call_is_told_in_one_line_and_changes_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    assert tidegate_rollout(*words) == code

    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
    assert not shop.state.exists()


def test_without_a_lake_or_a_state_folder_it_says_which(
    shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEGATE_LAKE")
    assert tidegate_rollout("start", "flange@1", "--fleet", FLEET, "--first") == 2
    assert "use --lake FOLDER or set TIDEGATE_LAKE" in capsys.readouterr().err
    assert not shop.state.exists()

    monkeypatch.delenv("TIDEGATE_STATE")
    assert tidegate_rollout("status") == 2
    assert "use --state FOLDER or set TIDEGATE_STATE" in capsys.readouterr().err
