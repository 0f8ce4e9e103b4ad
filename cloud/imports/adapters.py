"""Adapters by the name that `tidegate import --adapter` takes.

An adapter is one function: it looks whether a foreign model is of its kind (MisfitError says why not), and
returns the canonical graph together with the documented decoding that the graph is then proven against.
"""

from collections.abc import Callable

from cloud.imports.adapted import Adapted
from cloud.imports.source import Source
from cloud.imports.yolox import yolox

ADAPTERS: dict[str, Callable[[Source], Adapted]] = {
    "yolox": yolox,
}
