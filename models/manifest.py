"""manifest.json: what a run folder or a model package says about itself.

Unknown fields are kept through a read and a write (a newer tidegate may have put them there); an unknown format
number is refused.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from models.configuration import parse
from models.durable import write_atomic
from models.errors import ConfigError, PackageError

FORMAT = 1
MANIFEST = "manifest.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

Task = Literal["classification", "detection", "anomaly"]
Fit = Literal["letterbox", "letterbox-centre", "stretch", "crop"]
Interpolation = Literal["linear", "area"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a camera's picture becomes the graph's input, uint8 (1, height, width, 3) BGR."""

    height: int
    width: int
    fit: Fit = "stretch"
    interpolation: Interpolation = "linear"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= 4096 and 1 <= self.width <= 4096):
            raise ValueError(f"input must be 1..4096 pixels a side, got {self.height}x{self.width}")


@dataclass(frozen=True, slots=True)
class Variant:
    """One ONNX file of the model. `accuracy` is the task's metric (top-1, AP50-95, AUROC) on the data the report
    names, nan where nothing was measured; `latency_ms` is the p50 of one single-threaded run by hardware class.
    `weights_only`: only its weights are int8, and it runs in float. `unknown`: fields that a newer tidegate put there.
    """

    name: str
    file: str
    sha256: str
    bytes: int
    accuracy: float = float("nan")
    latency_ms: dict[str, float] = field(default_factory=dict)
    weights_only: bool = False
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _FILE.fullmatch(self.file):
            raise ValueError(f"a variant's file must be a plain name, got {self.file!r}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """`labels` in class order. `threshold`: the runtime keeps scores above it. `chosen`: the variant to run;
    `fallback`: the one to run where the chosen is slower or wrong on a gateway's own hardware. `gate`: what was asked
    of the variants and found. `predicted_shift`: how its answers will differ from those of the release before
    (cloud/predicted_shift.py). `release` is 0 until signed; a gateway takes any release >= the highest `floor` it has
    seen."""

    name: str
    task: Task
    labels: tuple[str, ...]
    input: InputSpec
    threshold: float = 0.25
    chosen: str = "fp32"
    fallback: str | None = None
    variants: tuple[Variant, ...] = ()
    release: int = 0
    floor: int = 0
    lineage: dict[str, Any] = field(default_factory=dict)
    gate: dict[str, Any] = field(default_factory=dict)
    predicted_shift: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT
    unknown: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name must be lower-case letters, digits and dashes (at most 63), got {self.name!r}")
        if not self.labels:
            raise ValueError("labels must name at least one class")
        for label in self.labels:
            if not label or not label.isprintable():
                raise ValueError(f"a label must be one line of printable text, got {label!r}")
        if len({variant.name for variant in self.variants}) < len(self.variants):
            raise ValueError("two variants have the same name")
        if self.fallback is not None and self.variants and self.fallback not in {item.name for item in self.variants}:
            raise ValueError(f"fallback names no variant: {self.fallback!r}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be in 0..1, got {self.threshold}")
        if self.release < 0 or self.floor < 0 or self.floor > max(self.release, 0):
            raise ValueError(f"need 0 <= floor <= release, got floor {self.floor}, release {self.release}")

    def variant(self, name: str | None = None) -> Variant:
        """The named variant, or the chosen one."""
        wanted = name or self.chosen
        for variant in self.variants:
            if variant.name == wanted:
                return variant
        have = ", ".join(variant.name for variant in self.variants) or "none"
        raise PackageError(f"model {self.name}: no variant {wanted!r}; it has {have}")

    @property
    def shipped(self) -> tuple[Variant, ...]:
        """What a gateway gets: the chosen variant, and the fallback where it is another."""
        return tuple(self.variant(name) for name in dict.fromkeys([self.chosen, self.fallback or self.chosen]))

    def with_variants(self, *variants: Variant) -> "Manifest":
        """The same model with these variants added, or put in place of their namesakes."""
        names = {variant.name for variant in variants}
        kept = tuple(variant for variant in self.variants if variant.name not in names)
        return replace(self, variants=kept + variants)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder or package; PackageError names what is wrong with it."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise PackageError(
            f"{folder} holds no {MANIFEST}: expected a run folder or model package "
            f"(make one with `tidegate train` or `tidegate import`)"
        ) from exc
    return parse_manifest(data, where=str(path))


def parse_manifest(data: bytes, *, where: str) -> Manifest:
    """The manifest in `data`, JSON text."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise PackageError(f"{where} is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise PackageError(f"{where}: expected an object, got {type(document).__name__}")
    if document.get("format", FORMAT) != FORMAT:
        raise PackageError(
            f"{where}: format {document.get('format')!r} is not known here (this tidegate reads {FORMAT})"
        )
    sorted_out = _set_unknown_apart(Manifest, document)
    variants = sorted_out.get("variants")
    if isinstance(variants, list):
        sorted_out["variants"] = [
            _set_unknown_apart(Variant, variant) if isinstance(variant, dict) else variant for variant in variants
        ]
    # an unknown field of `input` is refused: whoever does not understand it would fit pictures wrongly
    try:
        return parse(Manifest, sorted_out, where=where)
    except ConfigError as exc:
        raise PackageError(str(exc)) from exc


def manifest_bytes(manifest: Manifest) -> bytes:
    """Canonical JSON: sorted keys, two spaces; a number that is not finite is left out, since JSON knows none."""
    return (json.dumps(_plain(manifest), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put manifest.json into `folder`, atomically."""
    write_atomic(folder / MANIFEST, manifest_bytes(manifest))


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _set_unknown_apart(cls: type[Manifest | Variant], document: dict[str, Any]) -> dict[str, Any]:
    known = set(cls.__dataclass_fields__) - {"unknown"}
    apart = {key: value for key, value in document.items() if key not in known}
    return {key: value for key, value in document.items() if key in known} | {"unknown": apart}


def _plain(value: Any) -> Any:
    if isinstance(value, Manifest | Variant | InputSpec):
        fields = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
        return _plain({**fields.pop("unknown", {}), **fields})
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if not _is_not_finite(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value if not _is_not_finite(item)]
    return value


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
