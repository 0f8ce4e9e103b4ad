"""report.json, report.md and the plots: what the demo found, for machines, readers and those who would rather look."""

import dataclasses
import json
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models.durable import write_atomic
from simulator.demo.findings import Findings
from simulator.demo.plots import draw_all


def write_report(findings: Findings, folder: Path) -> None:
    """All of it into `folder`; report.md refers to the plots beside it."""
    plots = draw_all(findings, folder)
    document = as_document(findings)
    write_atomic(folder / "report.json", (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())
    write_atomic(folder / "report.md", _markdown(findings, [plot.name for plot in plots]).encode())


def as_document(findings: Findings) -> dict[str, Any]:
    """The findings in plain JSON types, with whether all claims held."""
    document = dataclasses.asdict(findings)
    claims = document.pop("claims")["judged"]
    return {"holds": not findings.claims.failed, "claims": claims, "machine": _machine(), **document}


def _markdown(findings: Findings, plots: Sequence[str]) -> str:
    held = len(findings.claims.judged) - len(findings.claims.failed)
    parts = [
        f"# tidegate demo: {findings.model}",
        f"{held} of {len(findings.claims.judged)} claims held. {_machine()}; broker {findings.broker}; "
        f"windows of {findings.window_s:g} s; {sum(chapter.seconds for chapter in findings.chapters):.0f} s in all.",
        _table(
            ("claim", "holds", "found"),
            ((claim.text, "yes" if claim.holds else "**no**", claim.found) for claim in findings.claims.judged),
        ),
    ]
    if findings.variants:
        parts += ["## The model", _picture("variants.png", plots), _variants(findings)]
    parts += [
        "## Frames, counted from end to end",
        "By numbers that left the camera in the pixels (a file: by position), and by a witness in each spool's own "
        "database. *Down*: not recorded because the process was down, with the tail of at most 1 s that a kill takes. "
        "*Skipped*: shown while the process ran, and not recorded.",
        _table(
            ("gateway", "shown", "recorded", "in the lake", "lost", "twice", "down", "skipped", "lost at swaps"),
            (
                (
                    c.gateway,
                    c.shown,
                    c.recorded,
                    c.in_lake,
                    c.lost,
                    c.twice,
                    c.down,
                    c.skipped,
                    ", ".join(map(str, findings.lost_at_swaps.get(c.gateway, []))) or "-",
                )
                for c in findings.counts
            ),
        ),
        _picture("gateways.png", plots),
        "## On the wire",
        _picture("bytes.png", plots),
        _traffic(findings),
    ]
    if findings.rollouts:
        parts += ["## Roll-outs", _picture("rollouts.png", plots), _rollouts(findings)]
    if findings.labels_seen:
        parts += [
            "## What was seen",
            _table(("label", "detections in the lake"), ((k, f"{v:,}") for k, v in findings.labels_seen.items())),
        ]
    parts += [
        "## Chapters",
        _table(("chapter", "seconds"), ((chapter.title, f"{chapter.seconds:.1f}") for chapter in findings.chapters)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _variants(findings: Findings) -> str:
    return _table(
        ("variant", "bytes", "accuracy", "p50 ms", "p95 ms", "ships", "verdict"),
        (
            (
                v.name,
                f"{v.bytes:,}",
                _figure(v.accuracy, 3),
                _figure(v.p50_ms, 2),
                _figure(v.p95_ms, 2),
                "yes" if v.chosen else "no",
                v.verdict,
            )
            for v in findings.variants
        ),
    )


def _traffic(findings: Findings) -> str:
    return _table(
        (
            "gateway",
            "messages",
            "frames",
            "detections",
            "bytes",
            "health",
            "B a detection",
            "JSON a frame",
            "JSON, gzip",
        ),
        (
            (
                name,
                t.messages,
                t.frames,
                t.detections,
                f"{t.bytes:,}",
                f"{t.health_bytes:,}",
                f"{t.bytes / max(1, t.detections):.1f}",
                f"{t.json_bytes / max(1, t.detections):.1f}",
                f"{t.json_gzip_bytes / max(1, t.detections):.1f}",
            )
            for name, t in sorted(findings.traffic.items())
        ),
    )


def _rollouts(findings: Findings) -> str:
    blocks = []
    for story in findings.rollouts:
        rings = "; ".join(f"ring {k}: {', '.join(ring)}" for k, ring in enumerate(story.rings))
        blocks.append(f"### {story.release}: {story.outcome}\n\n{rings}")
        blocks.append(_table(("at", "what", "why"), ((f"{m.at_s:.1f} s", m.action, m.reason) for m in story.moments)))
    if findings.accuracy_by_release:
        blocks.append("How often each release was right on the line, by the scenes' ground truth:")
        rows = ((str(release), f"{right:.3f}") for release, right in findings.accuracy_by_release.items())
        blocks.append(_table(("release", "right"), rows))
    return "\n\n".join(blocks)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _picture(name: str, plots: Sequence[str]) -> str:
    return f"![{Path(name).stem}]({name})" if name in plots else ""


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
