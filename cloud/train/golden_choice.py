"""Which pictures become golden frames."""

import numpy as np

from cloud.evaluate import Classified
from cloud.image_folder import Images

GOLDEN_FRAMES = 8


def choose_golden(images: Images, classified: Classified, count: int = GOLDEN_FRAMES) -> list[int]:
    """Indices of pictures that the model is right and sure about, classes taking turns.

    Golden frames must tell a broken model from a sound one on other hardware, where scores differ a little; a picture
    on the verge between two classes would accuse sound ones.
    """
    right = classified.answers == images.class_ids
    by_class = [
        [int(index) for index in np.argsort(-classified.confidence, kind="stable") if right[index] and mine[index]]
        for mine in (images.class_ids == class_id for class_id in range(len(images.labels)))
    ]
    turns = [members[turn] for turn in range(count) for members in by_class if turn < len(members)]
    return turns[:count]
