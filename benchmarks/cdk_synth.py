"""Seconds until the AWS stack is written as a template, without network, by a process as `make infra` starts it.

It counts only where cfn-lint finds no error in the template and nobody in it may write to everything.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bar import Bar, report
from cloud.infra.least_privilege import wide_writes

_NO_NETWORK = ("unshare", "--map-root-user", "--net")


def main() -> int:
    # a user's own namespace is not allowed everywhere; CDK asks for nothing either way
    offline = shutil.which("unshare") and subprocess.run([*_NO_NETWORK, "true"], capture_output=True).returncode == 0
    command = [sys.executable, "-m", "tidegate", "infra", "synth", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        ran = subprocess.run(
            [*(_NO_NETWORK if offline else ()), *command, folder], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - begun
        if ran.returncode:
            sys.exit(ran.stderr.strip() or f"synth ended with {ran.returncode}")
        template = Path(folder) / "tidegate.template.json"
        document = json.loads(template.read_text())
        errors = _errors(template)
    if errors or (wide := wide_writes(document)):
        sys.exit("; ".join(errors or wide))
    roles = sum(item["Type"] == "AWS::IAM::Role" for item in document["Resources"].values())
    measured = (
        f"{len(document['Resources'])} resources, {roles} roles, "
        f"{'in a namespace without network' if offline else 'network not taken away'}; "
        f"cfn-lint: 0 errors; writes on `*`: 0"
    )
    return report(Bar("CDK synth", seconds, 60, "lower", "s", measured))


def _errors(template: Path) -> list[str]:
    from cfnlint.api import lint_file

    return [str(found) for found in lint_file(template) if found.rule.id.startswith("E")]


if __name__ == "__main__":
    sys.exit(main())
