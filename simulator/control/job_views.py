"""IoT Jobs as an operator sees them: the jobs behind deployments, to be looked at and not to be changed here.

moto has jobs, too, but no device would ever hear of them, and it does not look into thing groups: what would make or
change a job answers 501 instead.
"""

import time
from collections import Counter
from collections.abc import Mapping

from simulator.control.account import Account
from simulator.control.answers import Clock, Operation, Params, not_found, not_simulated, page
from simulator.deployments import Deployment

# for these to act on moto's jobs would be to pretend
_REFUSED = (
    "AssociateTargetsWithJob",
    "CancelJob",
    "CancelJobExecution",
    "CreateJob",
    "DeleteJob",
    "DeleteJobExecution",
    "DescribeJobExecution",
    "GetJobDocument",
    "ListJobExecutionsForThing",
    "ListJobs",
    "UpdateJob",
)
_COUNTED = {
    "CANCELED": "numberOfCanceledThings",
    "SUCCEEDED": "numberOfSucceededThings",
    "FAILED": "numberOfFailedThings",
    "REJECTED": "numberOfRejectedThings",
    "QUEUED": "numberOfQueuedThings",
    "IN_PROGRESS": "numberOfInProgressThings",
    "REMOVED": "numberOfRemovedThings",
    "TIMED_OUT": "numberOfTimedOutThings",
}


class JobViews:
    """Answers by name of operation."""

    def __init__(self, account: Account, *, clock: Clock = time.time) -> None:
        self._account = account
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "DescribeJob": self._describe,
            "ListJobExecutionsForJob": self._list_executions,
            **{name: self._refusal(name) for name in _REFUSED},
        }

    def _describe(self, params: Params) -> Params:
        record = self._job(params["jobId"])
        counts = Counter(execution["status"] for execution in record["executions"].values())
        job = {
            "jobArn": self._account.job_arn(record),
            "jobId": record["job_id"],
            "targetSelection": "CONTINUOUS",  # who joins the group later gets it, too
            "status": "CANCELED" if record["canceled"] else "IN_PROGRESS",
            "targets": [record["target"]],
            "createdAt": record["created_at"],
            "jobProcessDetails": {_COUNTED[status]: count for status, count in counts.items()},
            **record.get("job", {}),
        }
        return {"job": job}

    def _list_executions(self, params: Params) -> Params:
        record = self._job(params["jobId"])
        wanted = params.get("status")
        found = [
            {
                "thingArn": self._account.arn("iot", f"thing/{thing}"),
                "jobExecutionSummary": {
                    "status": execution["status"],
                    "queuedAt": execution["queued_at"],
                    "startedAt": execution.get("started_at"),
                    "lastUpdatedAt": execution["updated_at"],
                    "executionNumber": 1,
                },
            }
            for thing, execution in sorted(record["executions"].items())
            if wanted in (None, execution["status"])
        ]
        summaries, token = page(found, params)
        return {"executionSummaries": summaries, "nextToken": token}

    def _job(self, job_id: str) -> Deployment:
        with self._account.lock:
            if self._account.deployments.expire(now=self._clock()):
                self._account.save()
        for record in self._account.deployments.records:
            if record["job_id"] == job_id:
                return record
        raise not_found("job", job_id)

    def _refusal(self, name: str) -> Operation:
        def refuse(params: Params) -> Params:
            raise not_simulated(f"operation {name}")

        return refuse
