"""Greengrass' operations on deployments. Single things, too, get theirs as jobs; AWS sends those through a shadow."""

import logging
import time
from collections.abc import Mapping

from simulator.control.account import Account
from simulator.control.answers import Clock, Operation, Params, page, refuse
from simulator.deployments import Deployment
from simulator.restjson import ApiError

log = logging.getLogger(__name__)


class DeploymentOperations:
    """Answers by name of operation."""

    def __init__(self, account: Account, *, clock: Clock = time.time) -> None:
        self._account = account
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "CreateDeployment": self._create,
            "GetDeployment": self._get,
            "CancelDeployment": self._cancel,
            "ListDeployments": self._list,
        }

    def _create(self, params: Params) -> Params:
        refuse(params, "parentTargetArn")
        target = params["targetArn"]
        members = self._account.members(target)
        with self._account.lock:
            now = self._clock()
            created = self._account.deployments.create(target, params, now=now)
            self._account.save()
        log.info("deployment %s to %s (%d devices)", created["id"], target.rpartition("/")[2], len(members))
        return {
            "deploymentId": created["id"],
            "iotJobId": created["job_id"],
            "iotJobArn": self._account.job_arn(created),
        }

    def _get(self, params: Params) -> Params:
        record = self._account.deployments.get(params["deploymentId"])
        return {
            **self._summary(record),
            "iotJobId": record["job_id"],
            "iotJobArn": self._account.job_arn(record),
            "components": record["components"],
            "deploymentPolicies": record["policies"],
            "iotJobConfiguration": record.get("job") or None,
            "tags": record["tags"] or None,
        }

    def _cancel(self, params: Params) -> Params:
        with self._account.lock:
            self._account.deployments.cancel(params["deploymentId"], now=self._clock())
            self._account.save()
        return {"message": "canceled"}

    def _list(self, params: Params) -> Params:
        refuse(params, "parentTargetArn")
        latest_only = params.get("historyFilter", "LATEST_ONLY") == "LATEST_ONLY"
        found = [
            record
            for record in reversed(self._account.deployments.records)
            if record["target"] == params.get("targetArn", record["target"])
            and (not latest_only or self._account.deployments.is_latest(record))
        ]
        records, token = page(found, params)
        return {"deployments": [self._summary(record) for record in records], "nextToken": token}

    def _summary(self, record: Deployment) -> Params:
        return {
            "targetArn": record["target"],
            "revisionId": str(record["revision"]),
            "deploymentId": record["id"],
            "deploymentName": record["name"],
            "creationTimestamp": record["created_at"],
            "deploymentStatus": self._account.deployments.status(record, self._awaited(record)),
            "isLatestForTarget": self._account.deployments.is_latest(record),
        }

    def _awaited(self, record: Deployment) -> list[str]:
        try:
            return self._account.members(record["target"])
        except ApiError as exc:
            if exc.status != 404:
                raise
            return []  # the group has been deleted since: nobody is left to be waited for
