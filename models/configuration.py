"""Turning untyped JSON or TOML into frozen dataclasses, refusing what is not understood; and back."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from models.errors import ConfigError

T = TypeVar("T")
_WORDS: dict[type, str] = {
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
}


def parse(cls: type[T], data: object, *, where: str) -> T:
    """An instance of the dataclass `cls` from `data`; `where` names the source in errors.

    Nested dataclasses, tuples of them, `X | None`, `Path` and plain scalars are understood. An int is taken for a
    float. Unknown keys, missing keys, wrong types and whatever `__post_init__` refuses raise ConfigError.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a table of settings, got {_short(data)}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls)) if field.init}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(fields)}"
            raise ConfigError(f"{where}: unknown key {str(key)!r}; {advice}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key {name!r}")
    try:
        return cls(**values)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}") from exc


def understood(cls: type[T], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data without the keys that `cls` and the dataclasses in it do not have, as another version may have had."""
    hints = get_type_hints(cls)
    return {key: _understood(hints[key], value) for key, value in data.items() if key in hints}


def _understood(hint: Any, value: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(arm for arm in get_args(hint) if arm is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return understood(cast(type[Any], hint), value)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return [_understood(get_args(hint)[0], item) for item in value]
    return value


def document(config: object) -> dict[str, Any]:
    """The dataclass as JSON data, defaults too, of which `parse` makes an equal one. What is None by default and None
    is left out."""
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(cast(Any, config))
        if field.init and ((value := getattr(config, field.name)) is not None or field.default is not None)
    }


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value):
        return document(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _convert(hint: Any, value: object, where: str) -> Any:
    if hint is Any:
        return value
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [arm for arm in get_args(hint) if arm is not type(None)]
        return None if value is None else _convert(inner[0], value, where)
    if origin is typing.Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} must be one of {', '.join(map(str, get_args(hint)))}, got {_short(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {_short(value)}")
        return tuple(_convert(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {_short(value)}")
        return {str(key): _convert(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse(cast(type[Any], hint), value, where=where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    # JSON over some nuclei turns 60 into 60.0; a whole float is an int all the same
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {_WORDS.get(hint, hint.__name__)}, got {_short(value)}")
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
