"""The `tidegate` command: every subcommand has help and a line in the README, and errors are one line."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import tidegate

ROOT = Path(tidegate.__file__).parent


@pytest.mark.parametrize("name", tidegate.COMMANDS)
def test_each_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        tidegate.main([name, "--help"])
    assert left.value.code == 0
    assert tidegate.COMMANDS[name][1].split()[0].lower() in capsys.readouterr().out.lower()


@pytest.mark.parametrize("name", tidegate.COMMANDS)
def test_an_unknown_option_is_misuse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        tidegate.main([name, "--no-such-option"])
    assert left.value.code == 2
    assert "usage: tidegate" in capsys.readouterr().err


def test_the_readme_names_commands_that_there_are() -> None:
    readme = (ROOT / "README.md").read_text()
    code = "\n".join(re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL) + re.findall(r"`([^`\n]+)`", readme))
    commands = set(re.findall(r"^tidegate ([a-z]+)", code, flags=re.MULTILINE))
    assert len(commands) > 5
    assert commands <= set(tidegate.COMMANDS)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["train", "--data", "nowhere", "--name", "x", "--out", "out"], 1, "nowhere"),
        (
            ["import", "README.md", "--adapter", "yolox", "--labels", "README.md", "--name", "x", "--out", "o"],
            1,
            "ONNX",
        ),
        (["release", "nowhere", "--registry", "r", "--keys", "k"], 1, "nowhere"),
        (["evaluate", "nowhere", "--data", "nowhere"], 1, "nowhere"),
        (["deploy", "--components", "nowhere", "--artifacts", "s3://b/p"], 1, "nowhere"),
        (["gateway", "run", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (["demo", "--model", "nowhere"], 2, "--camera"),
        (["query", "SELECT 1", "--lake", "."], 1, "is not a lake"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(
    command: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "README.md").write_text("not a model\n")
    monkeypatch.chdir(tmp_path)
    assert tidegate.main(command) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_process_ends_with_the_same_line_and_code(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "tidegate.py"), "gateway", "run", "--config", "nowhere.toml"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2, ran.stderr
    assert "nowhere.toml" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_more_is_one_line_and_publishes_nothing(colour_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["release", str(colour_run), "--registry", str(out), "--keys", str(tmp_path / "keys")]
    # two kilobytes a file: as good as a full disk
    limited = f"ulimit -f 2; exec {shlex.join([sys.executable, str(ROOT / 'tidegate.py'), *words])}"
    ran = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "File too large" in ran.stderr
    # what makes a release one is written last
    assert not list(out.rglob("package.zip"))


@pytest.mark.parametrize(
    ("command", "package", "extras"),
    [("gateway", "numpy", "edge"), ("query", "duckdb", "cloud"), ("train", "torch", "cloud,train")],
)
def test_a_package_that_a_command_misses_is_named_with_what_to_install(command: str, package: str, extras: str) -> None:
    without = f"import sys; sys.modules[{package!r}] = None; import tidegate; sys.exit(tidegate.main([{command!r}]))"
    ran = subprocess.run([sys.executable, "-c", without], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    expected = f"tidegate {command}: {package} is not installed; install what this command needs: "
    assert ran.stderr == f'{expected}pip install "tidegate[{extras}]"\n'
