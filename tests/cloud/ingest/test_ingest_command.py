"""`tidegate ingest`, as far as it goes without a broker. With one: test_kill.py."""

from pathlib import Path

import pytest

from cloud.commands.ingest import parse_shards
from models.errors import UsageError
from tidegate import main


@pytest.mark.parametrize(
    ("text", "shards"),
    [("0-63", list(range(64))), ("5", [5]), ("0-2,40,1-3", [0, 1, 2, 3, 40]), (" 7 , 9 ", [7, 9])],
)
def test_shards_are_ranges_and_numbers(text: str, shards: list[int]) -> None:
    assert parse_shards(text) == shards


@pytest.mark.parametrize("text", ["", "a", "0-64", "64", "5-2", "-1", "1-", "0,,1", "0-5-9"])
def test_what_are_no_shards_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shards must be like 0-31"):
        parse_shards(text)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "no lake given"),
        (["--lake", "LAKE"], 2, "no broker given"),
        (["--lake", "LAKE", "--broker", "nowhere"], 2, "--broker must be HOST:PORT, got 'nowhere'"),
        (["--lake", "LAKE", "--broker", "localhost:99999"], 2, "--broker must be HOST:PORT"),
        (["--lake", "LAKE", "--broker", "example.com:8883"], 2, "needs TLS"),
        (["--lake", "LAKE", "--broker", "localhost:1", "--key", "x.pem"], 2, "certificate and key go together"),
        (["--lake", "LAKE", "--broker", "localhost:1", "--commit-s", "0"], 2, "--commit-s must be in 0.05..60, got 0"),
        (["--lake", "LAKE", "--broker", "localhost:1", "--commit-s", "nan"], 2, "--commit-s must be in 0.05..60"),
        (["--lake", "LAKE", "--broker", "localhost:1", "--shards", "64"], 2, "--shards must be like"),
        (["--lake", "LAKE", "--broker", "example.com:8883", "--ca", "missing.pem"], 2, "missing.pem"),
        (["--lake", "FILE", "--broker", "localhost:1"], 1, "cannot be made"),
        (["--lake", "LAKE", "--broker", "localhost:1", "--pictures", "ftp://x"], 1, "expected s3://BUCKET/PREFIX"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    for name in ("LAKE", "BROKER", "BROKER_CA", "BROKER_CERTIFICATE", "BROKER_KEY", "PICTURES"):
        monkeypatch.delenv(f"TIDEGATE_{name}", raising=False)
    (tmp_path / "file").write_text("not a folder")
    places = {"LAKE": str(tmp_path / "lake"), "FILE": str(tmp_path / "file")}

    assert main(["ingest", *(places.get(word, word) for word in arguments)]) == code

    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
