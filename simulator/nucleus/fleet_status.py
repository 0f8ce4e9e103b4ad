"""What a nucleus tells the cloud of itself: its components and their states, in the fleet status service's words.

Real nuclei publish it to `$aws/things/THING/greengrassv2/health/json`, at each deployment and when a component breaks.
Ours says it by HTTP to the control plane, which is no API of AWS', and only when something has changed.
https://docs.aws.amazon.com/greengrass/v2/developerguide/device-status.html
"""

from typing import Any

from simulator.nucleus.component import State
from simulator.nucleus.device import Device
from simulator.nucleus.personality import Personality


def fleet_status(device: Device, personality: Personality) -> dict[str, Any]:
    """The device as it is now: UNHEALTHY while a component is BROKEN."""
    roots = {name for components in device.state.groups.values() for name in components}
    components = [
        {
            "componentName": component.name,
            "version": component.recipe.version,
            "status": str(component.state),
            "statusDetails": component.reason[:1000],
            "isRoot": component.name in roots,
        }
        for component in sorted(device.components(), key=lambda item: item.name)
    ]
    broken = any(component["status"] == State.BROKEN for component in components)
    return {
        "ggcVersion": personality.version,
        "platform": device.platform["os"],
        "architecture": device.platform["architecture"],
        "overallDeviceStatus": "UNHEALTHY" if broken else "HEALTHY",
        "components": components,
    }
