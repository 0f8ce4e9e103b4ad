"""A fleet behind Greengrass: thing groups, and the model component's versions deployed to them."""

import logging
from collections.abc import Mapping

from cloud.rollout.fleet import Progress
from cloud.rollout.plan import Gateway
from greengrass.deploy import Pin, copy_deployment, current_deployment, current_pins, deploy
from greengrass.devices import progress
from greengrass.groups import ensure_group, move_thing, things_in
from greengrass.recipe import challenger_component, model_component, model_version
from greengrass.register import download_bytes, register_challenger, versions_of
from greengrass.things import Description, count_groups, describe
from models.errors import RolloutError, StoreError

log = logging.getLogger(__name__)


class GreengrassFleet:
    """The `Fleet` that the AWS_* variables lead to; what else is deployed to its groups stays as it is."""

    def things(self, group: str) -> tuple[str, ...] | None:
        return things_in(group)

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        found = describe(things)
        return tuple(_gateway(name, found.get(name, Description())) for name in things)

    def count_groups(self, thing: str) -> int:
        return count_groups(thing)

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        ensure_group(group, things)

    def move(self, thing: str, *, into: str | None, out_of: tuple[str, ...] = ()) -> None:
        move_thing(thing, into=into, out_of=out_of)

    def copy(self, group: str, to: str) -> None:
        copy_deployment(group, to)

    def registered(self, model: str, release: int) -> bool:
        return model_version(release) in versions_of(model_component(model))

    def download_bytes(self, model: str, release: int) -> int:
        try:
            return download_bytes(model_component(model), model_version(release))
        except StoreError as exc:
            log.warning("how much a gateway downloads is not known: %s", exc)
            return 0

    def release_of(self, group: str, model: str) -> int | None:
        pin = current_pins(group).get(model_component(model))
        return None if pin is None else _release(model, pin.version)

    def deploy(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        again = _failed(group, instead_of)
        component, challenger = model_component(model), challenger_component(model)
        if release is None:
            return deploy(group, {}, remove=(component, challenger), again=again)
        return deploy(group, {component: Pin(model_version(release))}, remove=(challenger,), again=again)

    def shadow(self, group: str, model: str, release: int | None, *, instead_of: str = "") -> str:
        again = _failed(group, instead_of)
        challenger = challenger_component(model)
        if release is None:
            return deploy(group, {}, remove=(challenger,), again=again)
        register_challenger(model, release)
        return deploy(group, {challenger: Pin(model_version(release))}, again=again)

    def progress(self, deployment: str, things: tuple[str, ...]) -> Mapping[str, Progress]:
        return progress(deployment, things)


def _failed(group: str, instead_of: str) -> bool:
    # once it was made anew, another is the group's
    return bool(instead_of) and current_deployment(group) == instead_of


def _gateway(name: str, found: Description) -> Gateway:
    return Gateway(name, found.hardware, found.site, found.timezone or "UTC", found.tags)


def _release(model: str, version: str) -> int:
    major, _, rest = version.partition(".")
    if rest != "0.0" or not major.isdigit():
        raise RolloutError(
            f"{model_component(model)} is deployed in version {version}, which is no release of ours (N.0.0); "
            f"deploy a release with `tidegate deploy` first"
        )
    return int(major)
