"""What every bar prints: one JSON object with `bar`, `value`, `required`, `holds` and how it was measured."""

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Bar:
    """A measured `value` against what is `required`: `holds` if it is not on the wrong side of it."""

    bar: str
    value: float
    required: float
    better: Literal["lower", "higher"]
    unit: str
    measured: str

    @property
    def holds(self) -> bool:
        return self.value <= self.required if self.better == "lower" else self.value >= self.required

    def document(self) -> dict[str, object]:
        """As printed."""
        machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
        return {**asdict(self), "holds": self.holds, "machine": machine}


def report(bar: Bar) -> int:
    """Print a bar as JSON or for people; exit code 0 if it holds, else 1."""
    parser = argparse.ArgumentParser(description=bar.bar)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if parser.parse_known_args()[0].json:  # a bar may have flags of its own
        print(json.dumps(bar.document()))
    else:
        sign = "<=" if bar.better == "lower" else ">="
        verdict = "holds" if bar.holds else "FALLS SHORT"
        print(f"{bar.bar}: {bar.value:.4g} {bar.unit} (required {sign} {bar.required:g}): {verdict}\n  {bar.measured}")
    return 0 if bar.holds else 1
