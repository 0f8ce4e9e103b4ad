"""`tidegate gateway install`: the gateway as a systemd service that starts with the machine."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from edge.config_file import read_config
from edge.service import STATE, UNIT, UNITS, USER, USERS, check, devices, secrets, unit, users
from models.durable import write_atomic
from models.errors import TidegateError, UsageError
from models.topics import check_gateway


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="gateway.toml; paths in it start where it is"
    )
    parser.add_argument("--name", help="the gateway's name (default: this machine's)")
    parser.add_argument("--no-start", action="store_true", help="leave starting it to the next boot, or to you")
    parser.add_argument("--dry-run", action="store_true", help="print what would be written and done")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("/"),
        metavar="FOLDER",
        help="write below it, and do nothing else",
    )


def run(args: argparse.Namespace) -> int:
    """0: installed; else nothing is half done that calling it again would not mend."""
    config_file = args.config.absolute()
    config = read_config(config_file)
    program = Path(sys.executable).parent / "tidegate"
    check(config, config_file, [program, Path(sys.executable).resolve()])
    command = [str(program), "gateway", "run", "--config", str(config_file), "--state", str(STATE), "--keep-running"]
    command += ["--name", check_gateway(args.name)] if args.name else []
    files = {
        UNITS / UNIT: unit(command, folder=config_file.parent, devices=devices(config)),
        USERS: users(),
    }
    steps = _steps(secrets(config, config_file), start=not args.no_start)
    if args.dry_run:
        _show(files, steps)
        return 0
    elsewhere = args.root != Path("/")
    if not elsewhere and os.geteuid() != 0:
        raise UsageError("a service is installed by root: call it with sudo (or look at --dry-run)")
    for path, text in files.items():
        write_atomic(args.root / path.relative_to("/"), text.encode())
        print(f"wrote {args.root / path.relative_to('/')}")
    if not elsewhere:
        for step in steps:
            _do(step)
    print(f"`systemctl status {UNIT}` and `sudo tidegate gateway status` say how it is")
    return 0


def _steps(private: list[Path], *, start: bool) -> list[list[str]]:
    """What makes files a service. The user comes first, for the files that are his."""
    return [
        ["systemd-sysusers", str(USERS)],
        *(["chgrp", USER, str(path)] for path in private),
        *(["chmod", "0640", str(path)] for path in private),
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", UNIT],
        *([["systemctl", "restart", UNIT]] if start else []),
    ]


def _show(files: dict[Path, str], steps: list[list[str]]) -> None:
    for path, text in files.items():
        print(f"# {path}\n{text}")
    print("# then\n" + "\n".join(map(shlex.join, steps)))


def _do(step: list[str]) -> None:
    try:
        subprocess.run(step, check=True, capture_output=True, text=True)
    except FileNotFoundError as exc:
        raise TidegateError(f"{step[0]} is not here: a service needs systemd; else use `tidegate gateway run`") from exc
    except subprocess.CalledProcessError as exc:
        said = exc.stderr.strip().splitlines()
        raise TidegateError(f"`{shlex.join(step)}` failed: {said[-1] if said else exc.returncode}") from exc
