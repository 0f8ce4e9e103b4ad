"""What is different between two models, as far as it is written down. Pure: records in, differences out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.model_record import ModelRecord
from models.manifest import Manifest

_Files = Mapping[str, Sequence[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure or setting that differs; None on the side where there is none."""

    part: str
    what: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class FileChanges:
    """Names of files of data.json; a file is the same when its content is, whatever it is called. `relabelled` have
    another class, `moved` are in another part of the split."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelDiff:
    """`files` is None where one of the two has no list of its files."""

    before: str
    after: str
    changes: tuple[Change, ...]
    files: FileChanges | None


def diff_models(before: ModelRecord, after: ModelRecord) -> ModelDiff:
    """Everything that differs, the part that matters most to gateways first."""
    a, b = _parts(before), _parts(after)
    changes = [
        Change(part, what, a[part].get(what), b[part].get(what))
        for part in a
        for what in dict.fromkeys([*a[part], *b[part]])
        if a[part].get(what) != b[part].get(what)
    ]
    files = _files(before.files, after.files) if before.files and after.files else None
    return ModelDiff(before.label, after.label, tuple(changes), files)


def _parts(record: ModelRecord) -> dict[str, dict[str, Any]]:
    """Flat tables by part, with the same parts for every model."""
    manifest, training = record.manifest, _table(record.report.get("training"))
    return {
        "model": _model(manifest),
        "labels": {label: index for index, label in enumerate(manifest.labels)},
        "variants": _variants(manifest),
        "gate": _flat(manifest.gate),
        "accuracy": _flat(
            {key: value for key, value in _table(record.report.get("evaluation")).items() if key != "confusion"}
        ),
        "net": _flat(_table(training.get("net"))),
        "settings": _flat(_table(training.get("settings"))),
        "lineage": _flat(manifest.lineage),
    }


def _model(manifest: Manifest) -> dict[str, Any]:
    spec = manifest.input
    return {
        "name": manifest.name,
        "task": manifest.task,
        "input": f"{spec.height}x{spec.width} {spec.fit} {spec.interpolation}",
        "threshold": manifest.threshold,
        "chosen": manifest.chosen,
        "fallback": manifest.fallback,
        "floor": manifest.floor,
    }


def _variants(manifest: Manifest) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for variant in manifest.variants:
        table[f"{variant.name} bytes"] = variant.bytes
        if variant.accuracy == variant.accuracy:
            table[f"{variant.name} accuracy"] = variant.accuracy
        for hardware, ms in variant.latency_ms.items():
            table[f"{variant.name} ms on {hardware}"] = ms
    return table


def _files(before: _Files, after: _Files) -> FileChanges:
    was, now = _by_content(before), _by_content(after)
    both = [digest for digest in now if digest in was]
    return FileChanges(
        added=tuple(now[digest].name for digest in now if digest not in was),
        removed=tuple(was[digest].name for digest in was if digest not in now),
        relabelled=tuple(now[digest].name for digest in both if now[digest].labels != was[digest].labels),
        moved=tuple(now[digest].name for digest in both if now[digest].parts != was[digest].parts),
    )


@dataclass(slots=True)
class _Content:
    """Where the same bytes are: under `name` first, perhaps with several labels and in several parts."""

    name: str
    labels: set[str]
    parts: set[str]


def _by_content(files: _Files) -> dict[str, _Content]:
    found: dict[str, _Content] = {}
    for part, listed in files.items():
        for file in listed:
            content = found.setdefault(file["sha256"], _Content(f"{part}/{file['file']}", set(), set()))
            content.labels.add(file["label"])
            content.parts.add(part)
    return found


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key} ")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
