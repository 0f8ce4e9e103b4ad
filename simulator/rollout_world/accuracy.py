"""How good a model is on an album's labelled pictures, by day and at night: top-1, or AP50-95."""

from functools import lru_cache

import numpy as np

from cloud.average_precision import average_precision
from models.detections import UInt8
from models.errors import ModelError
from models.fitting import fit
from models.runner import Runner
from simulator.rollout_world.album import Album, Labelled, day_and_night

_NIGHT_SEED = 1 << 24


def accuracy(runner: Runner, album: Album, *, only_night: bool = False) -> float:
    """Of a runner without a threshold; 0 where it fails. A detector's night is not judged unless it is asked for alone:
    its model never learned to see there."""
    pictures = _shown(album.judged)
    count = len(album.judged.pictures)
    try:
        if album.task == "classification":
            shown = pictures[count:] if only_night else pictures
            truth = album.judged.class_ids * (1 if only_night else 2)
            right = [
                int(runner.probabilities(fit(picture, runner.spec)[0]).argmax()) == class_id
                for picture, class_id in zip(shown, truth, strict=True)
            ]
            return float(np.mean(right))
        found = [runner.run(picture) for picture in (pictures[count:] if only_night else pictures[:count])]
    except ModelError:
        return 0.0
    return average_precision(album.judged.truths, found).ap50_95


@lru_cache(maxsize=4)
def _shown(labelled: Labelled) -> tuple[UInt8, ...]:
    return tuple(day_and_night(labelled.pictures, seed=_NIGHT_SEED))
