"""What a release says beforehand about how gateways' answers will change: a promise can then be told from a surprise.

Both models look at the same reference pictures; the figures are those of a gateway's health message (models/tally.py)
and the distances those that a roll-out compares by (cloud/rollout/figures.py). Everything is a plain document, since
it is signed with the manifest and read by people and by later versions.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud.image_folder import PICTURES, read_picture
from cloud.rollout.figures import mean_score, mix_distance
from cloud.shift_tally import ShiftTally
from models.detections import UInt8
from models.errors import DataError, TidegateError, UsageError
from models.golden import read_golden
from models.manifest import read_manifest
from models.runner import open_runner
from models.tally import AnswerTally

FEW = 100  # pictures below which a shift is a hint and no measurement


def predict_shift(run: Path, parent: Path, *, against: str, reference: Path | None) -> dict[str, Any]:
    """How the chosen variant of `run` answers where that of `parent`, the release `against`, did: for each of the two
    detections per frame, mean score, score histogram and class mix; the distances between them; and `agreement`, the
    part of the pictures in which both see the same: classes that swap places in equal numbers leave the mix as it was.
    ShiftTally.detail says what else there is.

    They look at all pictures under `reference`, as cameras would give them, by default at the golden frames of `run`:
    few, and chosen for being clear. A parent that cannot be run makes no release impossible: the document then says
    why there is no prediction. DataError where `reference` holds no pictures or broken ones.
    """
    kind = "golden frames" if reference is None else "pictures"
    pictures = _golden_frames(run) if reference is None else _pictures_of(reference)
    manifest, before = read_manifest(run), read_manifest(parent)
    head = {"against": against, "reference": kind}
    runner, digest = open_runner(run, manifest), hashlib.sha256()
    tally = ShiftTally(before.labels, manifest.labels)
    try:
        runner_before = open_runner(parent, before)
        for picture in pictures:
            digest.update(f"{picture.shape}".encode())
            digest.update(picture.tobytes())
            tally.add(runner_before.run(picture), runner.run(picture))
    except DataError:
        raise
    except TidegateError as exc:
        return {**head, "unknown": str(exc)}
    return {
        **head,
        "reference_sha256": digest.hexdigest(),
        **shift_of(tally, before.labels, manifest.labels, variants=(before.chosen, manifest.chosen)),
    }


def shift_of(
    tally: ShiftTally, labels_before: Sequence[str], labels: Sequence[str], *, variants: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """The prediction for what both models saw in the same pictures."""
    count, was, now = tally.pictures, tally.was, tally.now
    answered = _figures(now, count, labels, variants[1])
    answered_before = _figures(was, count, labels_before, variants[0])
    return {
        "pictures": count,
        "parent": answered_before,
        "this": answered,
        "agreement": tally.agreement,
        "mix_distance": round(mix_distance(answered_before["class_mix"], answered["class_mix"]), 4),
        "mean_score_change": round(answered["mean_score"] - answered_before["mean_score"], 4),
        "per_frame_ratio": round(now.detections / was.detections, 4) if was.detections else None,
        **tally.detail(),
    }


def shift_in_words(shift: Mapping[str, Any]) -> list[str]:
    """The prediction in a few sentences; for the first release of a model one that says so."""
    if not shift:
        return ["The first release of this model, or one that was compared with none before it."]
    try:
        return _in_words(shift)
    except (KeyError, TypeError, ValueError):  # a later tidegate's, or somebody's own
        return ["Recorded in a form that is not known here."]


def _in_words(shift: Mapping[str, Any]) -> list[str]:
    if "unknown" in shift:
        return [f"Against {shift['against']}: not predicted, one of the two could not be run ({shift['unknown']})."]
    was, now = shift["parent"], shift["this"]
    lines = [
        f"Against {shift['against']}, on {shift['pictures']} {shift['reference']}: "
        f"{was['per_frame']:.3g} detections a frame become {now['per_frame']:.3g}, "
        f"the mean score {was['mean_score']:.2f} becomes {now['mean_score']:.2f}, "
        f"the class mix moves by {shift['mix_distance']:.2f} (0: the same shares, 1: no class in common). "
        f"Both see the same in {shift['agreement']:.0%} of them."
    ]
    if shift["pictures"] < FEW:
        few = f"{shift['pictures']} pictures are few"
        lines.append(f"{few}: a hint and no measurement (`tidegate release --reference DIR` takes more).")
    return lines


def _figures(tally: AnswerTally, pictures: int, labels: Sequence[str], variant: str) -> dict[str, Any]:
    return {
        "variant": variant,
        "per_frame": round(tally.detections / pictures, 4) if pictures else 0.0,
        "mean_score": round(mean_score(tally.histogram), 4),
        "score_histogram": tally.histogram,
        "class_mix": tally.mix(labels),
    }


def _golden_frames(run: Path) -> Iterator[UInt8]:
    frames = read_golden(run).frames
    return (frames[name] for name in sorted(frames))


def _pictures_of(folder: Path) -> Iterator[UInt8]:
    if not folder.is_dir():
        raise UsageError(f"--reference {folder} is no folder; expected pictures as the cameras see them")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    if not paths:
        raise DataError(f"--reference {folder} holds no pictures; expected .jpg or .png files")
    return (read_picture(path) for path in paths)
