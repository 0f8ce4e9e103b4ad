"""data.json of a trained run: every file that was trained on or judged by, with its digest and part of the split."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from cloud.image_folder import ImageFile
from models.durable import write_atomic
from models.errors import PackageError

DATA = "data.json"
_LEAKS = 5  # are named: who mixed up two folders need not read of each picture


def enter_data(draft: Path, parts: Mapping[str, Sequence[ImageFile]], broken: Sequence[str]) -> dict[str, list[str]]:
    """Put data.json into a draft, a list of files by part ("train", "val"); what a report says of them."""
    document = {
        part: [{"file": file.name, "label": file.label, "sha256": file.sha256} for file in files]
        for part, files in parts.items()
    }
    write_atomic(draft / DATA, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    conflicts, leaks = doubles(parts)
    return {"broken": list(broken), "conflicts": conflicts, "leaks": leaks}


def read_data_record(run: Path) -> dict[str, list[dict[str, str]]]:
    """data.json of a run folder: `file`, `label` and `sha256` of each file by part; empty where there is none, as for
    an imported model."""
    path = run / DATA
    try:
        document = json.loads(path.read_bytes())
        return {
            str(part): [{key: str(file[key]) for key in ("file", "label", "sha256")} for file in files]
            for part, files in document.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise PackageError(f"{path} cannot be read: {exc}; expected what `tidegate train` wrote") from exc


def doubles(parts: Mapping[str, Sequence[ImageFile]]) -> tuple[list[str], list[str]]:
    """The same picture in two places, a sentence each: under different labels, and in both parts of a split.

    Pictures are the same when their decoded pixels are, whatever their files' names and bytes.
    """
    places: dict[str, list[tuple[str, ImageFile]]] = defaultdict(list)
    for part, files in parts.items():
        for file in files:
            if file.pixels_sha256:
                places[file.pixels_sha256].append((part, file))
    conflicts, leaks = [], []
    for found in places.values():
        where = " and ".join(f"{file.name} ({part})" for part, file in found)
        if len({file.label for _, file in found}) > 1:
            conflicts.append(f"{where} are one picture under different labels")
        elif len({part for part, _ in found}) > 1:
            leaks.append(f"{where} are one picture, both learned from and judged by")
    return conflicts, leaks


def oddities(parts: Mapping[str, Sequence[ImageFile]], broken: Sequence[str]) -> list[str]:
    """What the user should know of the files before training starts, a line each (rich markup)."""
    lines = [f"[yellow]skipped, no whole picture:[/] {escape(name)}" for name in broken]
    conflicts, leaks = doubles(parts)
    lines += [f"[yellow]conflict:[/] {escape(line)}" for line in conflicts]
    lines += [f"[yellow]leak:[/] {escape(line)}" for line in leaks[:_LEAKS]]
    if len(leaks) > _LEAKS:
        lines.append(f"[yellow]leak:[/] and {len(leaks) - _LEAKS} more")
    return lines
