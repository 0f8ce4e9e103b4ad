"""Where a camera's pictures come from: what is different for each kind of camera, and nothing else."""

from typing import Protocol

from models.detections import UInt8


class Source(Protocol):
    """One picture after another, for one thread at a time; CameraError where it can't go on."""

    def grab(self) -> bool:
        """Wait for the next picture; False when there is none: it has ended, or gone away."""
        ...

    def retrieve(self, into: UInt8 | None) -> UInt8 | None:
        """The picture grabbed last, uint8 (H, W, 3) BGR: in `into` where it can be and fits, else in a new array. None
        where it can't be decoded."""
        ...

    def release(self) -> None: ...


class LiveSource(Source, Protocol):
    """A camera that shows what is now."""

    def taken_ns(self) -> int | None:
        """When the picture grabbed last was taken, on the clock of `time.monotonic_ns`; None where it doesn't say."""
        ...


class Recording(Source, Protocol):
    """Pictures that wait to be read."""

    @property
    def length_ns(self) -> int:
        """How long it plays; 0 where its pictures have no times."""
        ...

    def position_ns(self) -> int:
        """Where in its playing time the picture grabbed last is."""
        ...

    def ended(self, pictures: int) -> None:
        """CameraError where it should have had more than the `pictures` after which nothing came."""
        ...
