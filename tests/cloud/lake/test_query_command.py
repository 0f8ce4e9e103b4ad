"""`tidegate query`."""

import csv
import io
import json
import shlex
from pathlib import Path

import pytest

from cloud.commands.query import EXAMPLES
from cloud.lake.delta import DeltaSink, create_lake
from tests.cloud.lake.results import AT, event, frame, frames_run, health, run_of
from tidegate import main


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEGATE_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("COLUMNS", "100")
    create_lake(tmp_path / "lake")
    return tmp_path / "lake"


def test_people_see_a_table(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([frames_run(1, 5)], at=AT)

    assert main(["query", "SELECT label, count(*) AS n FROM results GROUP BY label ORDER BY label"]) == 0

    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines() if "good" in line or "defect" in line] == [
        ["│", "defect", "│", "2", "│"],
        ["│", "good", "│", "4", "│"],
    ]


def test_rows_too_wide_for_the_screen_are_shown_one_below_the_other(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DeltaSink(lake).commit([run_of([health()])], at=AT)

    assert main(["query", "SELECT * FROM health"]) == 0

    shown = capsys.readouterr().out
    assert "frames_inferred" in shown
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_a_long_cell_is_folded_where_the_others_fit(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", f"SELECT 'front-door' AS camera, '{'0123456789' * 12}' AS uri FROM range(2)"]) == 0

    shown = capsys.readouterr().out
    assert shown.count("camera") == 1, "one table, not one a row"
    assert "".join(character for character in shown if character.isdigit()) == "0123456789" * 24, "whole"
    assert max(len(line) for line in shown.splitlines()) <= 100


def test_programs_get_json(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([run_of([frame(1), health(class_mix={"good": 2, "défaut": 1})])], at=AT)

    assert main(["query", "SELECT *, 'nan'::DOUBLE AS nan FROM health", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["reported_at"] == "2026-11-18T11:06:40"
    assert row["class_mix"] == {"good": 2, "défaut": 1}
    assert row["nan"] is None

    assert main(["query", "SELECT detections, sum(seq) AS s, 1 AS s FROM frames GROUP BY ALL", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert [found["label"] for found in row["detections"]] == ["good"]
    assert (row["s"], row["s_1"]) == (1, 1)


def test_programs_get_csv(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([run_of([frame(2, camera='a "quoted", camera')])], at=AT)

    assert main(["query", "SELECT seq, camera, detections, NULL AS nothing FROM frames", "--csv"]) == 0

    head, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["seq", "camera", "detections", "nothing"]
    assert (row[0], row[1], row[3]) == ("1", 'a "quoted", camera', "")
    assert len(json.loads(row[2])) == 2


@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_an_empty_lake_answers(lake: Path, capsys: pytest.CaptureFixture[str], form: str | None) -> None:
    assert main(["query", "SELECT gateway, seq FROM frames", *([form] if form else [])]) == 0

    out = capsys.readouterr().out
    assert out == "[]\n" if form == "--json" else "gateway" in out


def test_what_a_gateway_wrote_does_not_steer_the_terminal(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([run_of([frame(1, camera="\x1b]0;owned\x07[red]\r\n")])], at=AT)

    assert main(["query", "SELECT camera FROM frames"]) == 0

    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\r"} & set(shown)
    assert "[red]" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["SELEC 1"], 1, "syntax error"),
        (["SELECT nope FROM frames"], 1, 'Referenced column "nope" not found'),
        (["SELECT 1", "--lake", "/nowhere"], 1, "/nowhere is not a lake"),
        (["SELECT 1", "--lake", ""], 2, "TIDEGATE_LAKE"),
        ([" "], 2, "the SQL is empty"),
    ],
)
def test_mistakes_are_one_line(
    lake: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    assert main(["query", *arguments]) == code

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err


def test_the_examples_work(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([run_of([frame(1), frame(2), health(), event(2)])], at=AT)
    commands = [shlex.split(line) for line in EXAMPLES.splitlines() if line.startswith("  tidegate query")]
    assert len(commands) == 3

    for command in commands:
        assert main(command[1:]) == 0
    assert "zone" in capsys.readouterr().out
