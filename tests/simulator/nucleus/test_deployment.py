"""What a deployment asks for, and what follows from it."""

import json
from collections.abc import Mapping

import pytest

from models.errors import DeployError
from simulator.nucleus.deployment import parse_deployment, resolve, roots, start_order, with_dependents
from simulator.nucleus.recipe import Dependency, Recipe

GROUP = "arn:aws:greengrass:eu-central-1:123456789012:configuration:thinggroup/shop-ring-0:3"


def component(name: str, version: str = "1.0.0", **dependencies: tuple[str, bool]) -> Recipe:
    needed = {other: Dependency(requirement, hard) for other, (requirement, hard) in dependencies.items()}
    return Recipe(name, version, defaults={}, dependencies=needed, artifacts=(), steps={})


def test_a_jobs_document_is_read() -> None:
    document = {
        "deploymentId": "d1",
        "configurationArn": GROUP,
        "components": {
            "a": {"version": "1.0.0"},
            "b": {"version": "2.0.0", "configurationUpdate": {"merge": {"x": 1}, "reset": ["/y"]}},
        },
    }
    deployment = parse_deployment(json.dumps(document))
    assert (deployment.id, deployment.target) == ("d1", "thinggroup/shop-ring-0")
    assert deployment.components["a"].merge == {}
    assert (deployment.components["b"].merge, deployment.components["b"].reset) == ({"x": 1}, ("/y",))


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        json.dumps({"deploymentId": "d", "configurationArn": "arn:aws:x", "components": {}}),
        json.dumps({"deploymentId": "d", "configurationArn": GROUP, "components": {"a": {}}}),
        json.dumps({"deploymentId": "d", "configurationArn": GROUP, "components": {"a": "1.0.0"}}),
    ],
)
def test_a_job_of_another_kind_is_refused(document: str) -> None:
    with pytest.raises(DeployError, match="is no deployment"):
        parse_deployment(document)


def test_a_device_runs_what_all_its_groups_ask_for() -> None:
    assert roots({"fleet": {"gateway": "1.0.0"}, "ring": {"model": "2.0.0"}}) == {"gateway": "1.0.0", "model": "2.0.0"}
    with pytest.raises(DeployError, match=r"component model is wanted as 1\.0\.0 .* and as 2\.0\.0"):
        roots({"ring-0": {"model": "1.0.0"}, "ring-1": {"model": "2.0.0"}})


def test_components_start_after_what_they_depend_on() -> None:
    recipes = [component("a", b=("*", True)), component("b", c=("*", False)), component("c"), component("d")]
    assert start_order(recipes) == ["c", "b", "a", "d"]
    with pytest.raises(DeployError, match="in a circle: a -> b -> a"):
        start_order([component("a", b=("*", True)), component("b", a=("*", True))])


def test_hard_dependents_restart_with_their_dependency_and_soft_ones_do_not() -> None:
    recipes = [
        component("hard", base=("*", True)),
        component("soft", base=("*", False)),
        component("far", hard=("*", True)),
    ]
    assert with_dependents(["base"], recipes) == {"base", "hard", "far"}


def test_dependencies_are_resolved_with_what_everybody_requires() -> None:
    asked: list[tuple[str, dict[str, str]]] = []
    shelf = {
        "a": component("a", lib=(">=1.0.0", True)),
        "b": component("b", "2.0.0", lib=("<2.0.0", True)),
        "lib": component("lib", "1.5.0"),
    }

    def find(name: str, requirements: Mapping[str, str]) -> Recipe:
        asked.append((name, dict(requirements)))
        if name == "lib" and len(requirements) == 1:
            return component("lib", "2.5.0" if "a" in requirements else "1.5.0")
        return shelf[name]

    found = resolve({"a": "1.0.0", "b": "2.0.0"}, find)
    assert {name: recipe.version for name, recipe in found.items()} == {"a": "1.0.0", "b": "2.0.0", "lib": "1.5.0"}
    assert ("a", {"deployment": "=1.0.0"}) in asked


def test_the_nucleus_itself_is_nobodys_download() -> None:
    def find(name: str, requirements: Mapping[str, str]) -> Recipe:
        dependency = {"aws.greengrass.Nucleus": Dependency(">=2.0.0", hard=True)}
        return Recipe(name, "1.0.0", defaults={}, dependencies=dependency, artifacts=(), steps={})

    assert list(resolve({"a": "1.0.0"}, find)) == ["a"]
