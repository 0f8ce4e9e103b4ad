"""Deployments and the jobs that carry them to devices: the rules of Greengrass and IoT Jobs, without network or disk.

- A deployment is the whole component set of its target, a thing or a thing group; each device of the target gets one
  job execution. A newer deployment to the same target takes the older one's place: what had not finished is canceled.
- A device that joins a group gets the group's latest deployment; one that leaves and comes back gets it again.
- The record is plain JSON data, so that a restart goes on where it was.
"""

import json
import uuid
from collections.abc import Collection, Iterator
from typing import Any, NotRequired, TypedDict

from simulator.restjson import INVALID, ApiError

FINAL = ("SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "REMOVED", "CANCELED")
FAILURES = ("FAILED", "REJECTED", "TIMED_OUT")
REPORTABLE = ("IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED")


class Execution(TypedDict):
    """One device's part of a deployment. Times are seconds since the epoch."""

    status: str
    details: dict[str, str]
    queued_at: float
    started_at: NotRequired[float]
    updated_at: float
    version: int


class Deployment(TypedDict):
    """What was asked for, and by device how far it got."""

    id: str
    job_id: str
    name: str
    target: str
    revision: int
    created_at: float
    components: dict[str, Any]
    policies: dict[str, Any]
    job: NotRequired[dict[str, Any]]
    tags: dict[str, str]
    token: str
    canceled: bool
    executions: dict[str, Execution]


class Deployments:
    """All deployments of an account, oldest first, in `records`."""

    def __init__(self, records: list[Deployment]) -> None:
        self.records = records

    def create(self, target: str, request: dict[str, Any], *, now: float) -> Deployment:
        """Make the target's newest deployment, or give back the one made earlier with the same clientToken."""
        token = request.get("clientToken", "")
        for record in self.records:
            if token and record["token"] == token:
                return record
        for name, component in request.get("components", {}).items():
            _check_merge(name, component)
        earlier = [record for record in self.records if record["target"] == target]
        for record in earlier:
            _cancel_unfinished(record, now)
        created = Deployment(
            id=str(uuid.uuid4()),
            job_id=str(uuid.uuid4()),
            name=request.get("deploymentName", f"Deployment for {target.rpartition('/')[2]}"),
            target=target,
            revision=len(earlier) + 1,
            created_at=now,
            components=request.get("components", {}),
            policies=_policies(request.get("deploymentPolicies", {})),
            job=request.get("iotJobConfiguration", {}),
            tags=request.get("tags", {}),
            token=token,
            canceled=False,
            executions={},
        )
        self.records.append(created)
        return created

    def get(self, deployment_id: str) -> Deployment:
        for record in self.records:
            if record["id"] == deployment_id:
                return record
        raise _not_found("deployment", deployment_id)

    def cancel(self, deployment_id: str, *, now: float) -> None:
        """Take the deployment back from devices that have not finished it; it undoes nothing."""
        record = self.get(deployment_id)
        record["canceled"] = True
        _cancel_unfinished(record, now)

    def is_latest(self, record: Deployment) -> bool:
        return record is self._latest(record["target"])

    def refresh(self, thing: str, targets: Collection[str], *, now: float) -> bool:
        """Bring the device's executions in line with the targets it belongs to now; whether anything changed."""
        changed = self.expire(now=now)
        for record in filter(self.is_latest, self.records):
            execution = record["executions"].get(thing)
            status = None if execution is None else execution["status"]
            belongs = record["target"] in targets
            if execution is not None and not belongs and status != "REMOVED":
                _move(execution, "REMOVED", now)
                changed = True
            elif belongs and status in (None, "REMOVED") and not record["canceled"] and _has_room(record, now):
                queued = Execution(status="QUEUED", details={}, queued_at=now, updated_at=now, version=1)
                record["executions"][thing] = queued
                changed = True
        return changed

    def expire(self, *, now: float) -> bool:
        """Give up devices that take longer than their job allows; whether there was one."""
        late = [_time_out(record, now) for record in filter(self.is_latest, self.records)]
        return any(late)

    def pending(self, thing: str) -> list[tuple[Deployment, Execution]]:
        """The device's unfinished executions: those in progress first, then the oldest."""
        unfinished = [pair for pair in self.of(thing) if pair[1]["status"] not in FINAL]
        return sorted(unfinished, key=lambda pair: (pair[1]["status"] != "IN_PROGRESS", pair[1]["queued_at"]))

    def of(self, thing: str) -> Iterator[tuple[Deployment, Execution]]:
        """Every execution the device ever had, oldest deployment first."""
        for record in self.records:
            if thing in record["executions"]:
                yield record, record["executions"][thing]

    def effective(self, thing: str) -> list[tuple[Deployment, Execution]]:
        """The device's executions of its targets' latest deployments."""
        return [
            (record, execution)
            for record, execution in self.of(thing)
            if self.is_latest(record) and execution["status"] != "REMOVED"
        ]

    def start_next(
        self, thing: str, details: dict[str, str] | None, *, now: float
    ) -> tuple[Deployment, Execution] | None:
        """The execution that the device is to work on, in progress from now on; None when there is nothing to do."""
        pending = self.pending(thing)
        if not pending:
            return None
        record, execution = pending[0]
        if execution["status"] == "QUEUED" or details is not None:
            execution.setdefault("started_at", now)
            _move(execution, "IN_PROGRESS", now, details)
        return record, execution

    def find(self, thing: str, job_id: str) -> tuple[Deployment, Execution]:
        """The device's execution of a job, or of `$next`."""
        if job_id == "$next":
            if pending := self.pending(thing):
                return pending[0]
        else:
            for record, execution in self.of(thing):
                if record["job_id"] == job_id:
                    return record, execution
        raise _not_found("job execution", f"{thing}/{job_id}")

    def update(
        self, thing: str, job_id: str, status: str, *, details: dict[str, str] | None, expected: int | None, now: float
    ) -> tuple[Deployment, Execution]:
        """Note what a device reports; ApiError when its execution is over, or not at the version it expects."""
        record, execution = self.find(thing, job_id)
        if status not in REPORTABLE:
            raise ApiError(INVALID, f"a device may report {', '.join(REPORTABLE)}, got {status}")
        if execution["status"] in FINAL:
            raise _bad_transition(f"job execution is {execution['status']}, which is final; got {status}")
        if expected is not None and expected != execution["version"]:
            raise _bad_transition(f"version mismatch: expected {expected}, job execution is at {execution['version']}")
        if status == "IN_PROGRESS":
            execution.setdefault("started_at", now)
        _move(execution, status, now, details)
        _abort_where_asked(record, now)
        return record, execution

    def status(self, record: Deployment, members: Collection[str]) -> str:
        """ACTIVE until each device of the target has finished; then COMPLETED, or FAILED where one did not succeed.

        A group that gains a device is ACTIVE again.
        """
        if record["canceled"]:
            return "CANCELED"
        if not self.is_latest(record):
            return "INACTIVE"
        statuses = [record["executions"][thing]["status"] for thing in members if thing in record["executions"]]
        if not statuses or len(statuses) < len(members) or any(status not in FINAL for status in statuses):
            return "ACTIVE"
        return "COMPLETED" if all(status == "SUCCEEDED" for status in statuses) else "FAILED"

    def _latest(self, target: str) -> Deployment | None:
        return next((record for record in reversed(self.records) if record["target"] == target), None)


def job_document(record: Deployment) -> dict[str, Any]:
    """What the device gets: the same document that Greengrass' cloud sends through IoT Jobs."""
    # arn:aws:iot:REGION:ACCOUNT:thinggroup/NAME
    _, partition, _, region, account, target = record["target"].split(":", 5)
    configuration = f"arn:{partition}:greengrass:{region}:{account}:configuration:{target}:{record['revision']}"
    policies = record["policies"]
    return {
        "deploymentId": record["id"],
        "deploymentName": record["name"],
        "configurationArn": configuration,
        "creationTimestamp": int(record["created_at"] * 1000),
        "requiredCapabilities": [],
        "components": {name: _job_component(component) for name, component in record["components"].items()},
        "failureHandlingPolicy": policies["failureHandlingPolicy"],
        "componentUpdatePolicy": {
            "timeout": policies["componentUpdatePolicy"]["timeoutInSeconds"],
            "action": policies["componentUpdatePolicy"]["action"],
        },
        "configurationValidationPolicy": {"timeout": policies["configurationValidationPolicy"]["timeoutInSeconds"]},
    }


def _job_component(component: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"version": component["componentVersion"]}
    if "runWith" in component:
        found["runWith"] = component["runWith"]
    if "configurationUpdate" in component:
        update = component["configurationUpdate"]
        found["configurationUpdate"] = {
            **({"merge": json.loads(update["merge"])} if "merge" in update else {}),
            **({"reset": update["reset"]} if "reset" in update else {}),
        }
    return found


def _policies(asked: dict[str, Any]) -> dict[str, Any]:
    """The policies with what AWS fills in."""
    return {
        "failureHandlingPolicy": asked.get("failureHandlingPolicy", "ROLLBACK"),
        "componentUpdatePolicy": {
            "timeoutInSeconds": 60,
            "action": "NOTIFY_COMPONENTS",
            **asked.get("componentUpdatePolicy", {}),
        },
        "configurationValidationPolicy": {"timeoutInSeconds": 30, **asked.get("configurationValidationPolicy", {})},
    }


def _check_merge(name: str, component: dict[str, Any]) -> None:
    merge = component.get("configurationUpdate", {}).get("merge", "{}")
    try:
        document = json.loads(merge)
    except ValueError as exc:
        raise ApiError(INVALID, f"components.{name}.configurationUpdate.merge is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise ApiError(INVALID, f"components.{name}.configurationUpdate.merge must be a JSON object, got {merge[:60]}")


def _move(execution: Execution, status: str, now: float, details: dict[str, str] | None = None) -> None:
    execution["status"] = status
    execution["updated_at"] = now
    execution["version"] += 1
    if details is not None:
        execution["details"] = details


def _has_room(record: Deployment, now: float) -> bool:
    """Whether the job's pace lets one more device have it now."""
    pace = record.get("job", {}).get("jobExecutionsRolloutConfig", {})
    if not pace:
        return True
    executions = record["executions"].values()
    rate = float(pace.get("maximumPerMinute", 1000))
    growth = pace.get("exponentialRate")
    if growth is not None:
        criteria = growth["rateIncreaseCriteria"]
        succeeded = sum(execution["status"] == "SUCCEEDED" for execution in executions)
        steps = (
            len(record["executions"]) // criteria["numberOfNotifiedThings"]
            if "numberOfNotifiedThings" in criteria
            else succeeded // criteria.get("numberOfSucceededThings", 1)
        )
        rate = min(rate, growth["baseRatePerMinute"] * growth["incrementFactor"] ** min(steps, 100))
    return sum(execution["queued_at"] > now - 60 for execution in executions) < rate


def _time_out(record: Deployment, now: float) -> bool:
    """Give up devices that have been at it for longer than the job allows; whether there was one."""
    minutes = record.get("job", {}).get("timeoutConfig", {}).get("inProgressTimeoutInMinutes")
    late = [
        execution
        for execution in record["executions"].values()
        if minutes and execution["status"] == "IN_PROGRESS" and now - execution.get("started_at", now) > 60 * minutes
    ]
    for execution in late:
        _move(execution, "TIMED_OUT", now)
    if late:
        _abort_where_asked(record, now)
    return bool(late)


def _abort_where_asked(record: Deployment, now: float) -> None:
    """Cancel the deployment when as many have failed as its abort criteria say."""
    executed = [
        execution["status"]
        for execution in record["executions"].values()
        if execution["status"] in FINAL and execution["status"] not in ("REMOVED", "CANCELED")
    ]
    for criterion in record.get("job", {}).get("abortConfig", {}).get("criteriaList", []):
        kinds = FAILURES if criterion["failureType"] == "ALL" else (criterion["failureType"],)
        failed = sum(status in kinds for status in executed)
        enough = len(executed) >= criterion["minNumberOfExecutedThings"]
        if enough and failed and 100 * failed >= criterion["thresholdPercentage"] * len(executed):
            record["canceled"] = True
            _cancel_unfinished(record, now)


def _cancel_unfinished(record: Deployment, now: float) -> None:
    for execution in record["executions"].values():
        if execution["status"] not in FINAL:
            _move(execution, "CANCELED", now)


def _not_found(kind: str, name: str) -> ApiError:
    return ApiError(
        "ResourceNotFoundException", f"{kind} {name} is not there", status=404, resourceId=name, resourceType=kind
    )


def _bad_transition(message: str) -> ApiError:
    return ApiError("InvalidStateTransitionException", message, status=409)
