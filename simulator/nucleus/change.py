"""What has to be stopped, installed and started to bring a device from one state to another. Pure functions."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from simulator.nucleus.deployment import start_order, with_dependents
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.recipe import Recipe, Step


@dataclass(frozen=True, slots=True)
class Change:
    """Names of components: `leaving` are stopped, `starting` are started, in this order; of these, `fresh` have a
    version that is not installed yet. What is in none of them is left alone."""

    leaving: frozenset[str]
    starting: tuple[str, ...]
    fresh: frozenset[str]


def plan_change(
    before: DeviceState,
    after: DeviceState,
    *,
    down: Collection[str],
    recipe: Callable[[Installed], Recipe],
    differs: Callable[[Installed, Installed], bool],
) -> Change:
    """`down`: components that do not run though they are installed; `differs`: whether one has to be started anew."""
    old, new = before.components, after.components
    changed = {name for name, item in new.items() if name not in old or name in down or differs(old[name], item)}
    recipes = [recipe(item) for item in new.values()]
    restarted = with_dependents(changed, recipes) & new.keys()
    return Change(
        leaving=frozenset(restarted | (old.keys() - new.keys())),
        starting=tuple(name for name in start_order(recipes) if name in restarted),
        fresh=frozenset(name for name in restarted if name not in old or old[name].version != new[name].version),
    )


def differs_at_all(before: Installed, after: Installed) -> bool:
    """Nucleus lite: a configuration alone is reason enough."""
    return before != after


def differs_in_life(before: Installed, after: Installed, *, steps: Callable[[Installed], Mapping[str, Step]]) -> bool:
    """The Java nucleus: the version, what is run (`steps`, with their variables replaced) or who runs it."""
    return (before.version, before.run_as) != (after.version, after.run_as) or steps(before) != steps(after)
