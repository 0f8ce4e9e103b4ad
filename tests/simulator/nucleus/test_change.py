"""What a change of the device stops and starts, for any two states of it."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.nucleus.change import Change, differs_at_all, differs_in_life, plan_change
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.personality import LITE
from simulator.nucleus.recipe import Recipe, read_recipe, this_platform
from tests.simulator.nucleus.recipes import recipe

NAMES = "abcd"


def installed(name: str, version: int, needs: Mapping[str, str], configuration: int) -> Installed:
    document = recipe(name, "true", version=f"{version}.0.0")
    document["ComponentDependencies"] = {
        other: {"VersionRequirement": "*", "DependencyType": kind} for other, kind in needs.items()
    }
    return Installed(document, {"n": configuration})


def read(item: Installed) -> Recipe:
    return read_recipe(item.recipe, this_platform(LITE.runtime))


@st.composite
def states(draw: st.DrawFn) -> DeviceState:
    components = {}
    for place, name in enumerate(NAMES):
        if draw(st.booleans()):
            # on those before it, so that there is no circle
            needs = draw(st.dictionaries(st.sampled_from(NAMES[:place] or "z"), st.sampled_from(["HARD", "SOFT"])))
            components[name] = installed(name, draw(st.integers(1, 2)), needs, draw(st.integers(0, 1)))
    return DeviceState({}, components)


def plan(before: DeviceState, after: DeviceState, *, down: set[str] = frozenset()) -> Change:  # type: ignore[assignment]
    return plan_change(before, after, down=down, recipe=read, differs=differs_at_all)


@settings(max_examples=50)
@given(before=states(), after=states(), down=st.sets(st.sampled_from(NAMES)))
def test_a_change_does_what_is_needed_and_leaves_alone_what_is_not(
    before: DeviceState, after: DeviceState, down: set[str]
) -> None:
    change = plan(before, after, down=down)
    old, new = before.components, after.components
    running = (old.keys() - change.leaving) | set(change.starting)
    assert running == new.keys()  # all that is wanted runs afterwards, and nothing else
    assert {name for name in new if new[name] != old.get(name)} <= set(change.starting)
    assert down & new.keys() <= set(change.starting)
    assert change.fresh <= set(change.starting)
    for name in new.keys() - set(change.starting):
        hard = {other for other, needed in read(new[name]).dependencies.items() if needed.hard}
        assert not hard & set(change.starting)
    for place, name in enumerate(change.starting):
        assert not read(new[name]).dependencies.keys() & set(change.starting[place + 1 :])


@settings(max_examples=20)
@given(state=states())
def test_the_same_state_again_changes_nothing(state: DeviceState) -> None:
    assert plan(state, state) == Change(frozenset(), (), frozenset())


def test_on_java_a_configuration_is_no_difference_unless_what_runs_changes_with_it() -> None:
    one, other, next_version = installed("a", 1, {}, 0), installed("a", 1, {}, 1), installed("a", 2, {}, 0)
    assert not differs_in_life(one, other, steps=lambda item: read(item).steps)
    assert differs_in_life(one, next_version, steps=lambda item: read(item).steps)
    assert differs_in_life(one, Installed(one.recipe, one.configuration, "daemon"), steps=lambda item: read(item).steps)
    filled = {0: {}, 1: read(one).steps}
    assert differs_in_life(one, other, steps=lambda item: filled[item.configuration["n"]])
