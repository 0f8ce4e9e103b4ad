"""How an IoT job paces a deployment, and when it gives up: the rules, without network."""

from typing import Any

import pytest

from simulator.deployments import Deployment, Deployments

SHOP = "arn:aws:iot:eu-central-1:123456789012:thinggroup/shop"
THINGS = [f"gateway-{number}" for number in range(20)]


def _deployed(**job: Any) -> tuple[Deployments, Deployment]:
    deployments = Deployments([])
    return deployments, deployments.create(SHOP, {"iotJobConfiguration": job}, now=0.0)


def _ask(deployments: Deployments, *, now: float) -> int:
    """Every device asks for work; how many have been told of the deployment by now."""
    for thing in THINGS:
        deployments.refresh(thing, [SHOP], now=now)
    return len(deployments.records[0]["executions"])


def _report(deployments: Deployments, thing: str, status: str, *, now: float) -> None:
    deployments.update(thing, "$next", status, details=None, expected=None, now=now)


def test_no_more_devices_than_asked_for_are_told_in_a_minute() -> None:
    deployments, _ = _deployed(jobExecutionsRolloutConfig={"maximumPerMinute": 3})

    assert [_ask(deployments, now=now) for now in (0, 30, 61, 90, 122)] == [3, 3, 6, 6, 9]


def test_a_pace_grows_with_those_who_have_been_told() -> None:
    growth = {"baseRatePerMinute": 2, "incrementFactor": 2.0, "rateIncreaseCriteria": {"numberOfNotifiedThings": 4}}
    deployments, _ = _deployed(jobExecutionsRolloutConfig={"exponentialRate": growth, "maximumPerMinute": 5})

    assert [_ask(deployments, now=now) for now in (0, 61, 122, 183)] == [2, 6, 11, 16]


def test_a_pace_grows_with_those_who_succeeded() -> None:
    growth = {"baseRatePerMinute": 1, "incrementFactor": 3.0, "rateIncreaseCriteria": {"numberOfSucceededThings": 1}}
    deployments, _ = _deployed(jobExecutionsRolloutConfig={"exponentialRate": growth})

    assert [_ask(deployments, now=now) for now in (0, 61)] == [1, 2]
    _report(deployments, THINGS[0], "SUCCEEDED", now=62)
    assert _ask(deployments, now=123) == 5


@pytest.mark.parametrize(
    ("failure_type", "reports", "canceled"),
    [
        ("ALL", ["FAILED"], False),  # too few to say
        ("ALL", ["SUCCEEDED", "SUCCEEDED", "FAILED"], False),
        ("ALL", ["SUCCEEDED", "FAILED"], True),
        ("ALL", ["SUCCEEDED", "REJECTED"], True),
        ("FAILED", ["SUCCEEDED", "REJECTED"], False),
        ("REJECTED", ["SUCCEEDED", "REJECTED"], True),
    ],
)
def test_a_deployment_that_fails_too_often_is_canceled_where_it_has_not_begun(
    failure_type: str, reports: list[str], canceled: bool
) -> None:
    criterion = {
        "failureType": failure_type, "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2,
    }  # fmt: skip
    deployments, record = _deployed(abortConfig={"criteriaList": [criterion]})
    _ask(deployments, now=0)

    for thing, status in zip(THINGS, reports, strict=False):
        _report(deployments, thing, status, now=1)

    waiting = {record["executions"][thing]["status"] for thing in THINGS[len(reports) :]}
    assert deployments.status(record, THINGS) == ("CANCELED" if canceled else "ACTIVE")
    assert waiting == ({"CANCELED"} if canceled else {"QUEUED"})


def test_a_device_that_takes_too_long_is_given_up_and_counts_as_failed() -> None:
    criterion = {
        "failureType": "TIMED_OUT", "action": "CANCEL", "thresholdPercentage": 100.0, "minNumberOfExecutedThings": 1,
    }  # fmt: skip
    deployments, record = _deployed(
        timeoutConfig={"inProgressTimeoutInMinutes": 5}, abortConfig={"criteriaList": [criterion]}
    )
    _ask(deployments, now=0)
    deployments.start_next(THINGS[0], None, now=10)

    _ask(deployments, now=300)
    assert record["executions"][THINGS[0]]["status"] == "IN_PROGRESS"
    _ask(deployments, now=311)
    assert record["executions"][THINGS[0]]["status"] == "TIMED_OUT"
    assert deployments.status(record, THINGS) == "CANCELED"
