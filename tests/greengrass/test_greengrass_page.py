"""docs/greengrass.md names commands and options that there are, and what devices say."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

import tidegate
from greengrass.runtime.wheelhouse import HERE, PYTHONS

PAGE = (Path(tidegate.__file__).parent / "docs" / "greengrass.md").read_text()


def commands() -> list[str]:
    """Each line of the page's shell blocks, or code in its text, that calls tidegate."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)).replace("\\\n", "")
    lines = [line for line in blocks.splitlines() if line.startswith("tidegate ")]
    return lines + re.findall(r"`(tidegate deploy --[^`]*)`", PAGE)


@pytest.mark.parametrize("line", commands())
def test_what_the_page_calls_can_be_called(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(tidegate.COMMANDS[name][0]).arguments(parser)

    parser.parse_args(words)


def test_there_is_something_to_try() -> None:
    assert len(commands()) > 8


@pytest.mark.parametrize(
    "said",
    [
        "has wheels for Python",
        "of 32 bit",
        "apt install python3-venv",
        "pip could not install",
        "of the disk of",
    ],
)
def test_what_the_page_explains_is_what_the_script_says(said: str) -> None:
    assert said in PAGE
    assert said in (HERE / "setup.sh").read_text()


def test_the_page_names_every_python() -> None:
    assert f"Python {', '.join(PYTHONS[:-1])} or {PYTHONS[-1]}" in PAGE
