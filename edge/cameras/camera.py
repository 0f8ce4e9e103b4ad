"""What every camera promises, whatever is behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from models.errors import CameraError
from models.frame import Frame

KEEP = 6

Sight = Literal["ok", "frozen", "dark"]


class StalledError(CameraError):
    """The camera is there but shows nothing new."""


class Camera(Protocol):
    """An iterator of frames, with numbers and `steady_ns` that rise. It ends at the end of a recording, or after
    `close`, which any thread may call; whatever else stops it raises CameraError, and StalledError where the camera is
    there but shows nothing new.

    A frame's image lies in one of a few buffers that are used in turn: it may be overwritten once `keep` later frames
    were delivered (KEEP, where whoever opens the camera does not say). Whoever needs it for longer copies it.
    """

    @property
    def sight(self) -> Sight:
        """Whether there is anything to be seen, as of now.

        "frozen": the very same picture for too long, as no sensor gives it. "dark": black, or covered. While it is not
        "ok", frames are held back, for no detections would mean that nothing was there; they count as still. The frame
        with which it changes is always delivered, so who looks here at each frame learns of every change in time.
        """
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Tally:
    """What became of one camera's frames since the process started; lives on when the camera is opened again.

    `seen`: delivered by the camera; `skipped`: of those, the ones for which the model had no time or that were above
    the rate cap; `still`: of those seen, the ones held back because they showed nothing new; `missed`: counted by the
    camera but never seen by us. `last` is the newest frame's number, -1 before the first.
    """

    last: int = -1
    seen: int = 0
    skipped: int = 0
    missed: int = 0
    still: int = 0
