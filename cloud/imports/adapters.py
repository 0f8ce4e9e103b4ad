"""Adapters by the name that `tidegate import --adapter` takes.

An adapter is one function: it looks whether a foreign model is of its kind (MisfitError says why not), and
returns the canonical graph together with the documented decoding that the graph is then proven against. What its kind
is fed is documented too; `Preprocess` is given only where the user says otherwise.
"""

from collections.abc import Callable

from cloud.imports.adapted import Adapted
from cloud.imports.canonical import canonical
from cloud.imports.classifier import classifier
from cloud.imports.fastestdet import fastestdet
from cloud.imports.preprocess import Preprocess
from cloud.imports.source import Source
from cloud.imports.ssd import ssd
from cloud.imports.ultraface import ultraface
from cloud.imports.yolo import yolov5, yolov8
from cloud.imports.yolox import yolox
from cloud.imports.yunet import yunet

Adapter = Callable[[Source, Preprocess | None], Adapted]

ADAPTERS: dict[str, Adapter] = {
    "canonical": canonical,
    "classifier": classifier,
    "fastestdet": fastestdet,
    "ssd": ssd,
    "ultraface": ultraface,
    "yolov5": yolov5,
    "yolov8": yolov8,
    "yolox": yolox,
    "yunet": yunet,
}

# files of these kinds don't tell what they want to be fed, and nobody documents it for all of them
ASK_FOR_FEED = ("classifier",)
