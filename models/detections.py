"""What a model saw in one frame."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]

UNTRACKED = 0


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n things found in a frame, best score first.

    `xyxy` float32 (n, 4), corners in pixels of the *original* frame (of the fitted picture where a docstring
    says so); `scores` float32 (n,) in 0..1; `class_ids` int64 (n,), index into the manifest's labels; `tracks`
    int64 (n,), 0 where not tracked. A classifier's answer is one row: its best class, boxed by the whole frame.
    """

    xyxy: Float32
    scores: Float32
    class_ids: Int64
    tracks: Int64

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.xyxy.shape != (n, 4) or self.class_ids.shape != (n,) or self.tracks.shape != (n,):
            raise ValueError(
                f"detections disagree in length: xyxy {self.xyxy.shape}, scores {self.scores.shape}, "
                f"class_ids {self.class_ids.shape}, tracks {self.tracks.shape}"
            )

    @classmethod
    def of(cls, xyxy: npt.ArrayLike, scores: npt.ArrayLike, class_ids: npt.ArrayLike) -> Self:
        """Untracked detections from anything array-like."""
        score_column = np.asarray(scores, np.float32).reshape(-1)
        return cls(
            xyxy=np.asarray(xyxy, np.float32).reshape(-1, 4),
            scores=score_column,
            class_ids=np.asarray(class_ids, np.int64).reshape(-1),
            tracks=np.full(len(score_column), UNTRACKED, np.int64),
        )

    @classmethod
    def empty(cls) -> Self:
        """Nothing seen, which is a result too."""
        return cls.of((), (), ())

    def __len__(self) -> int:
        return len(self.scores)

    def where(self, mask: npt.NDArray[np.bool_] | Int64) -> "Detections":
        """The rows that a mask or an index array picks, in its order."""
        return Detections(self.xyxy[mask], self.scores[mask], self.class_ids[mask], self.tracks[mask])

    def joined(self, others: "Detections") -> "Detections":
        """These, and the others behind them."""
        return Detections(
            np.concatenate((self.xyxy, others.xyxy)),
            np.concatenate((self.scores, others.scores)),
            np.concatenate((self.class_ids, others.class_ids)),
            np.concatenate((self.tracks, others.tracks)),
        )
