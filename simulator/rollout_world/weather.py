"""Everything about a simulated fleet of two hundred but its models: who stands where, what each sees in every minute,
when it is dark, who is away, whose reports come late, how busy the machines are. All of it from a seed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud.rollout.plan import Gateway
from simulator.rollout_world.films import FILMS, LENGTH, LONGEST
from simulator.rollout_world.light import MOUNTS
from simulator.rollout_world.releases import HARDWARE

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SIZE = 200
WINDOW_S = 60.0
DAY = 1440  # windows
NEVER = np.iinfo(np.int64).max // 4
_SHARES = (0.35, 0.4, 0.25)  # of the classes of hardware
_ZONES = (("UTC", 0), ("Europe/Berlin", 60), ("Asia/Kolkata", 330), ("America/Chicago", -360))
_SITES = 20
_SEGMENT = 30  # windows for which a camera sees the same film
_DARK = (19.5 * 60, 5.5 * 60)  # from, to: minutes of the local day
_QUIET = 0.5  # of the frames are left at night, when less moves
_ALWAYS_LIT = 0.3  # of the gateways
_FLAKY = 0.15
_MEMORY = {"camera-a53": 1.0e9, "gateway-a72": 2.0e9, "box-x86": 4.0e9}


@dataclass(frozen=True, slots=True, eq=False)
class Weather:
    """A fleet over w windows of a minute; matrices are (SIZE, w), and vectors (SIZE,).

    `film`, `start` and `frames` say what is seen in each window, `night` whether it is dark there. `sent` is the
    window in which the report of each arrives, NEVER where the gateway was down and made none. `load` is how many
    times slower the machine is than when it is idle, `block` which stretch of measured run times it has.
    `camera` is false while the camera is down. `memory` is what a gateway takes without a model, `limit` what it has;
    `rebooted` counts its restarts.
    """

    gateways: tuple[Gateway, ...]
    hardware: Int64
    slower: Float64
    mount: Int64
    skew_us: Int64
    night: Bool
    film: Int64
    start: Int64
    frames: Int64
    camera: Bool
    sent: Int64
    load: Float64
    block: Int64
    memory: Float64
    limit: Float64
    rebooted: Int64
    temperature: Float64
    stray: Bool  # an error that has nothing to do with a model


def weather(seed: int, windows: int, *, minute: int, blocks: int) -> Weather:
    """The fleet of a seed over so many windows; the first begins at that minute of the day, UTC."""
    rng = np.random.default_rng((seed, 200))
    classes = list(HARDWARE)
    hardware = rng.choice(len(classes), SIZE, p=_SHARES)
    site = rng.integers(_SITES, size=SIZE)
    zone = rng.integers(len(_ZONES), size=_SITES)[site]
    gateways = tuple(
        Gateway(f"s{seed}-g{k:03d}", classes[hardware[k]], f"site-{site[k]}", _ZONES[zone[k]][0]) for k in range(SIZE)
    )
    local = (minute + np.arange(windows) + np.array([_ZONES[z][1] for z in zone])[:, None]) % DAY
    night = ((local >= _DARK[0]) | (local < _DARK[1])) & (rng.random(SIZE) >= _ALWAYS_LIT)[:, None]
    fps = rng.choice((2.0, 3.0, 5.0), SIZE)
    activity = np.where(night, _QUIET, 1.0) * _wander(rng, windows, size=0.15, over=90)
    camera = ~_spells(rng, windows, per_day=0.15, median=25)
    frames = np.minimum(LONGEST, fps[:, None] * WINDOW_S * activity).astype(np.int64) * camera
    film, start = _films(rng, windows, frames)
    down = _spells(rng, windows, per_day=0.2, median=2)
    flaky = rng.random(SIZE) < _FLAKY
    cut = _spells(rng, windows, per_day=0.35, median=70) | (
        _spells(rng, windows, per_day=20.0, median=4) & flaky[:, None]
    )
    late = (rng.random((SIZE, windows)) < np.where(flaky, 0.2, 0.02)[:, None]) * rng.integers(
        1, 4, size=(SIZE, windows)
    )
    hot = 1 + 0.3 * _spells(rng, windows, per_day=0.1, median=60)
    load = np.exp(rng.normal(0, 0.1, SIZE))[:, None] * _wander(rng, windows, size=0.08, over=120) * hot
    rebooted = np.cumsum(_edges(down), axis=1, dtype=np.int64)
    memory = rng.uniform(1.1e8, 1.8e8, SIZE)[:, None] * _wander(rng, windows, size=0.02, over=240)
    return Weather(
        gateways=gateways,
        hardware=hardware,
        slower=np.array(list(HARDWARE.values()))[hardware],
        mount=rng.integers(len(MOUNTS), size=SIZE),
        skew_us=rng.normal(0, 1.5e6, SIZE).astype(np.int64),
        night=night,
        film=film,
        start=start,
        frames=frames,
        camera=camera,
        sent=np.where(down, NEVER, _arrival(cut) + late),
        load=load,
        block=rng.integers(blocks, size=(SIZE, windows)),
        memory=memory,
        limit=np.array([_MEMORY[name] for name in classes])[hardware],
        rebooted=rebooted,
        temperature=45 + 12 * load,
        stray=rng.random((SIZE, windows)) < 1 / 3000,
    )


def _films(rng: np.random.Generator, windows: int, frames: Int64) -> tuple[Int64, Int64]:
    """Which film each gateway sees in each window and from which frame on: habits of its own, that drift by the day,
    and one film for half an hour at a time."""
    habit = rng.dirichlet(np.full(FILMS, 0.7), SIZE)
    days = windows // DAY + 2
    by_day = habit[:, None] * np.exp(rng.normal(0, 0.25, (SIZE, days, FILMS)))
    by_day /= by_day.sum(axis=2, keepdims=True)
    segments = windows // _SEGMENT + 2
    day = np.arange(segments) * _SEGMENT // DAY
    drawn = rng.random((SIZE, segments, 1))
    by_segment = np.minimum((by_day[:, day].cumsum(axis=2) < drawn).sum(axis=2), FILMS - 1)
    begins = rng.integers(LENGTH, size=(SIZE, segments))
    segment = (np.arange(windows) + rng.integers(_SEGMENT, size=SIZE)[:, None]) // _SEGMENT
    which = np.arange(SIZE)[:, None]
    shown = np.cumsum(frames, axis=1) - frames
    return by_segment[which, segment], (begins[which, segment] + shown) % LENGTH


def _wander(rng: np.random.Generator, windows: int, *, size: float, over: int) -> Float32:
    """A factor around 1 that wanders by `size` over so many windows."""
    heights = rng.normal(0, size, (SIZE, windows // over + 2, 1)).astype(np.float32)
    part = ((1 - np.cos(np.arange(over) / over * np.pi)) / 2).astype(np.float32)
    between = heights[:, :-1] + (heights[:, 1:] - heights[:, :-1]) * part  # (gateways, knots, over)
    return np.asarray(np.exp(between.reshape(SIZE, -1)[:, :windows]))


def _spells(rng: np.random.Generator, windows: int, *, per_day: float, median: float) -> Bool:
    """When something lasts: it begins at random and lasts for a log-normal number of windows."""
    begins = rng.poisson(per_day * windows / DAY, SIZE)
    gateway = np.repeat(np.arange(SIZE), begins)
    first = rng.integers(windows, size=len(gateway))
    last = np.minimum(
        windows, first + np.maximum(1, median * np.exp(rng.normal(0, 1.0, len(gateway)))).astype(np.int64)
    )
    change = np.zeros((SIZE, windows + 1), np.int64)
    np.add.at(change, (gateway, first), 1)
    np.add.at(change, (gateway, last), -1)
    return np.asarray(np.cumsum(change, axis=1)[:, :windows] > 0)


def _arrival(cut: Bool) -> Int64:
    """The first window from each one on in which the link is there; NEVER if it does not come back."""
    windows = cut.shape[1]
    free = np.where(cut, NEVER, np.arange(windows))
    return np.asarray(np.minimum.accumulate(free[:, ::-1], axis=1)[:, ::-1], np.int64)


def _edges(down: Bool) -> Bool:
    return np.asarray(down & ~np.concatenate((np.zeros((SIZE, 1), np.bool_), down[:, :-1]), axis=1))
