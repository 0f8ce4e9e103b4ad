"""MODEL_CARD.md: what a model is, what it was made of, how good it is and where that is not known. Pure: text out.

After Mitchell et al., Model Cards for Model Reporting (2019); every figure in it is from the manifest or the report.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloud.predicted_shift import shift_in_words
from models.manifest import Manifest, Variant

CARD = "MODEL_CARD.md"
_WEAK = 0.8  # recall or average precision of a class below which the card warns of it
_FEW = 30  # pictures of a class below which its figures say little
_LISTED = 10

Report = Mapping[str, Any]

_TASKS = {
    "classification": "tells which one of its classes a whole picture shows",
    "detection": "finds things of its classes in a picture, with a box around each",
    "anomaly": "tells whether a whole picture looks like those of good parts that it was shown",
}
_LIMITS = {
    "classification": "It gives every picture one of its classes, also a picture of something it has never seen.",
    "detection": "It finds nothing but its classes, and things that are much smaller or larger than those it was "
    "judged on may be missed.",
    "anomaly": "What differs from the good pictures is an anomaly to it, whether it is a defect or a change of light, "
    "camera or product.",
}


def model_card(manifest: Manifest, report: Report) -> str:
    """The card of a run folder (release 0) or of a release, in Markdown."""
    title = f"{manifest.name}@{manifest.release}" if manifest.release else f"{manifest.name} (not released)"
    sections = [
        ("What it is", _what(manifest)),
        ("Limits", _limits(manifest, report)),
        ("Data", _data(manifest, report)),
        ("Training", _training(manifest, report)),
        ("Accuracy", _accuracy(report)),
        ("Variants", _variants(manifest, report)),
        ("Latency", _latency(manifest)),
        ("Predicted shift", [_text(line) for line in shift_in_words(manifest.predicted_shift)]),
        ("Lineage", _lineage(manifest)),
    ]
    parts = [f"# {_text(title)}", *(f"## {heading}\n\n{_joined(lines)}" for heading, lines in sections)]
    return "\n\n".join(parts) + "\n"


def _what(manifest: Manifest) -> list[str]:
    spec = manifest.input
    known = _TASKS.get(manifest.task, manifest.task)
    lines = [
        f"A model that {known}.",
        "",
        f"- Labels ({len(manifest.labels)}): {', '.join(_text(label) for label in manifest.labels)}",
        f"- Input: uint8 {spec.height} x {spec.width}, BGR; a picture is brought there by {spec.fit}",
        f"- Reported: scores above {manifest.threshold:g}",
        f"- Ships as: {_text(manifest.chosen)}{_fallback(manifest)}",
    ]
    if manifest.release:
        lines.append(
            f"- Gateways may go back to release {manifest.floor} at the lowest" if manifest.floor else "- Floor: none"
        )
    return lines


def _fallback(manifest: Manifest) -> str:
    if manifest.fallback in (None, manifest.chosen):
        return ", without a fallback"
    return f"; {_text(str(manifest.fallback))} where that is wrong or slower on the gateway's own processor"


def _limits(manifest: Manifest, report: Report) -> list[str]:
    lines = [f"- {_LIMITS.get(manifest.task, 'It knows its labels only.')}"]
    lines.append(
        "- It was judged on the pictures named under Accuracy; other cameras, light and products are not proven."
    )
    for label, row in _by_class(report).items():
        score = _score_of(row)
        if score is not None and score < _WEAK:
            lines.append(f"- Weak on {_text(label)}: {score:.3f}.")
        count = row.get("pictures", row.get("boxes"))
        if isinstance(count, int) and count < _FEW:
            lines.append(f"- {_text(label)}: judged on {count} only, so its figures say little.")
    if not _mapping(report.get("evaluation")):
        lines.append("- Its accuracy was not measured when it was made.")
    measured = sorted({name for variant in manifest.variants for name in variant.latency_ms})
    lines.append(f"- Its speed is known on {', '.join(measured) or 'no hardware'} and nowhere else.")
    return lines


def _data(manifest: Manifest, report: Report) -> list[str]:
    training, lineage = _mapping(report.get("training")), manifest.lineage
    lines = []
    counts = {part: _mapping(found) for part, found in _mapping(training.get("pictures")).items()}
    labels = list(dict.fromkeys(label for found in counts.values() for label in found))
    if labels:
        rows = [[label, *(_number(found.get(label, 0)) for found in counts.values())] for label in labels]
        what = "boxes" if manifest.task == "detection" else "pictures"
        lines += [*_table(["class", *(f"{part}, {what}" for part in counts)], rows), ""]
    for key, meaning in (
        ("data_sha256", "trained on"),
        ("val_sha256", "judged by"),
        ("files_sha256", "list of files (data.json)"),
    ):
        if key in lineage:
            lines.append(f"- Digest, {meaning}: `{_text(str(lineage[key]))}`")
    if split := _mapping(lineage.get("split")):
        lines.append(f"- Split: {', '.join(f'{_text(part)} {count}' for part, count in split.items())}")
    for key, meaning in (
        ("conflicts", "One picture under two labels"),
        ("leaks", "One picture both learned from and judged by"),
        ("broken", "Skipped, no whole picture"),
    ):
        lines += _listed(meaning, training.get(key))
    if "import" in lineage:
        lines.append("- Imported: what it was trained on is for its authors to say.")
    return lines or ["Nothing is known of it."]


def _training(manifest: Manifest, report: Report) -> list[str]:
    training = _mapping(report.get("training"))
    if not training:
        proof = _mapping(_mapping(report.get("import")).get("proof"))
        if proof:
            return [
                f"Imported, not trained here. Its graph agrees with the documented decoding in "
                f"{proof.get('detections_compared', 0)} detections on {proof.get('pictures', 0)} "
                f"{'drawn ' if proof.get('drawn') else ''}pictures."
            ]
        return ["Not trained here."]
    rows = [("parameters", training.get("parameters")), ("seconds", training.get("seconds"))]
    rows += [(f"net {key}", value) for key, value in _mapping(training.get("net")).items()]
    rows += [
        (key, value) for key, value in _mapping(training.get("settings")).items() if not isinstance(value, Mapping)
    ]
    return _table(["setting", "value"], [[key, _number(value)] for key, value in rows if value is not None])


def _accuracy(report: Report) -> list[str]:
    evaluation = _mapping(report.get("evaluation"))
    if not evaluation:
        return ["Not measured when it was made; the table of variants says what was found since."]
    head = f"{evaluation.get('metric', 'accuracy')} {_number(evaluation.get('accuracy'))} in fp32"
    lines = [f"{head}, on {evaluation.get('pictures', 'an unknown number of')} pictures held out.", ""]
    by_class = _by_class(report)
    columns = list(dict.fromkeys(key for row in by_class.values() for key in row))
    if columns:
        rows = [[label, *(_number(row.get(column)) for column in columns)] for label, row in by_class.items()]
        lines += _table(["class", *columns], rows)
    if note := evaluation.get("note"):
        lines += ["", _text(str(note))]
    return lines


def _variants(manifest: Manifest, report: Report) -> list[str]:
    measured = {str(row.get("name")): row for row in _rows(report.get("variants"))}
    verdicts = _mapping(manifest.gate.get("variants"))
    shipped = {variant.name for variant in manifest.variants}
    # the package holds what ships; the report also knows what stayed behind
    names = list(dict.fromkeys([*measured, *(variant.name for variant in manifest.variants)]))
    rows = []
    for name in names:
        row = measured.get(name, {})
        variant = manifest.variant(name) if name in shipped else None
        verdict = _mapping(verdicts.get(name)) or row
        role = "chosen" if name == manifest.chosen else "fallback" if name == manifest.fallback else _verdict(verdict)
        reasons = verdict.get("reasons")
        rows.append(
            [
                name,
                _number(variant.bytes if variant else row.get("bytes")),
                _number(_accuracy_of(variant, row)),
                _number(row.get("p50_ms")),
                _number(row.get("p95_ms")),
                _number(row.get("peak_bytes")),
                role,
                "; ".join(map(str, reasons)) if isinstance(reasons, list) else "",
            ]
        )
    lines = _table(["variant", "bytes", "accuracy", "p50 ms", "p95 ms", "peak bytes", "gate", "why"], rows)
    if gate := manifest.gate:
        limits = ", ".join(f"{_text(key)} {_number(value)}" for key, value in _mapping(gate.get("limits")).items())
        lines += [
            "",
            f"Judged by {_said(gate, 'metric')} on {_said(gate, 'pictures')} pictures, calibrated on "
            f"{_said(gate, 'calibrated_on')}, on {_said(gate, 'hardware')}; limits: {limits or 'none'}.",
        ]
    return lines


def _latency(manifest: Manifest) -> list[str]:
    classes = sorted({name for variant in manifest.variants for name in variant.latency_ms})
    if not classes:
        return ["Not measured."]
    rows = [
        [variant.name, *(_number(variant.latency_ms.get(name)) for name in classes)] for variant in manifest.variants
    ]
    return ["Median milliseconds of one run on one thread.", "", *_table(["variant", *classes], rows)]


def _lineage(manifest: Manifest) -> list[str]:
    rows = _flat(manifest.lineage)
    if "calibration_sha256" in manifest.gate:
        rows.append(("calibration set", str(manifest.gate["calibration_sha256"])))
    return _table(["", ""], [[key, _number(value)] for key, value in rows]) if rows else ["Not recorded."]


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key} ")
        else:
            found.append((f"{prefix}{key}", value))
    return found


def _by_class(report: Report) -> dict[str, Mapping[str, Any]]:
    found = _mapping(_mapping(report.get("evaluation")).get("by_class"))
    return {str(label): _mapping(row) for label, row in found.items()}


def _score_of(row: Mapping[str, Any]) -> float | None:
    score = row.get("recall", row.get("ap50_95"))
    return float(score) if isinstance(score, int | float) else None


def _accuracy_of(variant: Variant | None, row: Mapping[str, Any]) -> object:
    return variant.accuracy if variant is not None and variant.accuracy == variant.accuracy else row.get("accuracy")


def _verdict(verdict: Mapping[str, Any]) -> str:
    if "accepted" not in verdict:
        return "not judged"
    return "accepted" if verdict["accepted"] else "refused"


def _listed(meaning: str, found: object) -> list[str]:
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        return []
    lines = [f"- {meaning}: {_text(str(item))}" for item in found[:_LISTED]]
    return [*lines, f"- {meaning}: {len(found) - _LISTED} more"] if len(found) > _LISTED else lines


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(_text(str(cell)) for cell in line)} |" for line in lines]


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _rows(value: object) -> list[Mapping[str, Any]]:
    return [_mapping(row) for row in value] if isinstance(value, list) else []


def _said(table: Mapping[str, Any], key: str) -> str:
    return _text(_number(table.get(key, "unknown")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _text(text: str) -> str:
    """Without what Markdown or HTML would take for theirs: labels and file names are anybody's."""
    for mark, instead in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), (">", "&gt;"), ("`", "'"), ("\n", " ")):
        text = text.replace(mark, instead)
    return text
