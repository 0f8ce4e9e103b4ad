"""What the operations of the control plane's services share: pages of lists, and errors as the services word them."""

from collections.abc import Callable, Mapping
from typing import Any

from simulator.restjson import INVALID, ApiError

ACCOUNT = "123456789012"  # moto's
PAGE = 50
# not of AWS: where a simulated nucleus says what a real one publishes to $aws/things/THING/greengrassv2/health/json
FLEET_STATUS = "/simulator/fleet-status/"

Clock = Callable[[], float]
Params = dict[str, Any]
Operation = Callable[[Params], Params]


def page(items: list[Any], params: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """A page of a list, and the token for the next."""
    text = params.get("nextToken", "0")
    if not text.isdigit():
        raise ApiError(INVALID, f"nextToken {text!r} is not one that was given out")
    start = int(text)
    end = start + params.get("maxResults", PAGE)
    return items[start:end], str(end) if end < len(items) else None


def refuse(params: Params, *names: str) -> None:
    """ApiError 501 for a parameter that is not simulated: to ignore it would be to lie about it."""
    for name in names:
        if name in params:
            raise not_simulated(name)


def not_found(kind: str, name: str) -> ApiError:
    return ApiError(
        "ResourceNotFoundException", f"{kind} {name} is not there", status=404, resourceId=name, resourceType=kind
    )


def not_simulated(what: str) -> ApiError:
    return ApiError("NotImplementedException", f"{what} is not simulated", status=501)
