"""Carrying out what the cloud asks of a device: fetch, compare, change, report."""

import logging
from collections.abc import Mapping
from typing import Any

from models.errors import DeployError, StoreError
from simulator.nucleus import artifacts
from simulator.nucleus.cloud import Cloud
from simulator.nucleus.configuration import updated
from simulator.nucleus.deployment import Deployment, Wanted, parse_deployment, resolve, roots
from simulator.nucleus.device import Device, Outcome
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.recipe import Recipe, read_recipe

log = logging.getLogger(__name__)

_NOT_ASKED = Wanted(version="", merge={}, reset=())


def carry_out(document: str, device: Device, cloud: Cloud) -> Outcome:
    """Change the device as a job's document says. What goes wrong before anything was touched changes nothing."""
    try:
        deployment = parse_deployment(document)
        log.info("deployment %s of %s", deployment.id, deployment.target)
        after = _prepare(deployment, device, cloud)
    except (DeployError, StoreError, OSError) as exc:  # OSError: a full disk, for one
        return Outcome("FAILED_NO_STATE_CHANGE", str(exc))
    return device.change_to(after)


def remove_old_files(device: Device) -> None:
    """Delete the files of all component versions that are not installed."""
    kept = {(name, item.version) for name, item in device.state.components.items()}
    for component, version in artifacts.stored(device.root):
        if (component, version) not in kept:
            artifacts.remove(device.root, component, version)


def _prepare(deployment: Deployment, device: Device, cloud: Cloud) -> DeviceState:
    """The device's state after the deployment, with all files fetched; nothing that runs is touched."""
    versions = {name: wanted.version for name, wanted in deployment.components.items()}
    groups = {**device.state.groups, deployment.target: versions}
    documents: dict[str, Mapping[str, Any]] = {}

    def find(name: str, requirements: Mapping[str, str]) -> Recipe:
        installed = device.state.components.get(name)
        if installed is not None and requirements == {"deployment": f"={installed.version}"}:
            documents[name] = installed.recipe
        else:
            documents[name] = cloud.find_component(name, requirements, device.platform).recipe
        return read_recipe(documents[name], device.platform)

    recipes = resolve(roots(groups), find)
    for name, recipe in recipes.items():
        installed = device.state.components.get(name)
        if installed is None or installed.version != recipe.version:
            artifacts.fetch(recipe, device.root, cloud)
    # last, for a component may have changed its own configuration while files were fetched
    components = {}
    for name, recipe in recipes.items():
        installed = device.state.components.get(name)
        asked = deployment.components.get(name, _NOT_ASKED)
        current = installed.configuration if installed is not None else None
        configuration = updated(current, recipe.defaults, resets=asked.reset, merges=asked.merge)
        components[name] = Installed(documents[name], configuration)
    return DeviceState(groups, components)
