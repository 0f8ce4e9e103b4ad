"""One picture from a camera."""

from dataclasses import dataclass

from models.detections import UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """`image` uint8 (H, W, 3) BGR; `number` counts the source's frames from 0 and never repeats within a camera,
    restarts of the gateway included; `captured_at_ns` is UTC; `steady_ns` is the same moment on a clock of this process
    that never jumps."""

    image: UInt8
    number: int
    captured_at_ns: int
    steady_ns: int
