"""Health as columns says what health as rows says."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from cloud.lake.delta import DeltaSink, create_lake
from cloud.lake.lake import Lake
from cloud.rollout.windows import COLUMNS, windows_of_reports
from models.health import Challenge
from tests.cloud.lake.results import AT, CAPTURED_US, health, run_of

HEALTH = replace(
    health(),
    model="cups",
    release=3,
    digest="ab",
    class_mix={"cup": 3, "mug": 1},
    score_histogram=(0, 0, 0, 0, 0, 1, 0, 0, 3, 0),
    detections=4,
)
DUEL = Challenge("cups", 4, "cd", 10, 8, 20, 22, 21, 0.9, (0,) * 9 + (22,), (0,) * 9 + (21,), 12.5)


def test_columns_and_rows_say_the_same(tmp_path: Path) -> None:
    said = [
        HEALTH,
        replace(HEALTH, camera_state="dark", class_mix={}, detections=0, failed_release="cups@4: broken"),
        replace(HEALTH, challenge=DUEL, class_mix={"jug": 7}),
        replace(HEALTH, model="hats", challenge=replace(DUEL, model="hats")),
    ]
    create_lake(tmp_path / "lake")
    DeltaSink(tmp_path / "lake").commit(
        [run_of([replace(row, at_us=CAPTURED_US + k) for k, row in enumerate(said)])], at=AT
    )
    lake = Lake(tmp_path / "lake")
    columns, rows = lake.windows("cups"), windows_of_reports(lake.health(), model="cups")
    order, of_rows = np.argsort(columns.at_us), np.argsort(rows.at_us)
    for name in COLUMNS:
        ours, theirs = getattr(columns, name)[order], getattr(rows, name)[of_rows]
        if name == "mix":
            theirs = theirs[:, [rows.labels.index(label) for label in columns.labels]]
        if name in ("gateway", "digest", "failed"):
            names = {"gateway": "gateways", "digest": "digests", "failed": "failures"}[name]
            ours = [getattr(columns, names)[number] for number in ours]
            theirs = [getattr(rows, names)[number] for number in theirs]
        assert np.array_equal(ours, theirs), name
    assert {field.name for field in fields(columns)} >= {"gateways", "labels"}
    assert len(lake.windows("cups", CAPTURED_US + 3)) == 1
    assert len(lake.windows("cups", CAPTURED_US + 9)) == 0
