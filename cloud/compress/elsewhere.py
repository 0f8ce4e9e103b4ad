"""Judging variants by the latency they have on other hardware, as `tidegate gateway bench` brought it back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloud.compress.gate import Limits, Measured, Verdict
from cloud.compress.run import W8, Judged, decide
from cloud.run_folder import REFERENCE, read_report, write_report
from models.configuration import parse
from models.errors import ConfigError, DataError, PackageError
from models.manifest import Manifest, read_manifest, write_manifest


@dataclass(frozen=True, slots=True)
class BenchedVariant:
    """As edge/bench.py writes it; so are the names of the fields."""

    name: str
    sha256: str
    p50_ms: float
    p95_ms: float
    peak_memory_bytes: int
    differences: tuple[str, ...]
    error: str


@dataclass(frozen=True, slots=True)
class Benched:
    """What one device measured. `hardware` is its class."""

    name: str
    hardware: str
    variants: tuple[BenchedVariant, ...]

    def of(self, name: str) -> BenchedVariant | None:
        """A variant's figures."""
        return next((variant for variant in self.variants if variant.name == name), None)


def read_bench(path: Path) -> Benched:
    """What `tidegate gateway bench --json` printed; DataError for anything else."""
    try:
        document = json.loads(path.read_bytes())
        rows = [_known(BenchedVariant, row) for row in document["variants"]]
        return parse(Benched, {**_known(Benched, document), "variants": rows}, where=str(path))
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as exc:
        raise DataError(f"{path} is not what `tidegate gateway bench --json` prints: {exc}") from exc


def enter_latency(draft: Path, benched: Benched) -> list[Judged]:
    """Enter a device's latencies into the draft of the run folder it measured; where variants have been judged, judge
    them again for that class of hardware, and choose for it. Empty where there was nothing to judge.

    PackageError when the device measured other files.
    """
    manifest = _with_latency(draft, benched)
    write_manifest(draft, manifest)
    if not manifest.gate:
        return []
    limits = _limits(manifest, draft)
    measured = _measured(draft, manifest, benched)
    judged = decide([figures for figures in measured if not _unfit(benched, figures.name)], limits)
    judged += [
        Judged(figures, Verdict(False, (unfit,)), chosen=False)
        for figures in measured
        if (unfit := _unfit(benched, figures.name))
    ]
    accepted = {item.figures.name for item in judged if item.verdict.accepted}
    chosen = next(item.figures.name for item in judged if item.chosen)
    verdicts = {
        item.figures.name: {"accepted": item.verdict.accepted, "reasons": list(item.verdict.reasons)} for item in judged
    }
    gate = {**manifest.gate, "hardware": benched.hardware, "chosen": chosen, "variants": verdicts}
    write_manifest(draft, replace(manifest, chosen=chosen, fallback=W8 if W8 in accepted else None, gate=gate))
    _report(draft, judged, gate)
    return judged


def _with_latency(draft: Path, benched: Benched) -> Manifest:
    manifest = read_manifest(draft)
    if benched.name != manifest.name:
        raise PackageError(f"the figures are of model {benched.name!r}, but {draft.name} holds {manifest.name!r}")
    for variant in manifest.variants:
        figures = benched.of(variant.name)
        if figures is None or figures.error:
            continue
        if figures.sha256 != variant.sha256:
            raise PackageError(
                f"the figures of variant {variant.name!r} are of another file (sha256 {figures.sha256[:12]}, here "
                f"{variant.sha256[:12]}): measure this very run folder"
            )
        latency = {**variant.latency_ms, benched.hardware: figures.p50_ms}
        manifest = manifest.with_variants(replace(variant, latency_ms=latency))
    return manifest


def _measured(draft: Path, manifest: Manifest, benched: Benched) -> list[Measured]:
    """What the gate was told when it judged, with the device's times instead; the reference first."""
    known = {row.get("name"): row for row in _rows(draft)}
    names = [variant.name for variant in manifest.variants if variant.name in known and benched.of(variant.name)]
    if REFERENCE not in names or _unfit(benched, REFERENCE):
        raise PackageError(
            f"nothing to judge against: the device did not measure {REFERENCE}, or it does not work there "
            f"({_unfit(benched, REFERENCE) or 'not in the file'}); give it the run folder, not the package"
        )
    found = []
    for name in sorted(names, key=lambda name: name != REFERENCE):
        figures = benched.of(name)
        assert figures is not None  # it is among the names
        try:
            measured = parse(Measured, _known(Measured, known[name]), where=f"report.json, variant {name}")
        except ConfigError as exc:
            raise PackageError(f"{exc}; compress again") from exc
        if not figures.error:
            memory = figures.peak_memory_bytes
            measured = replace(measured, p50_ms=figures.p50_ms, p95_ms=figures.p95_ms, peak_bytes=memory)
        found.append(measured)
    return found


def _unfit(benched: Benched, name: str) -> str:
    """Why no gateway of that kind would run a variant; empty if it would. One golden answer that differs is enough."""
    figures = benched.of(name)
    if figures is None or not (figures.error or figures.differences):
        return ""
    return f"not fit to run on {benched.hardware}: {figures.error or figures.differences[0]}"


def _limits(manifest: Manifest, draft: Path) -> Limits:
    try:
        return parse(Limits, manifest.gate.get("limits", {}), where=f"{draft.name}: the gate's limits")
    except ConfigError as exc:
        raise PackageError(f"{exc}; compress again") from exc


def _report(draft: Path, judged: Sequence[Judged], gate: dict[str, Any]) -> None:
    """Times and verdicts into the report; what else the gate was told stays as this machine found it."""
    by_name = {item.figures.name: item for item in judged}
    rows = []
    for row in _rows(draft):
        item = by_name.get(row.get("name", ""))
        if item is not None:
            figures = item.figures
            row |= {"p50_ms": figures.p50_ms, "p95_ms": figures.p95_ms, "peak_bytes": figures.peak_bytes}
            row |= {"accepted": item.verdict.accepted, "chosen": item.chosen, "reasons": list(item.verdict.reasons)}
        rows.append(row)
    without_verdicts = {key: value for key, value in gate.items() if key != "variants"}
    write_report(draft, {"gate": without_verdicts, "variants": rows})


def _rows(draft: Path) -> list[dict[str, Any]]:
    rows = read_report(draft).get("variants")
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _known(cls: type[Any], row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key in cls.__dataclass_fields__}
