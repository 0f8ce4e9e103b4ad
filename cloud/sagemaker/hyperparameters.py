"""The flags of `tidegate train` as a job's hyperparameters and back: strings by name, so that SageMaker's console shows
them and its own tuning can vary them."""

import argparse
from collections.abc import Mapping

# what holds for the machine that the command was called on, not for the training; --from and --teacher are channels
_HERE = {
    *("command", "call", "data", "val", "out", "force", "fresh", "json", "checkpoint", "threads", "parent", "registry"),
    *("teacher", "sagemaker", "role", "image", "instance_type", "s3", "spot", "hours", "job", "wait"),
}


def to_hyperparameters(args: argparse.Namespace) -> dict[str, str]:
    """Every flag that the result depends on, by its name without dashes in front; a switch that is on is "true"."""
    return {
        name.replace("_", "-"): _text(value)
        for name, value in vars(args).items()
        if name not in _HERE and value is not None and value is not False
    }


def to_words(hyperparameters: Mapping[str, str]) -> list[str]:
    """The same as words of a command line."""
    words = []
    for name, value in sorted(hyperparameters.items()):
        if name.startswith(("_", "sagemaker_")):
            continue  # SageMaker's own, such as _tuning_objective_metric
        words.append(f"--{name}")
        if value != "true":
            words.append(value.strip('"'))  # its Python SDK sends JSON
    return words


def _text(value: object) -> str:
    if value is True:
        return "true"
    if isinstance(value, tuple):
        return "x".join(map(str, value))  # --size HEIGHTxWIDTH
    return str(value)
