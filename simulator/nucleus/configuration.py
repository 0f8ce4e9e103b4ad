"""A component's configuration: looking values up, merging and resetting them. Pure functions on JSON values."""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from models.errors import DeployError

Configuration = dict[str, Any]
KeyPath = tuple[str, ...]


def lookup(configuration: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The value at a key path; KeyError when there is none."""
    value: Any = configuration
    for key in path:
        if not isinstance(value, dict):
            raise KeyError(key)
        value = value[key]
    return value


def merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> Configuration:
    """`new` over `old`: objects are merged key by key, everything else (lists too) is replaced."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def merge_at(configuration: Mapping[str, Any], path: Sequence[str], value: Any) -> Configuration:
    """`value` merged into the configuration at a key path, whose missing objects are made."""
    for key in reversed(path):
        value = {key: value}
    return merge(configuration, value)


def reset(configuration: Mapping[str, Any], defaults: Mapping[str, Any], pointer: str) -> Configuration:
    """The configuration with the value at a JSON pointer back at its default, gone if it has none."""
    path = parse_pointer(pointer)
    if not path:
        return copy.deepcopy(dict(defaults))
    changed = copy.deepcopy(dict(configuration))
    try:
        return merge_at(_without(changed, path), path, copy.deepcopy(lookup(defaults, path)))
    except KeyError:
        return _without(changed, path)


def updated(
    current: Mapping[str, Any] | None,
    defaults: Mapping[str, Any],
    *,
    resets: Sequence[str] = (),
    merges: Mapping[str, Any] | None = None,
) -> Configuration:
    """A component's configuration after a deployment.

    What the device has wins over the defaults of a new version; resets come before merges.
    """
    configuration = merge(defaults, current or {})
    for pointer in resets:
        configuration = reset(configuration, defaults, pointer)
    return merge(configuration, merges or {})


def changes(old: Mapping[str, Any], new: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    """Key paths of the values that differ."""
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from changes(before, after, (*path, key))
        elif (key in old) != (key in new) or before != after:
            yield (*path, key)


def parse_pointer(pointer: str) -> KeyPath:
    """The key path of a JSON pointer (RFC 6901); "" and "/" are the whole configuration, as Greengrass has it."""
    if pointer in ("", "/"):
        return ()
    if not pointer.startswith("/"):
        raise DeployError(f"a JSON pointer starts with '/', got {pointer!r}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def _without(configuration: Configuration, path: KeyPath) -> Configuration:
    with contextlib.suppress(KeyError, AttributeError):  # nothing there to take away
        lookup(configuration, path[:-1]).pop(path[-1], None)
    return configuration
