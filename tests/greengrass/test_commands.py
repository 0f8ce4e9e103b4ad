"""`tidegate component build` and `tidegate deploy`, as a user calls them."""

import json
from pathlib import Path

import pytest

from greengrass.component import zip_bytes
from greengrass.deploy import current_pins
from greengrass.objects import DiskStore
from greengrass.recipe import RuntimeVersion, Wheelhouse, recipe_bytes, runtime_recipe
from greengrass.register import versions_of
from greengrass.runtime.component import Devices, runtime_version
from tests.greengrass.world import Cloud, answer_of, error_of, make_package
from tidegate import main

TOML = """
model = "coco"
window_s = 5

[[cameras]]
name = "belt"
uri = "http://127.0.0.1:8000/{gateway}"
"""


BUILD = ("component", "build", "--gateway", "--out")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(TOML)
    return path


@pytest.fixture
def built(tmp_path: Path, config: Path, package: Path) -> str:
    out = str(tmp_path / "out")
    assert main([*BUILD, out, "--config", str(config), "--python", "python3", "--package", str(package)]) == 0
    return out


@pytest.fixture
def shop(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("TIDEGATE_ARTIFACTS", "s3://artifacts/components")
    cloud.add_group("shop", "one", "two")
    return cloud


def test_build_writes_what_a_local_deployment_takes(built: str) -> None:
    recipe = json.loads((Path(built) / "recipes" / "tidegate.Gateway-0.1.0.json").read_bytes())

    assert recipe["ComponentConfiguration"]["DefaultConfiguration"]["gateway"]["window_s"] == 5
    assert (Path(built) / "artifacts" / "tidegate.Gateway" / "0.1.0" / "tidegate.zip").is_file()
    assert (Path(built) / "artifacts" / "tidegate.Model.coco" / "3.0.0" / "package.zip").is_file()


def test_a_release_is_built_from_the_registry(
    tmp_path: Path, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*") if path.is_file()}
    DiskStore(tmp_path / "registry").put("models/coco/3/package.zip", zip_bytes(files))
    out, registry = str(tmp_path / "out"), str(tmp_path / "registry")

    (found,) = answer_of(capsys, "component", "build", "--out", out, "--model", "coco@3", "--registry", registry)

    assert (found["name"], found["version"]) == ("tidegate.Model.coco", "3.0.0")
    assert Path(found["artifacts"][0]).is_file()


def test_each_development_build_has_a_version_of_its_own(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = (
        "component",
        "build",
        "--out",
        str(tmp_path / "out"),
        "--gateway",
        "--config",
        str(config),
        "--development",
    )

    (first,) = answer_of(capsys, *build)
    (again,) = answer_of(capsys, *build)
    config.write_text(TOML.replace("5", "6"))
    (other,) = answer_of(capsys, *build)

    assert first == again
    assert other["version"] != first["version"]


def test_deploy_registers_and_deploys_and_does_neither_twice(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = answer_of(capsys, "deploy", "--components", built, "--group", "shop")
    again = answer_of(capsys, "deploy", "--components", built, "--group", "shop")

    assert first["changes"] == [
        {"name": "tidegate.Gateway", "from": None, "to": "0.1.0"},
        {"name": "tidegate.Model.coco", "from": None, "to": "3.0.0"},
    ]
    assert first["devices"] == ["one", "two"]
    assert again["deployment"] == first["deployment"]


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = answer_of(capsys, "deploy", "--components", built, "--group", "shop", "--dry-run")

    assert [component["name"] for component in said["register"]] == ["tidegate.Gateway", "tidegate.Model.coco"]
    assert said["changes"][0] == {"name": "tidegate.Gateway", "from": None, "to": "0.1.0"}
    assert versions_of("tidegate.Gateway") == ()
    assert current_pins("shop") == {}
    assert list(shop.store.list("")) == []

    assert main(["deploy", "--components", built, "--group", "shop"]) == 0
    later = answer_of(capsys, "deploy", "--components", built, "--group", "shop", "--dry-run")
    assert later["register"] == []
    assert later["changes"][0] == {"name": "tidegate.Gateway", "from": "0.1.0", "to": "0.1.0"}


def test_only_what_was_picked_is_deployed(shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer_of(capsys, "deploy", "--components", built, "--group", "shop", "--only", "tidegate.Gateway")

    assert set(current_pins("shop")) == {"tidegate.Gateway"}
    assert versions_of("tidegate.Model.coco") == ()


def test_without_a_group_components_are_registered_only(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = answer_of(capsys, "deploy", "--components", built)

    assert "deployment" not in said
    assert versions_of("tidegate.Model.coco") == ("3.0.0",)


def test_of_two_builds_of_a_component_one_must_be_picked(
    shop: Cloud, built: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = make_package(tmp_path / "newer", release=4)
    assert main(["component", "build", "--out", built, "--package", str(newer)]) == 0

    said = error_of(capsys, 2, "deploy", "--components", built, "--group", "shop")
    assert "tidegate.Model.coco was built in versions 3.0.0, 4.0.0: pick one with --only" in said
    assert versions_of("tidegate.Gateway") == ()

    answer_of(capsys, "deploy", "--components", built, "--group", "shop", "--only", "tidegate.Model.coco@4.0.0")
    assert current_pins("shop")["tidegate.Model.coco"].version == "4.0.0"


def test_waiting_says_who_did_not_get_it(shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--components", built, "--group", "shop"]) == 0
    shop.report("one")

    said = error_of(capsys, 1, "deploy", "--components", built, "--group", "shop", "--wait", "0")
    assert "is not on two after 0 s" in said

    shop.report("two")
    assert answer_of(capsys, "deploy", "--components", built, "--group", "shop", "--wait", "0")["deployed"] is True


@pytest.mark.parametrize(
    ("code", "said", "arguments"),
    [
        (2, "nothing to build", ["component", "build", "--out", "{out}"]),
        (2, "--gateway and --config go together", ["component", "build", "--out", "{out}", "--gateway"]),
        (2, "x.toml cannot be read", ["component", "build", "--out", "{out}", "--gateway", "--config", "x.toml"]),
        (2, "expected a release as NAME@RELEASE", ["component", "build", "--out", "{out}", "--model", "coco"]),
        (2, "needs the registry", ["component", "build", "--out", "{out}", "--model", "coco@1"]),
        (1, "coco@1 is not in the registry", ["component", "build", "--out=o", "--model=coco@1", "--registry={out}"]),
        (1, "holds no manifest.json", ["component", "build", "--out", "{out}", "--package", "{out}"]),
        (2, "needs a place for artifacts", ["deploy", "--components", "{out}"]),
        (2, "need a --group", ["deploy", "--components", "{out}", "--artifacts", "s3://b", "--wait", "3"]),
        (1, "holds no recipes", ["deploy", "--components", "{out}", "--artifacts", "s3://b"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    said: str,
    arguments: list[str],
) -> None:
    for name in ("TIDEGATE_REGISTRY", "TIDEGATE_ARTIFACTS"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "out"

    assert said in error_of(capsys, code, *(argument.format(out=out) for argument in arguments))
    assert not out.exists()


@pytest.mark.parametrize("text", ["model = ", "[1, 2", "when = 2026-01-01"])
def test_a_configuration_that_is_none_is_named(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    config.write_text(text)
    out = str(tmp_path / "out")

    said = error_of(capsys, 2, "component", "build", "--out", out, "--gateway", "--config", str(config))

    assert "gateway.toml is not a configuration in TOML or JSON" in said


def test_only_for_what_was_not_built_names_what_was(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = error_of(capsys, 2, "deploy", "--components", built, "--only", "tidegate.Runtime")

    assert "which are tidegate.Gateway@0.1.0, tidegate.Model.coco@3.0.0" in said


def test_a_group_that_is_not_there_stops_before_anything_is_registered(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no thing group 'store'" in error_of(capsys, 1, "deploy", "--components", built, "--group", "store")
    assert versions_of("tidegate.Gateway") == ()


# -- what was deployed: merges, removals, status, cancel


def test_a_configuration_is_merged_for_a_group_and_the_version_stays(
    shop: Cloud, built: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--components", built, "--group", "shop", "--only", "tidegate.Gateway"]) == 0
    change = tmp_path / "change.json"
    change.write_text('{"gateway": {"window_s": 30}}')

    said = answer_of(capsys, "deploy", "--group", "shop", "--merge", f"tidegate.Gateway={change}")

    assert said["changes"] == [{"name": "tidegate.Gateway", "from": "0.1.0", "to": "0.1.0"}]
    assert current_pins("shop")["tidegate.Gateway"].merge == {"gateway": {"window_s": 30}}


def test_a_configuration_is_reset_before_it_is_merged(
    shop: Cloud, built: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--components", built, "--group", "shop", "--only", "tidegate.Gateway"]) == 0
    change = tmp_path / "change.json"
    change.write_text('{"gateway": {"window_s": 30}}')
    merge = ["deploy", "--group", "shop", "--merge", f"tidegate.Gateway={change}"]

    answer_of(
        capsys, *merge, "--reset", "tidegate.Gateway=/gateway/window_s", "--reset", "tidegate.Gateway=/accessControl"
    )

    update = json.loads(shop.report("one"))["components"]["tidegate.Gateway"]["configurationUpdate"]
    assert update == {"merge": {"gateway": {"window_s": 30}}, "reset": ["/gateway/window_s", "/accessControl"]}
    answer_of(capsys, "deploy", "--group", "shop", "--reset", "tidegate.Gateway")
    update = json.loads(shop.report("one"))["components"]["tidegate.Gateway"]["configurationUpdate"]
    assert update == {"merge": {"gateway": {"window_s": 30}}, "reset": [""]}


def test_what_is_removed_is_uninstalled_and_the_rest_stays(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--components", built, "--group", "shop"]) == 0

    foreseen = answer_of(capsys, "deploy", "--group", "shop", "--remove", "tidegate.Model.coco", "--dry-run")
    assert foreseen["changes"] == [{"name": "tidegate.Model.coco", "from": "3.0.0", "to": None}]
    assert set(current_pins("shop")) == {"tidegate.Gateway", "tidegate.Model.coco"}

    answer_of(capsys, "deploy", "--group", "shop", "--remove", "tidegate.Model.coco")
    assert set(current_pins("shop")) == {"tidegate.Gateway"}


def test_policies_and_pace_are_flags(shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = answer_of(
        capsys, "deploy", "--components", built, "--group", "shop", "--on-failure", "keep", "--no-notice",
        "--update-timeout", "7", "--per-minute", "5", "--abort-at", "20", "--timeout-minutes", "9",
    )  # fmt: skip

    found = shop.aws.greengrass.get_deployment(deploymentId=deployed["deployment"])
    assert found["deploymentPolicies"]["failureHandlingPolicy"] == "DO_NOTHING"
    assert found["deploymentPolicies"]["componentUpdatePolicy"] == {
        "action": "SKIP_NOTIFY_COMPONENTS", "timeoutInSeconds": 7,
    }  # fmt: skip
    assert found["iotJobConfiguration"]["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 5}
    (criterion,) = found["iotJobConfiguration"]["abortConfig"]["criteriaList"]
    assert (criterion["thresholdPercentage"], criterion["minNumberOfExecutedThings"]) == (20, 10)


def test_status_says_how_far_each_device_is_and_why_not_further(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = answer_of(capsys, "deploy", "--components", built, "--group", "shop")
    shop.report("one", "FAILED", deployment_failure_cause="exit code 3")

    said = answer_of(capsys, "deploy", "status", "shop")

    assert (said["deployment"], said["status"]) == (deployed["deployment"], "ACTIVE")
    assert said["components"] == {"tidegate.Gateway": "0.1.0", "tidegate.Model.coco": "3.0.0"}
    one, two = said["devices"]
    assert (one["thing"], one["deployment"], one["reason"], one["health"]) == (
        "one", "FAILED", "exit code 3", "UNHEALTHY",
    )  # fmt: skip
    assert (two["thing"], two["deployment"], two["health"]) == ("two", None, None)
    assert main(["deploy", "status", "shop"]) == 0
    assert "exit code 3" in capsys.readouterr().out


def test_status_of_a_device_says_all_its_deployments(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy", "--components", built, "--group", "shop"]) == 0
    shop.report("one")

    said = answer_of(capsys, "deploy", "status", "--device", "one")

    assert [(found["name"], found["status"]) for found in said["deployments"]] == [("tidegate shop", "SUCCEEDED")]
    assert said["device"]["status"] == "HEALTHY"
    assert answer_of(capsys, "deploy", "status", "--device", "two")["device"] is None
    assert main(["deploy", "status", "--device", "one"]) == 0
    assert "tidegate shop" in capsys.readouterr().out


def test_cancel_takes_it_back_from_those_that_have_not_finished(
    shop: Cloud, built: str, capsys: pytest.CaptureFixture[str]
) -> None:
    deployed = answer_of(capsys, "deploy", "--components", built, "--group", "shop")
    shop.report("one")

    foreseen = answer_of(capsys, "deploy", "cancel", "shop", "--dry-run")
    assert foreseen == {
        "dry_run": True, "group": "shop", "deployment": deployed["deployment"], "pending": ["two"],
    }  # fmt: skip
    assert answer_of(capsys, "deploy", "status", "shop")["deployment"] == deployed["deployment"]

    assert main(["deploy", "cancel", "shop"]) == 0
    assert "execution" not in shop.jobs.start_next_pending_job_execution(thingName="two")
    assert answer_of(capsys, "deploy", "status", "shop")["deployment"] is None
    assert answer_of(capsys, "deploy", "cancel", "shop")["deployment"] is None


@pytest.mark.parametrize(
    ("code", "said", "arguments"),
    [
        (2, "needs something to do", ["deploy", "--group", "shop"]),
        (2, "need a --group", ["deploy", "--remove", "x"]),
        (2, "expected NAME=FILE", ["deploy", "--group", "shop", "--merge", "x"]),
        (2, "nowhere cannot be read", ["deploy", "--group", "shop", "--merge", "x=nowhere"]),
        (2, "x is not run by shop", ["deploy", "--group", "shop", "--merge", "x={file}"]),
        (2, "--abort-after needs --abort-at", ["deploy", "--group", "shop", "--remove", "x", "--abort-after", "3"]),
        (2, "per_minute must be in", ["deploy", "--group", "shop", "--remove", "x", "--per-minute", "0"]),
        (2, "a GROUP or --device THING", ["deploy", "status"]),
        (1, "no thing group 'store'", ["deploy", "status", "store"]),
        (1, "no thing group 'store'", ["deploy", "cancel", "store"]),
    ],
)  # fmt: skip
def test_a_mistake_about_what_runs_is_one_line(
    shop: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int, said: str, arguments: list[str]
) -> None:
    file = tmp_path / "change.json"
    file.write_text("{}")

    assert said in error_of(capsys, code, *(argument.format(file=file) for argument in arguments))


def test_a_gateway_is_not_deployed_without_the_runtime_that_it_needs(
    shop: Cloud, tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main([*BUILD, out, "--config", str(config)]) == 0
    needed = runtime_version(Devices())

    said = error_of(capsys, 1, "deploy", "--components", out, "--group", "shop")
    assert f"tidegate.Gateway 0.1.0 needs tidegate.Runtime {needed.version}, but shop does not run it" in said
    assert versions_of("tidegate.Gateway") == ()

    _put_runtime(Path(out), "1.0.0", needed.environment)
    said = error_of(capsys, 1, "deploy", "--components", out, "--group", "shop")
    assert f"tidegate.Runtime {needed.version}, but shop would run 1.0.0" in said

    _put_runtime(Path(out), needed.version, needed.environment)
    both = ("--only", "tidegate.Gateway", "--only", f"tidegate.Runtime@{needed.version}")
    answer_of(capsys, "deploy", "--components", out, "--group", "shop", *both)
    assert {name: pin.version for name, pin in current_pins("shop").items()} == {
        "tidegate.Gateway": "0.1.0",
        "tidegate.Runtime": needed.version,
    }


def _put_runtime(out: Path, version: str, environment: str) -> None:
    """As `component build --runtime` leaves it, but for the wheels."""
    folder = out / "artifacts" / "tidegate.Runtime" / version
    folder.mkdir(parents=True)
    for name in ("setup.sh", "keep.sh"):
        (folder / name).write_text("exit 0\n")
    (folder / "w.zip").write_bytes(zip_bytes({"any/x.whl": b""}))
    recipe = runtime_recipe(
        RuntimeVersion(version, environment),
        pythons=("3.11",),
        wheelhouses=[Wheelhouse("amd64", "s3://local/w.zip", 1)],
        setup_uri="s3://local/setup.sh",
        keep_uri="s3://local/keep.sh",
    )
    (out / "recipes" / f"tidegate.Runtime-{version}.json").write_bytes(recipe_bytes(recipe))
