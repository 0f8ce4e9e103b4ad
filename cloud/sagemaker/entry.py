"""What runs in the container of a training job: SageMaker's folders in, `tidegate train`, SageMaker's folders out.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from cloud.sagemaker.hyperparameters import to_words
from models.errors import TidegateError, UsageError

PREFIX = "TIDEGATE_SAGEMAKER_PREFIX"  # in place of /opt/ml, to try it elsewhere
TRAINING, VALIDATION, TEACHER, PARENT = "training", "validation", "teacher", "parent"  # channels
_MAX_REASON = 1024  # SageMaker shows no more


def main() -> int:
    """Run the job; exit code 0 with the run folder in model/, or 1 with the reason in output/failure."""
    signal.signal(signal.SIGTERM, _stop)  # the first process of a container would ignore it
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    place = Path(os.environ.get(PREFIX, "/opt/ml"))
    try:
        run_job(place)
    except TidegateError as exc:
        return _failed(place, str(exc))
    except Exception as exc:  # an entry point: whoever began the job has nothing but this to read
        traceback.print_exc()
        return _failed(place, f"{type(exc).__name__}: {exc}")
    return 0


def run_job(place: Path) -> None:
    """Train as input/config/hyperparameters.json says on what the channels hold, and leave the run folder in model/.

    The training's state is in checkpoints/: a job that begins anew on another machine goes on from there.
    """
    from cloud.commands import train

    parser = _Parser()
    train.arguments(parser)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        code = train.run(parser.parse_args([*words_of(place), "--out", str(out)]))
        if code != 0:
            raise TidegateError(f"training ended with code {code}; see the job's log")
        shutil.copytree(out, place / "model", dirs_exist_ok=True)


def words_of(place: Path) -> list[str]:
    """The command line of the job in SageMaker's folders."""
    file = place / "input" / "config" / "hyperparameters.json"
    try:
        hyperparameters = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise UsageError(f"{file} cannot be read: {exc}; SageMaker writes it for a training job") from exc
    channels = place / "input" / "data"
    checkpoint = place / "checkpoints" / "training.checkpoint"
    words = ["--threads", str(len(os.sched_getaffinity(0))), *to_words(hyperparameters)]
    words += ["--checkpoint", str(checkpoint), "--data", str(channels / TRAINING)]
    for channel, flag in ((VALIDATION, "--val"), (TEACHER, "--teacher"), (PARENT, "--from")):
        if (channels / channel).is_dir():
            words += [flag, str(_only(channels / channel))]
    return words


def _only(channel: Path) -> Path:
    """A channel that was made of one file is that file."""
    inside = list(channel.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_file() else channel


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"a hyperparameter is wrong: {message}")


def _failed(place: Path, reason: str) -> int:
    print(reason, file=sys.stderr)
    (place / "output").mkdir(parents=True, exist_ok=True)
    (place / "output" / "failure").write_text(reason[:_MAX_REASON])
    return 1


def _stop(*_: object) -> NoReturn:
    sys.exit(143)  # the machine is wanted back: drafts vanish, the checkpoint of the last epoch stays


if __name__ == "__main__":
    sys.exit(main())
