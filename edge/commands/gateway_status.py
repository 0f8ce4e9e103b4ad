"""`tidegate gateway status`: how the gateway is that runs on this machine."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edge.status import Status, read_status
from edge.status_table import lines

# where a gateway keeps its state if nobody says otherwise: started by hand, as a service, as a component of nucleus
# lite, as one of the Java nucleus
USUAL = (
    Path("state"),
    Path("/var/lib/tidegate"),
    Path("/var/lib/greengrass/work/tidegate.Gateway/state"),
    Path("/greengrass/v2/work/tidegate.Gateway/state"),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", type=Path, metavar="FOLDER", help=f"its state folder (default: the first of {_listed(USUAL)})"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """0: it runs, and how it is was printed; 1: none runs."""
    folders = (args.state,) if args.state else USUAL
    status = _first(folders)
    if args.json:
        print(json.dumps({"running": status is not None} | (asdict(status) if status else {})))
    elif status is None:
        print(f"no gateway runs with its state in {_listed(folders)}; start one with `tidegate gateway run`")
    else:
        print(*lines(status), sep="\n")
    return 0 if status is not None else 1


def _first(folders: Sequence[Path]) -> Status | None:
    for folder in folders:
        status = read_status(folder)
        if status is not None:
            return status
    return None


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))
