"""The operator in a scenario: runs the product's own commands, one after the other, and notes how they ended."""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.durable import write_atomic
from models.errors import TidegateError
from simulator import processes
from simulator.light.findings import Command

log = logging.getLogger(__name__)

_PATIENCE_S = 300.0  # for what takes seconds
_LOOK_S = 0.1


class Operator:
    """Runs `tidegate` in processes of its own, with `environment` saying where the cloud is; what they print is kept in
    `folder`. `clock`: seconds since the scenario began."""

    def __init__(self, folder: Path, environment: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.commands: list[Command] = []
        self._folder, self._environment, self._clock = folder, environment, clock
        self._leaves = False
        self._number = 0

    def prepare(self, *words: str) -> Any:
        """Run a command that prints JSON, and is no part of the story: the document. TidegateError if it fails."""
        code, out, said = self._run(words, _PATIENCE_S, leaves=lambda: False)
        if code != 0:
            raise TidegateError(f"`tidegate {words[0]}` ended with exit code {code}: {said}")
        return json.loads(out)

    def run(self, *words: str, patience_s: float = _PATIENCE_S) -> int | None:
        """Run a command as a part of the story, and note how it ended; its exit code, None if it was stopped."""
        if self._leaves:
            return None
        at_s = self._clock()
        code, _, said = self._run(words, patience_s, leaves=lambda: self._leaves)
        shown = f"tidegate {' '.join(words)}".replace(f"{self._folder.parent}/", "")
        self.commands.append(Command(at_s, shown, self._clock() - at_s, code, said))
        log.info("%s: exit code %s: %s", shown, code, said)
        return code

    def leave(self) -> None:
        """Stop what runs of the story, and start nothing more of it."""
        self._leaves = True

    def _run(
        self, words: Sequence[str], patience_s: float, *, leaves: Callable[[], bool]
    ) -> tuple[int | None, str, str]:
        """Exit code, what was printed, and the last line that says something."""
        self._number += 1
        out = self._folder / f"{self._number:02d}-{words[0]}.out"
        err = out.with_suffix(".log")
        write_atomic(err, f"$ tidegate {' '.join(words)}\n".encode())
        command = [sys.executable, "-m", "tidegate", *words]
        process = processes.start(command, log=err, environment={**self._environment, "COLUMNS": "200"}, output=out)
        deadline = time.monotonic() + patience_s
        while process.poll() is None:
            if leaves() or time.monotonic() > deadline:
                processes.stop(process)
                return None, "", "not at its end"
            time.sleep(_LOOK_S)
        printed = out.read_text(errors="replace")
        complaint = err.read_text(errors="replace").partition("\n")[2]
        told = complaint if process.returncode != 0 and complaint.strip() else printed
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        return process.returncode, printed, lines[-1] if lines else ""
