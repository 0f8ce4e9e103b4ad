"""Waiting for everything to arrive, and then counting it: what was shown, recorded, and landed in the lake."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from cloud.lake.lake import Lake
from edge.spool import COMMIT_S
from simulator.demo.count import Count, LakeFrame, count_frames, lost_at_swaps, releases_in_order
from simulator.demo.findings import Span
from simulator.demo.world import World

_FRAMES = """
SELECT gateway, stream, seq, camera, frame, release, epoch_us(captured_at) AS at_us,
       list_transform(detections, lambda d: d.label) AS labels
FROM frames ORDER BY gateway, captured_at
"""


Identity = tuple[str, str, int]  # gateway, stream, seq


@dataclass(frozen=True, slots=True)
class Landed:
    """A row of the lake with what the count does not need but the report does."""

    gateway: str
    row: LakeFrame
    at_us: int
    labels: tuple[str, ...]


def landed(world: World) -> list[Landed]:
    """All rows of the lake's table of frames, by gateway and capture time."""
    table = Lake(world.cloud.lake).query(_FRAMES).to_pylist()
    return [
        Landed(
            row["gateway"],
            LakeFrame(row["stream"], row["seq"], row["camera"], row["frame"], row["release"]),
            row["at_us"],
            tuple(row["labels"]),
        )
        for row in table
    ]


def settle(world: World) -> None:
    """No more pictures; then until the lake holds what the witness saw recorded, or a minute has passed."""
    if world.options.video is None:
        for camera in world.cameras.cameras.values():
            camera.close()
        # what was shown last is on its way through model and spool, and may not be recorded yet
        world.pass_time("the last frames are recorded", 2 * COMMIT_S)
    world.wait("until the lake holds all that was recorded", lambda: arrived(world, recorded(world)), timeout_s=60)
    world.findings.health = Lake(world.cloud.lake).health()
    world.fleet.close()
    world.tap.close()
    world.findings.traffic = dict(world.tap.traffic)


def recorded(world: World) -> set[Identity]:
    """Every frame recorded so far."""
    return {(name, row.stream, row.seq) for name in world.fleet.gateways for row in world.fleet.recorded(name)}


def arrived(world: World, wanted: set[Identity]) -> float:
    """The part of `wanted` that is in the lake."""
    rows = Lake(world.cloud.lake).query("SELECT gateway, stream, seq FROM frames").to_pylist()
    there = {(row["gateway"], row["stream"], row["seq"]) for row in rows}
    return len(wanted & there) / len(wanted) if wanted else 0.0


def count(world: World, killed: str) -> None:
    """Count frames from end to end and judge the claims that rest on it."""
    findings = world.findings
    rows = landed(world)
    for gateway in world.fleet.gateways:
        mine = [item.row for item in rows if item.gateway == gateway]
        counted = count_frames(
            gateway,
            shown=_shown(world, gateway),
            recorded=world.fleet.recorded(gateway),
            lake=mine,
            kills=1 if gateway == killed else 0,
        )
        findings.counts.append(counted)
        findings.lost_at_swaps[gateway] = lost_at_swaps(mine)
        findings.releases_ran[gateway] = releases_in_order(mine)
    findings.spans = list(_spans(rows, findings.started_at))
    findings.labels_seen = dict(Counter(label for item in rows for label in item.labels).most_common(12))
    if world.options.video is None:
        findings.accuracy_by_release = _accuracy(world, rows)
    _judge(world, findings.counts, killed)


def _judge(world: World, counts: list[Count], killed: str) -> None:
    claims = world.findings.claims
    recorded = sum(counted.recorded for counted in counts)
    lost = sum(counted.lost for counted in counts)
    twice = sum(counted.twice for counted in counts)
    claims.judge("recorded and not in the lake: 0", recorded > 0 and lost == 0, f"{lost} of {recorded} frames")
    claims.judge("in the lake twice: 0", twice == 0, f"{twice} of {sum(counted.in_lake for counted in counts)} rows")
    unknown = sum(counted.unknown for counted in counts)
    claims.judge("in the lake and never recorded: 0", unknown == 0, f"{unknown} rows")
    if world.options.video is not None:
        missing = sum(counted.down + counted.skipped for counted in counts)
        shown = sum(counted.shown for counted in counts)
        # a process opens streams of its own: fewer than two, and the file was over before the kill
        lives = len({row.stream for row in world.fleet.recorded(killed)})
        claims.judge(
            "every frame of the file, a SIGKILL in the middle included",
            missing == 0 and recorded == shown and lives > 1,
            f"{recorded} recorded of {shown} ({len(counts)} gateways), {missing} missing; {killed} recorded in "
            f"{lives} streams",
        )


def _shown(world: World, gateway: str) -> range:
    """Numbers of the frames that this gateway's camera showed, from the first that it recorded on."""
    if world.options.video is not None:
        return range(frames_in(str(world.options.video)))
    first = min((row.frame for row in world.fleet.recorded(gateway)), default=0)
    return range(first, world.cameras.cameras[gateway].number + 1)


def frames_in(video: str) -> int:
    """How many frames a file really has, by decoding it: what its header says is a guess."""
    capture = cv2.VideoCapture(video)
    try:
        return sum(1 for _ in iter(capture.grab, False))
    finally:
        capture.release()


def _spans(rows: list[Landed], started_at: float) -> Iterator[Span]:
    open_: Span | None = None
    for item in rows:
        at_s = item.at_us / 1e6 - started_at
        # a hole of more than two seconds is a process that was down, and shows as a hole
        if (
            open_ is None
            or (item.gateway, item.row.release) != (open_.gateway, open_.release)
            or at_s > open_.end_s + 2
        ):
            if open_ is not None:
                yield open_
            open_ = Span(item.gateway, item.row.release, at_s, at_s)
        open_ = Span(open_.gateway, open_.release, open_.start_s, at_s)
    if open_ is not None:
        yield open_


def _accuracy(world: World, rows: list[Landed]) -> dict[int, float]:
    """By release: the part of frames whose class is what the scene really, and clearly, showed."""
    right: Counter[int] = Counter()
    total: Counter[int] = Counter()
    for item in rows:
        truth = world.cameras.cameras[item.gateway].scene.truth(item.row.frame)
        if not truth.clear:
            continue
        total[item.row.release] += 1
        right[item.row.release] += item.labels[:1] == (truth.label,)
    return {release: right[release] / total[release] for release in sorted(total)}
