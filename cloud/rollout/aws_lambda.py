"""What AWS Lambda calls each minute (a rule of EventBridge Scheduler): a tick of all roll-outs.

TIDEGATE_STATE and TIDEGATE_LAKE, both s3://BUCKET/PREFIX, say where. Two that overlap do no harm: the second finds the
lease taken.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from cloud.lake.lake import Lake
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.lease import operator
from cloud.rollout.ticking import tick_all
from greengrass.objects import open_store
from models.errors import RolloutError, UsageError


def tick(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Tick all roll-outs; RolloutError, which Lambda counts as an error to alarm on, when one of them is not well."""
    ticked = tick_all(
        open_store(_variable("TIDEGATE_STATE")),
        GreengrassFleet(),
        Lake(_variable("TIDEGATE_LAKE")).health,
        who=operator(),
    )
    document = [one.as_dict() for one in ticked]
    print(json.dumps(document), flush=True)
    ill = [one for one in ticked if not one.well]
    if ill:
        said = ill[0].note or ill[0].events[-1].text
        raise RolloutError(f"{ill[0].place.model} in {ill[0].place.fleet}: {said}")
    return {"rollouts": document}


def _variable(name: str) -> str:
    if not os.environ.get(name):
        raise UsageError(f"the variable {name} is not set: expected s3://BUCKET/PREFIX")
    return os.environ[name]
