"""What a model answered to every view that gateways have, by day and at night: real runs of a canonical graph."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.agreement import compare, sight
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.health import SCORE_BINS
from models.manifest import Manifest
from models.runner import Runner
from models.tally import score_bin

Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
# one row for each view, in this order; then a column for each label. "iou" is that of what matches, in thousandths
COLUMNS = ("frames", "failed", "detections", "agreed", "matched", "iou", *(f"bin{k}" for k in range(SCORE_BINS)))
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model found in each of n pictures: `detections` one by one, and `failed` where it raised an error."""

    boxes: npt.NDArray[np.float32]  # (k, 4)
    scores: npt.NDArray[np.float32]  # (k,)
    classes: npt.NDArray[np.int64]  # (k,)
    starts: npt.NDArray[np.int64]  # (n + 1,): the detections of picture i are starts[i] to starts[i + 1]
    failed: Bool  # (n,)

    def __len__(self) -> int:
        return len(self.failed)

    def of(self, picture: int) -> Detections:
        rows = slice(self.starts[picture], self.starts[picture + 1])
        return Detections.of(self.boxes[rows], self.scores[rows], self.classes[rows])


def answers(runner: Runner, pictures: Iterable[UInt8]) -> Answers:
    """Run the model on every picture."""
    found: list[Detections] = []
    failed: list[bool] = []
    for picture in pictures:
        try:
            found.append(runner.run(picture))
            failed.append(False)
        except ModelError:
            found.append(Detections.empty())
            failed.append(True)
    return Answers(
        np.concatenate([one.xyxy for one in found]),
        np.concatenate([one.scores for one in found]),
        np.concatenate([one.class_ids for one in found]),
        np.cumsum([0, *map(len, found)]),
        np.array(failed, np.bool_),
    )


def counted(ours: Answers, incumbent: Answers, labels: tuple[str, ...]) -> Int32:
    """A row of COLUMNS and labels for each picture, (n, len(COLUMNS) + len(labels)): what a gateway would count of it,
    and how it compares with the incumbent on the same picture."""
    n = len(ours)
    table = np.zeros((n, len(COLUMNS) + len(labels)), np.int32)
    of_picture = np.repeat(np.arange(n), np.diff(ours.starts))
    table[:, 0] = ~ours.failed
    table[:, 1] = ours.failed
    table[:, 2] = np.diff(ours.starts)
    bins = np.array([score_bin(score) for score in ours.scores.tolist()], np.int64)
    np.add.at(table, (of_picture, COLUMNS.index("bin0") + bins), 1)
    np.add.at(table, (of_picture, len(COLUMNS) + ours.classes), 1)
    for picture in range(n):
        if ours.failed[picture] or incumbent.failed[picture]:
            continue
        agreement = compare(sight(incumbent.of(picture), labels), sight(ours.of(picture), labels))
        table[picture, 3] = agreement.left_over is None
        table[picture, 4] = len(agreement.pairs)
        table[picture, 5] = round(1000 * sum(agreement.ious))
    return table


def taped(
    graph: bytes,
    manifest: Manifest,
    pictures: Callable[[], Iterable[UInt8]],
    digest: str,
    cache: Path,
    *,
    weights_only: bool,
) -> Answers:
    """`answers` of a graph to the pictures with that digest, from the cache if it holds them."""
    key = hashlib.sha256(
        f"{FORMAT} {hashlib.sha256(graph).hexdigest()} {manifest.threshold} {weights_only} {digest}".encode()
    ).hexdigest()
    path = cache / "tapes" / f"{key}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Answers(*(kept[name] for name in ("boxes", "scores", "classes", "starts", "failed")))
    found = answers(Runner(graph, manifest, weights_only=weights_only), pictures())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft.npz")
    np.savez(
        draft,
        boxes=found.boxes,
        scores=found.scores,
        classes=found.classes,
        starts=found.starts,
        failed=found.failed,
    )
    draft.replace(path)
    return found
