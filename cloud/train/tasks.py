"""What can be trained: a task is how its data is read, what network learns it, and what is written down after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from cloud.anomaly.goods import looks_good_only
from cloud.boxes.find import is_boxed
from cloud.train import anomaly, anomaly_run, classify, detect, detect_run
from cloud.train.loop import Epoch, Settings
from cloud.train.nets import NetConfig
from cloud.train.request import Outcome, Prepared, Request
from cloud.train.weights import read_weights
from models.errors import UsageError
from models.manifest import Task


@dataclass(frozen=True, slots=True)
class Teaching:
    """`prepare` reads the data of a request; `make_net` an untrained network for labels; `write_run` exports the
    trained one into a draft of a run folder, measured. `net` and `settings` are what suits the task when nothing else
    is asked for, as does an input whose short side is `short_side` pixels."""

    prepare: Callable[[Request], Prepared]
    make_net: Callable[[Sequence[str], NetConfig], nn.Module]
    write_run: Callable[[Path, Request, nn.Module, Any, Sequence[Epoch]], Outcome]
    net: NetConfig
    settings: Settings
    short_side: int


TASKS: dict[Task, Teaching] = {
    "classification": Teaching(
        classify.prepare, classify.make_net, classify.write_run, NetConfig(), Settings(), classify.SHORT_SIDE
    ),
    "detection": Teaching(
        detect.prepare, detect.make_net, detect_run.write_run, detect.NET, detect.SETTINGS, detect.SHORT_SIDE
    ),
    "anomaly": Teaching(
        anomaly.prepare, anomaly.make_net, anomaly_run.write_run, anomaly.NET, anomaly.SETTINGS, anomaly.SHORT_SIDE
    ),
}


def task_of(data: Path) -> Task:
    """What a folder's layout asks for, where nobody says."""
    if is_boxed(data):
        return "detection"
    return "anomaly" if looks_good_only(data) else "classification"


def load_net(run: Path) -> nn.Module:
    """The trained network of a run folder, in eval mode; DataError where there is no weights.pt."""
    weights = read_weights(run)
    net = TASKS[weights.task].make_net(weights.labels, NetConfig(**weights.net))  # type: ignore[index]
    net.load_state_dict(weights.state)
    return net.eval()


def config_of(net: dict[str, Any]) -> NetConfig:
    """The configuration that weights were saved with; UsageError when it is another version's."""
    unknown = set(net) - {field.name for field in fields(NetConfig)}
    if unknown:
        raise UsageError(f"the weights are of a network with {', '.join(sorted(unknown))}, which this tidegate lacks")
    return NetConfig(**net)
