"""Carrying out what the cloud asks of a device: fetch, compare, change, report."""

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from greengrass.recipe import value_count
from models.errors import DeployError, StoreError
from simulator.nucleus import artifacts
from simulator.nucleus.cloud import AwayError, Cloud
from simulator.nucleus.configuration import updated
from simulator.nucleus.deployment import Deployment, Wanted, parse_deployment, resolve, roots
from simulator.nucleus.device import Device, Outcome
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.personality import Personality
from simulator.nucleus.recipe import Recipe
from simulator.nucleus.users import find_user

log = logging.getLogger(__name__)

_NOT_ASKED = Wanted(version="", merge={}, reset=())
_PATIENCE_S = 0.5, 30.0  # before the first next try, and at most


def carry_out(
    document: str,
    thing: str,
    device: Device,
    cloud: Cloud,
    *,
    ask: Callable[[Deployment], None],
    check: Callable[[Deployment, DeviceState], None],
    off: threading.Event,
) -> Outcome:
    """Change the device as a job's document says. What goes wrong before anything was touched changes nothing.

    While the cloud is away it waits, unless `off` is set. `ask` returns once components let the update go on;
    `check` raises DeployError where one refuses the state that would be the device's.
    """
    try:
        deployment = parse_deployment(document)
        log.info("deployment %s of %s", deployment.id, deployment.target)
        found = _patiently(deployment, thing, device, cloud, off)
        ask(deployment)
        after = _after(deployment, device, found)
        _check_sizes(after, device.personality)
        check(deployment, after)
        return device.change_to(after, rollback=deployment.rollback)
    except (DeployError, StoreError, OSError) as exc:  # OSError: a full disk, for one
        return Outcome("FAILED_NO_STATE_CHANGE", str(exc))


def _check_sizes(after: DeviceState, personality: Personality) -> None:
    """DeployError for a configuration that is too large for this nucleus to hand on."""
    for name, item in after.components.items():
        size, values = len(json.dumps(item.configuration, separators=(",", ":"))), value_count(item.configuration)
        if 0 < personality.configuration_bytes < size or 0 < personality.configuration_values < values:
            raise DeployError(
                f"the configuration of {name} has {size} bytes and {values} values; this nucleus hands on at most "
                f"{personality.configuration_bytes} and {personality.configuration_values}"
            )


def remove_old_files(device: Device) -> None:
    """Delete the files of all component versions that are not installed."""
    kept = {(name, item.version) for name, item in device.state.components.items()}
    for component, version in artifacts.stored(device.root):
        if (component, version) not in kept:
            artifacts.remove(device.root, component, version)


def _patiently(deployment: Deployment, thing: str, device: Device, cloud: Cloud, off: threading.Event) -> "_Resolved":
    """`_resolve`, again and again while the cloud is away: what was fetched stays."""
    wait_s, most_s = _PATIENCE_S
    while True:
        try:
            return _resolve(deployment, thing, device, cloud)
        except AwayError as exc:
            log.warning("deployment %s waits: %s", deployment.id, exc)
            # jitter: a whole fleet waits for the same cloud
            if off.wait(wait_s * random.uniform(0.5, 1)):
                raise
            wait_s = min(wait_s * 2, most_s)


@dataclass(frozen=True, slots=True)
class _Resolved:
    """All components that the device is to have, with their files in place."""

    groups: Mapping[str, Mapping[str, str]]
    recipes: Mapping[str, Recipe]
    documents: Mapping[str, Mapping[str, Any]]


def _resolve(deployment: Deployment, thing: str, device: Device, cloud: Cloud) -> _Resolved:
    for wanted in deployment.components.values():
        if wanted.run_as:
            find_user(wanted.run_as)
    versions = {name: wanted.version for name, wanted in deployment.components.items()}
    # both nuclei ask at each deployment, and forget what a group wanted that the device has left
    mine = cloud.groups_of(thing)
    kept = {
        target: wanted
        for target, wanted in device.state.groups.items()
        if mine is None or not target.startswith("thinggroup/") or target.removeprefix("thinggroup/") in mine
    }
    groups = {**kept, deployment.target: versions}
    documents: dict[str, Mapping[str, Any]] = {}

    def find(name: str, requirements: Mapping[str, str]) -> Recipe:
        installed = device.state.components.get(name)
        if installed is not None and requirements == {"deployment": f"={installed.version}"}:
            documents[name] = installed.recipe
        else:
            documents[name] = cloud.find_component(name, requirements, device.platform).recipe
        return device.recipe(Installed(documents[name], {}))

    recipes = resolve(roots(groups), find)
    for name, recipe in recipes.items():
        installed = device.state.components.get(name)
        if installed is None or installed.version != recipe.version:
            artifacts.fetch(recipe, device.root, cloud)
    return _Resolved(groups, recipes, documents)


def _after(deployment: Deployment, device: Device, found: _Resolved) -> DeviceState:
    """The device's state after the deployment. Components may have changed their own configuration meanwhile."""
    components = {}
    for name, recipe in found.recipes.items():
        installed = device.state.components.get(name)
        asked = deployment.components.get(name, _NOT_ASKED)
        current = installed.configuration if installed is not None else None
        configuration = updated(current, recipe.defaults, resets=asked.reset, merges=asked.merge)
        run_as = installed.run_as if asked.run_as is None and installed is not None else asked.run_as or ""
        components[name] = Installed(found.documents[name], configuration, run_as)
    return DeviceState(found.groups, components)
