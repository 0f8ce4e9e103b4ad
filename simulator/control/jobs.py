"""IoT Jobs as a device sees them: its deployments, one after the other, and its reports on them."""

import json
import time
from collections.abc import Mapping

from simulator.control.account import Account
from simulator.control.answers import Clock, Operation, Params, refuse
from simulator.deployments import Deployment, Execution, job_document


class Jobs:
    """Answers by name of operation."""

    def __init__(self, account: Account, *, clock: Clock = time.time) -> None:
        self._account = account
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "GetPendingJobExecutions": self._get_pending,
            "StartNextPendingJobExecution": self._start_next,
            "DescribeJobExecution": self._describe,
            "UpdateJobExecution": self._update,
        }

    def _get_pending(self, params: Params) -> Params:
        pending = self._pending(params["thingName"])
        return {
            "inProgressJobs": [_job_summary(*pair) for pair in pending if pair[1]["status"] == "IN_PROGRESS"],
            "queuedJobs": [_job_summary(*pair) for pair in pending if pair[1]["status"] == "QUEUED"],
        }

    def _start_next(self, params: Params) -> Params:
        refuse(params, "stepTimeoutInMinutes")
        thing = params["thingName"]
        self._pending(thing)
        with self._account.lock:
            started = self._account.deployments.start_next(thing, params.get("statusDetails"), now=self._clock())
            if started is None:
                return {}
            self._account.save()
            return {"execution": _execution(thing, *started)}

    def _describe(self, params: Params) -> Params:
        thing = params["thingName"]
        self._pending(thing)
        record, execution = self._account.deployments.find(thing, params["jobId"])
        described = _execution(thing, record, execution)
        if not params.get("includeJobDocument", True):
            del described["jobDocument"]
        return {"execution": described}

    def _update(self, params: Params) -> Params:
        refuse(params, "stepTimeoutInMinutes")
        with self._account.lock:
            record, execution = self._account.deployments.update(
                params["thingName"],
                params["jobId"],
                params["status"],
                details=params.get("statusDetails"),
                expected=params.get("expectedVersion"),
                now=self._clock(),
            )
            self._account.save()
        answer: Params = {}
        if params.get("includeJobExecutionState"):
            answer["executionState"] = {
                "status": execution["status"],
                "statusDetails": execution["details"],
                "versionNumber": execution["version"],
            }
        if params.get("includeJobDocument"):
            answer["jobDocument"] = json.dumps(job_document(record))
        return answer

    def _pending(self, thing: str) -> list[tuple[Deployment, Execution]]:
        """What the device has to do now. Asking makes it a core device that the cloud knows."""
        self._account.refresh(thing, now=self._clock())
        with self._account.lock:
            if thing not in self._account.devices:
                self._account.devices[thing] = self._clock()
                self._account.save()
            return self._account.deployments.pending(thing)


def _job_summary(record: Deployment, execution: Execution) -> Params:
    return {
        "jobId": record["job_id"],
        "queuedAt": int(execution["queued_at"]),
        "startedAt": int(execution["started_at"]) if "started_at" in execution else None,
        "lastUpdatedAt": int(execution["updated_at"]),
        "versionNumber": execution["version"],
        "executionNumber": 1,
    }


def _execution(thing: str, record: Deployment, execution: Execution) -> Params:
    return {
        **_job_summary(record, execution),
        "thingName": thing,
        "status": execution["status"],
        "statusDetails": execution["details"],
        "jobDocument": json.dumps(job_document(record)),
    }
