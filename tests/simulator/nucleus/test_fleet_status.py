"""What a device tells of itself is what the cloud says of it."""

import pytest

from greengrass.devices import Installed, core_device, installed_components
from tests.simulator.nucleus.desk import Desk
from tests.simulator.nucleus.recipes import recipe
from tests.simulator.nucleus.waiting import eventually

STAY = "exec tail -f /dev/null"


@pytest.mark.timeout(60)
def test_a_component_that_never_starts_is_broken_and_the_cloud_knows_while_the_others_go_on(
    desk: Desk, unique: str
) -> None:
    device = desk.device(unique, unique)
    good, needed, bad = f"{unique}.Good", f"{unique}.Needed", f"{unique}.Bad"
    dependent = {**recipe(good, STAY), "ComponentDependencies": {needed: {"VersionRequirement": "^1.0.0"}}}
    desk.register(dependent, recipe(needed, STAY), recipe(bad, "exit 3"))

    report = desk.report(unique, desk.deploy(unique, {good: "1.0.0", bad: "1.0.0"}))
    assert report.status == "FAILED"

    def told() -> dict[str, Installed]:
        return {item.component: item for item in installed_components(unique)}

    eventually(lambda: bad in told() and told()[bad].state == "BROKEN", what="the cloud knows that it is broken")
    assert told()[bad].details
    assert (told()[good].state, told()[good].root) == ("RUNNING", True)
    assert (told()[needed].state, told()[needed].root) == ("RUNNING", False)
    known = core_device(unique)
    assert known is not None
    assert (known.status, known.nucleus) == ("UNHEALTHY", device.personality.version)

    desk.register(recipe(bad, STAY, version="1.0.1"))
    desk.report(unique, desk.deploy(unique, {good: "1.0.0", bad: "1.0.1"}))
    eventually(lambda: told()[bad] == Installed(bad, "1.0.1", "RUNNING", "", True), what="the cloud knows it is well")
    eventually(lambda: getattr(core_device(unique), "status", "") == "HEALTHY")
