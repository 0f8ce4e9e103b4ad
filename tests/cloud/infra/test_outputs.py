"""What a deployed stack says becomes what the other commands read."""

import json
from pathlib import Path

import pytest

from tidegate import main

OUTPUTS = {
    "tidegate": {
        "TidegateLake": "s3://lake-1/lake",
        "TidegateRoleAlias": "tide gate's",
        "ExportsOutputRefSomething": "CDK's own",
    }
}


def test_outputs_become_variables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(OUTPUTS))

    assert main(["infra", "env", str(file)]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "export TIDEGATE_LAKE=s3://lake-1/lake",
        "export TIDEGATE_ROLE_ALIAS='tide gate'\"'\"'s'",
    ]
    assert main(["infra", "env", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["TIDEGATE_LAKE"] == "s3://lake-1/lake"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        ("", "not what `cdk deploy --outputs-file` writes"),
        ("[]", "not what `cdk deploy --outputs-file` writes"),
        ('{"tidegate": 7}', "not what `cdk deploy --outputs-file` writes"),
        ('{"other": {"Url": "x"}}', "no outputs of ours"),
    ],
)
def test_what_is_not_outputs(content: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "outputs.json"
    if content is not None:
        file.write_text(content)

    assert main(["infra", "env", str(file)]) == 2

    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--name", "Tide Gate"], "--name must be 2..32 of a-z 0-9 -"),
        (["--shards", "0"], "--shards must be in 1..64, got 0"),
        (["--gather-s", "301"], "--gather-s must be in 0..300 s"),
        (["--email", "me"], "--email must be an address"),
        (["--architecture", "armv7l"], "--architecture must be x86_64 or arm64, got 'armv7l'"),
    ],
)
def test_what_cannot_be_made(flags: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infra", "synth", *flags]) == 2

    assert why in capsys.readouterr().err


def test_a_node_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JSII_NODE", str(tmp_path / "node"))

    assert main(["infra", "synth", "--out", str(tmp_path / "out")]) == 2

    assert "which cannot be run" in capsys.readouterr().err


def test_a_place_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()

    assert main(["infra", "synth", "--out", str(file)]) == 2
    assert main(["infra", "synth", "--out", "/proc/tidegate"]) == 2

    assert capsys.readouterr().err.count("cannot be made") == 2
