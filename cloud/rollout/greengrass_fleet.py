"""A fleet behind Greengrass: thing groups, and the model component's versions deployed to them."""

from collections.abc import Mapping

from cloud.rollout.fleet import Progress
from cloud.rollout.plan import Gateway
from greengrass.deploy import Pin, current_deployment, current_pins, deploy
from greengrass.devices import progress
from greengrass.groups import ensure_group, things_in
from greengrass.recipe import challenger_component, model_component, model_version
from greengrass.register import register_challenger, versions_of
from models.errors import RolloutError


class GreengrassFleet:
    """The `Fleet` that the AWS_* variables lead to; what else is deployed to its groups stays as it is."""

    def things(self, group: str) -> tuple[str, ...] | None:
        return things_in(group)

    def describe(self, things: tuple[str, ...]) -> tuple[Gateway, ...]:
        return tuple(Gateway(name) for name in things)

    def assign(self, group: str, things: tuple[str, ...]) -> None:
        ensure_group(group, things)

    def registered(self, model: str, release: int) -> bool:
        return model_version(release) in versions_of(model_component(model))

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


def _release(model: str, version: str) -> int:
    major, _, rest = version.partition(".")
    if rest != "0.0" or not major.isdigit():
        raise RolloutError(
            f"{model_component(model)} is deployed in version {version}, which is no release of ours (N.0.0); "
            f"deploy a release with `tidegate deploy` first"
        )
    return int(major)
