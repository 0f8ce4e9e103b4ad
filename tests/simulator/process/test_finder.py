"""The detector of parts that needs no training: what it sees on the belt, and what its flaws do."""

from pathlib import Path

import numpy as np

from models.golden import read_golden, replay
from models.manifest import read_manifest
from models.runner import open_runner
from simulator.process.finder import make_finder
from simulator.scenes import Conveyor


def overlap(one: np.ndarray, other: tuple[float, float, float, float]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


def test_it_finds_the_parts_and_where_they_are(tmp_path: Path) -> None:
    run = make_finder(tmp_path / "run")
    runner = open_runner(run, read_manifest(run))
    assert replay(read_golden(run), "fp32", runner) == []
    belt = Conveyor(seed=7)
    overlaps = []
    for number in range(0, 400, 5):
        shot = belt.frame(number)
        found = runner.run(shot.image)
        if shot.truth.clear and shot.truth.part >= 0:
            overlaps.append(overlap(found.xyxy[0], shot.truth.xyxy) if len(found) else 0.0)
        elif shot.truth.clear:
            assert len(found) <= 1  # a part's edge may be in view already
    assert len(overlaps) > 20
    assert np.mean(np.array(overlaps) > 0.6) > 0.9


def test_one_that_is_blind_says_nothing_and_notes_make_files_differ(tmp_path: Path) -> None:
    blind = make_finder(tmp_path / "blind", flaw="blind")
    runner = open_runner(blind, read_manifest(blind))
    belt = Conveyor(seed=7)
    assert sum(len(runner.run(belt.frame(number).image)) for number in range(0, 200, 10)) == 0
    digests = {read_manifest(make_finder(tmp_path / note, note=note)).variant().sha256 for note in ("a", "b")}
    assert len(digests) == 2
