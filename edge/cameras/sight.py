"""Whether there is anything to be seen: an empty scene is told apart from a camera that froze, or is covered.

A sensor is never twice the same: even of a still scene its noise changes some pixel from picture to picture, and an
encoder that smooths it away shows it again with the next key frame. A source that stands still gives the very same
picture, or, through an encoder, the few same ones from key frame to key frame, most of them several times in a row.
(A scene rendered without noise, or a test card, is frozen too: switch it off there. A film in a loop is not.)
"""

import zlib
from collections import OrderedDict

import cv2
import numpy as np

from edge.cameras.camera import Sight
from edge.cameras.glance import brightest
from models.detections import UInt8

_ROWS = 15  # of a picture are compared; noise is in all of them
_KNOWN = 256  # pictures: more than any encoder makes between two key frames of a still source
_LOOK_NS = 500_000_000  # how often a bright picture is checked for darkness
# of 255: the brightest cells of a black picture are below, after dark and with some gain too
_BLACK = 24.0
# a cover lets some light through, but shows nothing: it is dim, and the same all over
_DIM, _EVEN = 80.0, 8.0


class SightWatch:
    """One camera's, from picture to picture. `frozen_s` and `dark_s` as in CameraConfig."""

    def __init__(self, *, frozen_s: float, dark_s: float) -> None:
        self._frozen_ns, self._dark_ns = int(frozen_s * 1e9), int(dark_s * 1e9)
        self._known: OrderedDict[int, None] = OrderedDict()  # checksums of the last pictures, the newest at the end
        self._newest = -1
        self._new_ns = 0  # when there was a picture that was not known
        self._since = self._repeated = 0  # pictures since then, and how many of them were as the one before
        self._looked_ns = -_LOOK_NS
        self._dark_since_ns: int | None = None

    def see(self, image: UInt8, steady_ns: int) -> Sight:
        """What is to be said after this picture (H, W, 3), taken at `steady_ns`."""
        if self._dark_ns and self._is_dark(image, steady_ns):
            return "dark"
        if self._frozen_ns and self._is_frozen(image, steady_ns):
            return "frozen"
        return "ok"

    def _is_dark(self, image: UInt8, steady_ns: int) -> bool:
        # what seems dark is looked at each time: it costs no inference, and light is seen at once
        if self._dark_since_ns is not None or steady_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = steady_ns
            if not shows_nothing(image):
                self._dark_since_ns = None
            elif self._dark_since_ns is None:
                self._dark_since_ns = steady_ns
        return self._dark_since_ns is not None and steady_ns - self._dark_since_ns >= self._dark_ns

    def _is_frozen(self, image: UInt8, steady_ns: int) -> bool:
        picture = zlib.crc32(image[:: max(1, image.shape[0] // _ROWS)].tobytes())
        if picture not in self._known:
            self._new_ns, self._since, self._repeated = steady_ns, 0, 0
            if len(self._known) == _KNOWN:
                self._known.popitem(last=False)
            self._known[picture] = None
        else:
            self._known.move_to_end(picture)
            self._since += 1
            self._repeated += picture == self._newest
        self._newest = picture
        return steady_ns - self._new_ns >= self._frozen_ns and 2 * self._repeated >= self._since


def shows_nothing(image: UInt8) -> bool:
    """Whether a picture is black, or dim and even as under a cover."""
    cells = cv2.blur(brightest(image), (5, 5))  # noise of a gain turned up is no picture
    low, high = np.percentile(cells, (2, 98))
    return bool(high < _BLACK or (high < _DIM and high - low < _EVEN))
