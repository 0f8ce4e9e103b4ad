"""The control plane, through unmodified boto3 clients and, where they would not let us, plain HTTP."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mypy_boto3_greengrassv2 import GreengrassV2Client
from mypy_boto3_iot import IoTClient
from mypy_boto3_iot_jobs_data import IoTJobsDataPlaneClient

import tidegate
from greengrass.recipe import model_recipe
from simulator.aws import REGION, Aws
from simulator.control.faults import Fault, Faults
from simulator.control_plane import ControlPlane
from simulator.restjson import routes

ARTIFACT = "s3://artifacts/package.zip"
SUPPORTED = {
    "CreateComponentVersion", "DescribeComponent", "GetComponent", "DeleteComponent", "ListComponents",
    "ListComponentVersions", "ResolveComponentCandidates", "CreateDeployment", "GetDeployment", "CancelDeployment",
    "ListDeployments", "ListEffectiveDeployments", "GetCoreDevice", "ListCoreDevices", "ListInstalledComponents",
    "DeleteCoreDevice", "GetPendingJobExecutions",
    "StartNextPendingJobExecution", "DescribeJobExecution", "UpdateJobExecution",
}  # fmt: skip


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("aws")) as local:
        yield local


def _client(aws: Aws, service: str, endpoint: str | None = None) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint or aws.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _client_without_retries(aws: Aws) -> GreengrassV2Client:
    client: GreengrassV2Client = boto3.client(
        "greengrassv2",
        endpoint_url=aws.control_plane.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    return client


@pytest.fixture
def iot(aws: Aws) -> Iterator[IoTClient]:
    aws.forget()
    client: IoTClient = _client(aws, "iot")
    yield client
    client.close()


@pytest.fixture
def greengrass(aws: Aws, iot: IoTClient) -> Iterator[GreengrassV2Client]:
    client: GreengrassV2Client = _client(aws, "greengrassv2", aws.control_plane.endpoint)
    _put_package(aws)
    yield client
    client.close()


@pytest.fixture
def jobs(aws: Aws, iot: IoTClient) -> Iterator[IoTJobsDataPlaneClient]:
    client: IoTJobsDataPlaneClient = _client(aws, "iot-jobs-data", aws.control_plane.endpoint)
    yield client
    client.close()


@pytest.fixture
def shop(iot: IoTClient) -> str:
    """The ARN of a group of two things."""
    arn = iot.create_thing_group(thingGroupName="shop")["thingGroupArn"]
    for thing in ("one", "two"):
        iot.create_thing(thingName=thing)
        iot.add_thing_to_thing_group(thingGroupName="shop", thingName=thing)
    return arn


def _pins(version: str = "1.0.0") -> Any:
    return {"tidegate.Model.coco": {"componentVersion": version}}


def _recipe(release: int = 1) -> bytes:
    return json.dumps(model_recipe("coco", release, artifact_uri=ARTIFACT)).encode()


def _next(jobs: IoTJobsDataPlaneClient, thing: str) -> Any:
    return jobs.start_next_pending_job_execution(thingName=thing).get("execution")


def _finish(jobs: IoTJobsDataPlaneClient, thing: str, status: Any = "SUCCEEDED") -> Any:
    """Take the thing's next job and report on it; the job's document."""
    execution = _next(jobs, thing)
    jobs.update_job_execution(jobId=execution["jobId"], thingName=thing, status=status)
    return json.loads(execution["jobDocument"])


def _status(greengrass: GreengrassV2Client, deployment: str) -> str:
    return greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"]


# -- the API itself


def test_what_is_not_simulated_answers_501_and_names_itself(aws: Aws) -> None:
    """Every operation of both services that we do not have, asked over plain HTTP."""
    answered = {}
    for route in routes("greengrassv2", "iot-jobs-data"):
        path = "/" + "/".join("x" if segment.startswith("{") else segment for segment in route.segments)
        status, _, body = _http(aws, route.method, path, b"{}")
        answered[route.operation.name] = status
        if status == 501:
            assert body["message"] == f"operation {route.operation.name} is not simulated"

    assert {name for name, status in answered.items() if status != 501} == SUPPORTED


def test_the_page_about_it_names_all_that_is_simulated(aws: Aws) -> None:
    page = (Path(tidegate.__file__).parent / "docs" / "simulated-aws.md").read_text()
    ours = {*SUPPORTED, *aws.control_plane.iot.operations}
    refused = {name for name in ours if f"{name}," not in page and f"{name} |" not in page}

    assert refused == {
        "AssociateTargetsWithJob", "CancelJob", "CancelJobExecution", "CreateJob", "DeleteJob", "DeleteJobExecution",
        "GetJobDocument", "ListJobExecutionsForThing", "ListJobs", "UpdateJob",
    }  # fmt: skip


def test_a_client_sees_the_501_as_an_error_with_the_operations_name(greengrass: GreengrassV2Client) -> None:
    with pytest.raises(ClientError, match=r"NotImplementedException.*GetConnectivityInfo is not") as caught:
        greengrass.get_connectivity_info(thingName="one")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_parameter_that_is_not_simulated_is_not_ignored(greengrass: GreengrassV2Client, shop: str) -> None:
    with pytest.raises(ClientError, match="parentTargetArn is not simulated"):
        greengrass.create_deployment(targetArn=shop, parentTargetArn=shop)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error", "said"),
    [
        ("POST", "/greengrass/v2/deployments", b"not json", 400, "SerializationException", "the body is not JSON"),
        ("POST", "/greengrass/v2/deployments", b"[]", 400, "SerializationException", "a JSON list, not an object"),
        ("POST", "/greengrass/v2/deployments", b"{}", 400, "ValidationException", "targetArn"),
        ("POST", "/greengrass/v2/deployments", b'{"targetArn": 3}', 400, "ValidationException", "targetArn"),
        ("POST", "/greengrass/v2/deployments", b'{"targetArn": "shop"}', 400, "ValidationException", "must match arn:"),
        (
            "POST",
            "/greengrass/v2/createComponentVersion",
            b'{"inlineRecipe": "%%%"}',
            400,
            "SerializationException",
            "inlineRecipe is not base64",
        ),
        ("GET", "/greengrass/v2/components?maxResults=many", b"", 400, "ValidationException", "'many' is no integer"),
        ("GET", "/greengrass/v2/components?maxResults=0", b"", 400, "ValidationException", "maxResults"),
        ("GET", "/greengrass/v2/components?maxResults=101", b"", 400, "ValidationException", "at most 100, got 101"),
        ("GET", "/greengrass/v2/components?scope=SECRET", b"", 400, "ValidationException", "must be one of PRIVATE"),
        ("GET", "/greengrass/v2/components?nextToken=x", b"", 400, "ValidationException", "nextToken 'x'"),
        # the jobs service calls the same thing otherwise
        ("POST", "/things/one/jobs/1", b'{"status": "DONE"}', 400, "InvalidRequestException", "must be one of QUEUED"),
        ("GET", "/nothing/here", b"", 404, "UnknownOperationException", "no operation answers GET /nothing/here"),
        ("PUT", "/greengrass/v2/deployments", b"{}", 404, "UnknownOperationException", "no operation answers PUT"),
    ],
)
def test_a_request_that_breaks_the_services_model_is_refused_as_the_service_does(
    aws: Aws, method: str, path: str, body: bytes, status: int, error: str, said: str
) -> None:
    answer = _http(aws, method, path, body)

    assert answer[:2] == (status, error)
    assert said in answer[2]["message"]


def _http(aws: Aws, method: str, path: str, body: bytes) -> tuple[int, str | None, Any]:
    place = urlsplit(aws.control_plane.endpoint)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=10)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        content = response.read()
        return response.status, response.getheader("x-amzn-ErrorType"), json.loads(content) if content else None
    finally:
        connection.close()


# -- components


def test_a_component_comes_back_as_it_was_registered_with_its_artifacts_digest(greengrass: GreengrassV2Client) -> None:
    arn = greengrass.create_component_version(inlineRecipe=_recipe(), tags={"who": "we"})["arn"]

    described = greengrass.describe_component(arn=arn)
    recipe = json.loads(greengrass.get_component(arn=arn)["recipe"])
    (artifact,) = recipe["Manifests"][0]["Artifacts"]

    assert described["status"]["componentState"] == "DEPLOYABLE"
    assert described["tags"] == {"who": "we"}
    # base64 of the SHA-256 of b"123", as nuclei compare it
    assert (artifact.pop("Digest"), artifact.pop("Algorithm")) == (
        "pmWkWSBCL51Bfkhn79xPuKBKHz//H6B+mY6G9/eieuM=",
        "SHA-256",
    )
    assert recipe == json.loads(_recipe())


def test_a_component_whose_artifact_is_missing_is_failed(greengrass: GreengrassV2Client) -> None:
    recipe = model_recipe("coco", 1, artifact_uri="s3://artifacts/elsewhere.zip")

    arn = greengrass.create_component_version(inlineRecipe=json.dumps(recipe).encode())["arn"]

    status = greengrass.describe_component(arn=arn)["status"]
    assert status["componentState"] == "FAILED"
    assert "cannot be accessed" in status["errors"]["s3://artifacts/elsewhere.zip"]


def test_a_version_is_registered_once(greengrass: GreengrassV2Client) -> None:
    greengrass.create_component_version(inlineRecipe=_recipe(), clientToken="first")

    with pytest.raises(greengrass.exceptions.ConflictException, match=r"has a version 1\.0\.0 already") as caught:
        greengrass.create_component_version(inlineRecipe=_recipe(), clientToken="second")
    members: Any = caught.value.response
    assert (members["resourceType"], members["resourceId"]) == ("component", "tidegate.Model.coco:1.0.0")
    # a client that repeats a call whose answer was lost
    greengrass.create_component_version(inlineRecipe=_recipe(), clientToken="first")


@pytest.mark.parametrize(
    "recipe", [b"", b"ComponentName: yaml", b"{}", b"[]", b'{"RecipeFormatVersion": "2020-01-25"}']
)
def test_a_recipe_that_is_none_is_a_validation_exception(greengrass: GreengrassV2Client, recipe: bytes) -> None:
    with pytest.raises(greengrass.exceptions.ValidationException):
        greengrass.create_component_version(inlineRecipe=recipe)
    assert greengrass.list_components()["components"] == []


def test_what_is_not_registered_is_not_found(greengrass: GreengrassV2Client) -> None:
    arn = f"arn:aws:greengrass:{REGION}:123456789012:components:a.b:versions:1.0.0"

    for call in (greengrass.describe_component, greengrass.get_component, greengrass.delete_component):
        with pytest.raises(greengrass.exceptions.ResourceNotFoundException) as caught:
            call(arn=arn)
        members: Any = caught.value.response
        assert members["resourceId"] == "a.b:1.0.0"


def test_lists_are_whole_by_themselves_and_come_in_pages_when_asked(greengrass: GreengrassV2Client) -> None:
    for release in range(1, 6):
        greengrass.create_component_version(inlineRecipe=_recipe(release))
    (component,) = greengrass.list_components()["components"]

    whole = greengrass.list_component_versions(arn=component["arn"])
    paginator = greengrass.get_paginator("list_component_versions")
    pages = list(paginator.paginate(arn=component["arn"], PaginationConfig={"PageSize": 2}))

    assert component["latestVersion"]["componentVersion"] == "5.0.0"
    assert "nextToken" not in whole
    assert [len(page["componentVersions"]) for page in pages] == [2, 2, 1]
    assert [item for page in pages for item in page["componentVersions"]] == whole["componentVersions"]
    assert greengrass.list_components(scope="PUBLIC")["components"] == []


def test_candidates_resolve_to_the_newest_version_that_all_requirements_allow(greengrass: GreengrassV2Client) -> None:
    for release in (1, 2, 10):
        greengrass.create_component_version(inlineRecipe=_recipe(release))

    def resolve(**requirements: str) -> str:
        (found,) = greengrass.resolve_component_candidates(
            platform={"attributes": {"os": "linux"}},
            componentCandidates=[{"componentName": "tidegate.Model.coco", "versionRequirements": requirements}],
        )["resolvedComponentVersions"]
        assert json.loads(found["recipe"])["ComponentVersion"] == found["componentVersion"]
        return found["componentVersion"]

    assert resolve() == "10.0.0"
    assert resolve(shop="=2.0.0") == "2.0.0"
    assert resolve(shop=">=1.0.0", other="<10.0.0") == "2.0.0"
    with pytest.raises(greengrass.exceptions.ResourceNotFoundException, match="no version that satisfies"):
        resolve(shop="=3.0.0")


# -- deployments and the devices they are for


def test_each_thing_of_a_group_gets_the_document_that_greengrass_sends(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    components: Any = {
        "tidegate.Gateway": {
            "componentVersion": "0.1.0",
            "configurationUpdate": {"merge": '{"gateway": {"window_s": 5}}', "reset": ["/python"]},
            "runWith": {"posixUser": "camera"},
        }
    }
    created = greengrass.create_deployment(targetArn=shop, components=components)

    documents = [_finish(jobs, thing) for thing in ("one", "two")]

    assert documents[0] == documents[1]
    document = documents[0]
    assert document["deploymentId"] == created["deploymentId"]
    assert document["configurationArn"] == f"arn:aws:greengrass:{REGION}:123456789012:configuration:thinggroup/shop:1"
    assert document["components"] == {
        "tidegate.Gateway": {
            "version": "0.1.0",
            "runWith": {"posixUser": "camera"},
            "configurationUpdate": {"merge": {"gateway": {"window_s": 5}}, "reset": ["/python"]},
        }
    }
    assert document["failureHandlingPolicy"] == "ROLLBACK"
    assert document["componentUpdatePolicy"] == {"timeout": 60, "action": "NOTIFY_COMPONENTS"}


def test_a_deployment_is_active_until_all_have_it_and_failed_when_one_has_not(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    first = greengrass.create_deployment(targetArn=shop, components=_pins())["deploymentId"]
    assert _status(greengrass, first) == "ACTIVE"
    _finish(jobs, "one")
    assert _status(greengrass, first) == "ACTIVE"
    _finish(jobs, "two")
    assert _status(greengrass, first) == "COMPLETED"

    second = greengrass.create_deployment(targetArn=shop, components=_pins("2.0.0"))["deploymentId"]
    _finish(jobs, "one")
    _finish(jobs, "two", "FAILED")
    assert _status(greengrass, second) == "FAILED"
    assert _status(greengrass, first) == "INACTIVE"


def test_a_newcomer_gets_the_groups_latest_deployment(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, iot: IoTClient, shop: str
) -> None:
    greengrass.create_deployment(targetArn=shop, components=_pins())
    latest = greengrass.create_deployment(targetArn=shop, components=_pins("2.0.0"))["deploymentId"]
    for thing in ("one", "two"):
        _finish(jobs, thing)
    assert _status(greengrass, latest) == "COMPLETED"

    iot.create_thing(thingName="three")
    iot.add_thing_to_thing_group(thingGroupName="shop", thingName="three")

    assert _status(greengrass, latest) == "ACTIVE"
    assert _finish(jobs, "three")["deploymentId"] == latest
    assert _next(jobs, "three") is None
    assert _status(greengrass, latest) == "COMPLETED"


def test_who_leaves_a_group_loses_its_job_and_gets_it_again_on_return(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, iot: IoTClient, shop: str
) -> None:
    deployment = greengrass.create_deployment(targetArn=shop, components=_pins())["deploymentId"]
    job = _next(jobs, "one")["jobId"]

    iot.remove_thing_from_thing_group(thingGroupName="shop", thingName="one")
    assert _next(jobs, "one") is None
    assert jobs.describe_job_execution(jobId=job, thingName="one")["execution"]["status"] == "REMOVED"
    _finish(jobs, "two")
    assert _status(greengrass, deployment) == "COMPLETED"

    iot.add_thing_to_thing_group(thingGroupName="shop", thingName="one")
    assert _finish(jobs, "one")["deploymentId"] == deployment


def test_a_newer_deployment_takes_the_older_ones_place(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    older = greengrass.create_deployment(targetArn=shop, components=_pins())
    started = _next(jobs, "one")
    newer = greengrass.create_deployment(targetArn=shop, components=_pins("2.0.0"))

    with pytest.raises(jobs.exceptions.InvalidStateTransitionException, match="CANCELED, which is final"):
        jobs.update_job_execution(jobId=started["jobId"], thingName="one", status="SUCCEEDED")
    assert _next(jobs, "one")["jobId"] == newer["iotJobId"]
    assert _next(jobs, "two")["jobId"] == newer["iotJobId"]
    assert _status(greengrass, older["deploymentId"]) == "INACTIVE"


def test_deployments_to_different_groups_are_separate_jobs(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, iot: IoTClient, shop: str
) -> None:
    ring = iot.create_thing_group(thingGroupName="shop-coco-ring-0")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName="shop-coco-ring-0", thingName="one")
    fleet_wide: Any = {"tidegate.Gateway": {"componentVersion": "0.1.0"}}
    first = greengrass.create_deployment(targetArn=shop, components=fleet_wide)
    second = greengrass.create_deployment(targetArn=ring, components=_pins())

    pending = jobs.get_pending_job_executions(thingName="one")["queuedJobs"]
    assert [job["jobId"] for job in pending] == [first["iotJobId"], second["iotJobId"]]
    assert set(_finish(jobs, "one")["components"]) == {"tidegate.Gateway"}
    assert set(_finish(jobs, "one")["components"]) == {"tidegate.Model.coco"}
    assert set(_finish(jobs, "two")["components"]) == {"tidegate.Gateway"}
    assert _next(jobs, "two") is None

    effective = greengrass.list_effective_deployments(coreDeviceThingName="one")["effectiveDeployments"]
    assert [item["targetArn"] for item in effective] == [shop, ring]
    assert {item["coreDeviceExecutionStatus"] for item in effective} == {"SUCCEEDED"}


def test_a_canceled_deployment_goes_to_nobody_any_more(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, iot: IoTClient, shop: str
) -> None:
    deployment = greengrass.create_deployment(targetArn=shop, components=_pins())["deploymentId"]
    _finish(jobs, "one")

    greengrass.cancel_deployment(deploymentId=deployment)

    assert _next(jobs, "two") is None
    iot.create_thing(thingName="three")
    iot.add_thing_to_thing_group(thingGroupName="shop", thingName="three")
    assert _next(jobs, "three") is None
    assert _status(greengrass, deployment) == "CANCELED"
    (effective,) = greengrass.list_effective_deployments(coreDeviceThingName="one")["effectiveDeployments"]
    assert effective["coreDeviceExecutionStatus"] == "SUCCEEDED"


def test_a_single_thing_can_be_deployed_to(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, iot: IoTClient, shop: str
) -> None:
    arn = iot.describe_thing(thingName="one")["thingArn"]
    deployment = greengrass.create_deployment(targetArn=arn, components=_pins())["deploymentId"]

    assert _next(jobs, "two") is None
    assert _finish(jobs, "one")["configurationArn"].endswith(":configuration:thing/one:1")
    assert _status(greengrass, deployment) == "COMPLETED"


def test_a_call_repeated_with_its_token_makes_one_deployment(greengrass: GreengrassV2Client, shop: str) -> None:
    ids = {
        greengrass.create_deployment(targetArn=shop, components=_pins(), clientToken="once")["deploymentId"]
        for _ in range(2)
    }

    assert len(ids) == 1
    assert len(greengrass.list_deployments(historyFilter="ALL")["deployments"]) == 1


def test_deployments_are_listed_newest_first_and_by_default_the_latest_of_each_target(
    greengrass: GreengrassV2Client, iot: IoTClient, shop: str
) -> None:
    other = iot.create_thing_group(thingGroupName="other")["thingGroupArn"]
    made = [
        greengrass.create_deployment(targetArn=target, components=_pins())["deploymentId"]
        for target in (shop, other, shop)
    ]

    def listed(**filters: Any) -> list[str]:
        return [item["deploymentId"] for item in greengrass.list_deployments(**filters)["deployments"]]

    assert listed() == [made[2], made[1]]
    assert listed(historyFilter="ALL") == [made[2], made[1], made[0]]
    assert listed(targetArn=shop, historyFilter="ALL") == [made[2], made[0]]


@pytest.mark.parametrize("merge", ["{", "[]", "3"])
def test_a_merge_that_is_no_object_is_refused(greengrass: GreengrassV2Client, shop: str, merge: str) -> None:
    components: Any = {"a": {"componentVersion": "1.0.0", "configurationUpdate": {"merge": merge}}}

    with pytest.raises(greengrass.exceptions.ValidationException, match=r"configurationUpdate\.merge"):
        greengrass.create_deployment(targetArn=shop, components=components)
    assert greengrass.list_deployments()["deployments"] == []


def test_a_target_that_is_not_there_is_not_found(greengrass: GreengrassV2Client, shop: str) -> None:
    with pytest.raises(greengrass.exceptions.ResourceNotFoundException, match="thinggroup shopping is not there"):
        greengrass.create_deployment(targetArn=f"{shop}ping", components=_pins())


def test_a_device_that_was_cut_off_finds_its_job_still_in_progress(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    greengrass.create_deployment(targetArn=shop, components=_pins())

    started, again = _next(jobs, "one"), _next(jobs, "one")

    assert again == started
    assert started["status"] == "IN_PROGRESS"
    (listed,) = jobs.get_pending_job_executions(thingName="one")["inProgressJobs"]
    assert listed["jobId"] == started["jobId"]
    assert jobs.describe_job_execution(jobId="$next", thingName="one")["execution"] == started


def test_a_report_with_a_stale_version_is_refused(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    greengrass.create_deployment(targetArn=shop, components=_pins())
    execution = _next(jobs, "one")

    with pytest.raises(jobs.exceptions.InvalidStateTransitionException, match="version mismatch"):
        jobs.update_job_execution(
            jobId=execution["jobId"],
            thingName="one",
            status="SUCCEEDED",
            expectedVersion=execution["versionNumber"] + 1,
        )
    state = jobs.update_job_execution(
        jobId=execution["jobId"],
        thingName="one",
        status="SUCCEEDED",
        expectedVersion=execution["versionNumber"],
        includeJobExecutionState=True,
    )["executionState"]
    assert state["status"] == "SUCCEEDED"


def test_what_a_device_may_not_report_is_refused(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    greengrass.create_deployment(targetArn=shop, components=_pins())
    job = _next(jobs, "one")["jobId"]

    with pytest.raises(jobs.exceptions.InvalidRequestException, match="a device may report"):
        jobs.update_job_execution(jobId=job, thingName="one", status="CANCELED")
    with pytest.raises(jobs.exceptions.InvalidRequestException, match="must match"):
        jobs.update_job_execution(jobId=job, thingName="one", status="FAILED", statusDetails={"why": "two\nlines"})


def test_a_thing_that_is_not_there_has_no_jobs(jobs: IoTJobsDataPlaneClient) -> None:
    with pytest.raises(jobs.exceptions.ResourceNotFoundException, match="thing nobody is not there"):
        jobs.start_next_pending_job_execution(thingName="nobody")


def test_core_devices_are_those_that_were_heard_of_and_unhealthy_after_a_failure(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    with pytest.raises(greengrass.exceptions.ResourceNotFoundException, match="core device one"):
        greengrass.get_core_device(coreDeviceThingName="one")
    greengrass.create_deployment(targetArn=shop, components=_pins())
    _finish(jobs, "one", "FAILED")
    _finish(jobs, "two")

    assert greengrass.get_core_device(coreDeviceThingName="one")["status"] == "UNHEALTHY"
    healthy = greengrass.list_core_devices(thingGroupArn=shop, status="HEALTHY")["coreDevices"]
    assert [device["coreDeviceThingName"] for device in healthy] == ["two"]


def test_what_a_nucleus_tells_of_itself_is_what_the_cloud_says_of_it(
    aws: Aws, greengrass: GreengrassV2Client, iot: IoTClient
) -> None:
    gateway = {"componentName": "tidegate.Gateway", "version": "0.1.0", "status": "BROKEN", "statusDetails": "exit 1"}
    needed = {"componentName": "tidegate.Runtime", "version": "1.0.0", "status": "FINISHED", "isRoot": False}
    report = {
        "ggcVersion": "2.6.0", "platform": "linux", "architecture": "aarch64",
        "overallDeviceStatus": "UNHEALTHY", "components": [gateway, needed],
    }  # fmt: skip
    assert _http(aws, "PUT", "/simulator/fleet-status/one", json.dumps(report).encode())[0] == 200

    told = greengrass.get_core_device(coreDeviceThingName="one")
    roots = greengrass.list_installed_components(coreDeviceThingName="one")["installedComponents"]
    everything = greengrass.list_installed_components(coreDeviceThingName="one", topologyFilter="ALL")
    assert (told["coreVersion"], told["architecture"], told["status"]) == ("2.6.0", "aarch64", "UNHEALTHY")
    assert [(found["lifecycleState"], found["lifecycleStateDetails"]) for found in roots] == [("BROKEN", "exit 1")]
    assert len(everything["installedComponents"]) == 2

    greengrass.delete_core_device(coreDeviceThingName="one")
    assert greengrass.list_core_devices()["coreDevices"] == []


@pytest.mark.parametrize("body", [b"not json", b"[]", b"{}", b'{"components": [{}], "overallDeviceStatus": "HEALTHY"}'])
def test_a_fleet_status_that_is_none_is_refused(aws: Aws, greengrass: GreengrassV2Client, body: bytes) -> None:
    assert _http(aws, "PUT", "/simulator/fleet-status/one", body)[0] == 400
    assert greengrass.list_core_devices()["coreDevices"] == []


def test_a_device_says_why_it_failed_and_the_cloud_repeats_it(
    greengrass: GreengrassV2Client, jobs: IoTJobsDataPlaneClient, shop: str
) -> None:
    greengrass.create_deployment(targetArn=shop, components=_pins())
    job = _next(jobs, "one")
    details = {
        "deployment-failure-cause": "no such artifact", "deployment-error-stack": '["A", "B"]',
        "deployment-error-types": "plain",
    }  # fmt: skip
    jobs.update_job_execution(jobId=job["jobId"], thingName="one", status="FAILED", statusDetails=details)

    (found,) = greengrass.list_effective_deployments(coreDeviceThingName="one")["effectiveDeployments"]
    assert found["reason"] == "no such artifact"
    assert found["statusDetails"] == {"errorStack": ["A", "B"], "errorTypes": ["plain"]}


# -- faults


def test_an_operation_fails_as_often_as_it_was_asked_to_and_the_others_do_not(
    aws: Aws, greengrass: GreengrassV2Client
) -> None:
    aws.control_plane.faults.inject(Fault("List*Components", "deny", times=1), Fault("ListComponents", "fail", times=1))

    with pytest.raises(ClientError, match="not authorized to perform: greengrass:ListComponents on resource: arn"):
        greengrass.list_components()
    assert greengrass.list_components()["components"] == []  # botocore tries again after a 500

    assert greengrass.list_core_devices()["coreDevices"] == []
    assert aws.control_plane.faults.struck == {"ListComponents": 2}


def test_a_throttled_client_is_told_so(aws: Aws, greengrass: GreengrassV2Client) -> None:
    aws.control_plane.faults.inject(Fault("ListComponents", "throttle"))

    client = _client_without_retries(aws)
    with pytest.raises(client.exceptions.ThrottlingException) as caught:
        client.list_components()
    client.close()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_what_is_done_but_not_answered_is_done_once(aws: Aws, greengrass: GreengrassV2Client, shop: str) -> None:
    aws.control_plane.faults.inject(Fault("CreateDeployment", "lose", times=1))

    deployment = greengrass.create_deployment(targetArn=shop, components=_pins())["deploymentId"]

    (found,) = greengrass.list_deployments(historyFilter="ALL")["deployments"]
    assert found["deploymentId"] == deployment
    assert aws.control_plane.faults.struck == {"CreateDeployment": 1}


def test_a_share_of_calls_is_hit_always_the_same_ones_with_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.inject(Fault("X", "throttle", share=0.3))
        return [faults.strike("X") is not None for _ in range(200)]

    assert hits(1) == hits(1) != hits(2)
    assert 30 <= sum(hits(1)) <= 90


def test_a_slow_service_answers_late() -> None:
    slept: list[float] = []
    faults = Faults(sleep=slept.append)
    faults.inject(Fault("X", "delay", delay_s=7))

    assert faults.strike("X") is not None
    assert faults.strike("Y") is None
    assert slept == [7]


def test_a_restart_forgets_nothing(aws: Aws, iot: IoTClient, shop: str, tmp_path: Path) -> None:
    with ControlPlane(aws.endpoint, tmp_path) as plane:
        greengrass, jobs = (_client(aws, name, plane.endpoint) for name in ("greengrassv2", "iot-jobs-data"))
        _put_package(aws)
        arn = greengrass.create_component_version(inlineRecipe=_recipe())["arn"]
        deployment = greengrass.create_deployment(targetArn=shop, components=_pins())["deploymentId"]
        started = _next(jobs, "one")
        greengrass.close()
        jobs.close()

    with ControlPlane(aws.endpoint, tmp_path) as plane:
        greengrass, jobs = (_client(aws, name, plane.endpoint) for name in ("greengrassv2", "iot-jobs-data"))
        assert greengrass.describe_component(arn=arn)["status"]["componentState"] == "DEPLOYABLE"
        assert _next(jobs, "one") == started
        _finish(jobs, "one")
        _finish(jobs, "two")
        assert _status(greengrass, deployment) == "COMPLETED"
        greengrass.close()
        jobs.close()


def test_after_close_nobody_answers(aws: Aws, tmp_path: Path) -> None:
    plane = ControlPlane(aws.endpoint, tmp_path)
    place = urlsplit(plane.endpoint)
    plane.close()

    connection = HTTPConnection(place.hostname or "", place.port, timeout=5)
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/greengrass/v2/components")
    connection.close()


def _put_package(aws: Aws) -> None:
    s3 = _client(aws, "s3")
    s3.create_bucket(Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="artifacts", Key="package.zip", Body=b"123")
    s3.close()
