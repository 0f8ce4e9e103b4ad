"""All that is written down about a model: a run folder's account of itself, or a release's in the registry."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloud.run_folder import read_report
from cloud.train.data_record import read_data_record
from greengrass.objects import open_store
from greengrass.registry import fetch_run, parse_release, read_release
from models.errors import UsageError
from models.manifest import MANIFEST, Manifest, read_manifest


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """`manifest` names all variants, also those that did not ship; `files` are those of data.json by part of the split,
    each with `file`, `label` and `sha256`; empty where there is none."""

    label: str
    manifest: Manifest
    report: Mapping[str, Any]
    files: Mapping[str, list[dict[str, str]]]


def find_record(text: str, registry: str | None) -> ModelRecord:
    """The record of the run folder or of the release NAME@RELEASE that `text` names."""
    path = Path(text)
    if (path / MANIFEST).is_file() or "@" not in text:
        return read_record(path)
    release = parse_release(text)
    if registry is None:
        raise UsageError(f"{text}: which registry? give --registry URI or set TIDEGATE_REGISTRY")
    store = open_store(registry)
    with tempfile.TemporaryDirectory() as temporary:
        record = read_record(fetch_run(store, release, Path(temporary) / "run"))
    signed = read_release(store, release)
    # what was signed counts; the run folder adds the variants that stayed behind
    manifest = replace(signed, variants=(*signed.variants, *_left_behind(record.manifest, signed)))
    return replace(record, label=str(release), manifest=manifest)


def read_record(run: Path) -> ModelRecord:
    """The record of a run folder."""
    return ModelRecord(str(run), read_manifest(run), read_report(run), read_data_record(run))


def _left_behind(run: Manifest, signed: Manifest) -> tuple[Any, ...]:
    shipped = {variant.name for variant in signed.variants}
    return tuple(variant for variant in run.variants if variant.name not in shipped)
