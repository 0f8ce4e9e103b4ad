"""The `tidegate` command. Each subcommand is a module with `arguments(parser)` and `run(args) -> exit code`,
imported only when it is called."""

import argparse
import errno
import importlib
import logging
import os
import sys

from models.errors import TidegateError

COMMANDS = {
    "demo": ("simulator.commands.demo", "run the whole loop on this machine and report on it"),
    "simulate": ("simulator.commands.simulate", "run a scenario: thousands of gateways, and what goes wrong"),
    "up": ("simulator.commands.up", "start a local cloud: broker, object store, control plane, ingest"),
    "train": ("cloud.commands.train", "train a model on a folder of images"),
    "search": ("cloud.commands.search", "try many models side by side and keep the best"),
    "import": ("cloud.commands.import_", "turn a foreign ONNX file into a canonical model"),
    "compress": ("cloud.commands.compress", "make an int8 variant and let the gate judge it"),
    "evaluate": ("cloud.commands.evaluate", "measure a model's accuracy on labelled images"),
    "release": ("cloud.commands.release", "sign a model and publish it in the registry"),
    "models": ("cloud.commands.models", "list, show and compare models and releases"),
    "component": ("greengrass.commands.component", "build Greengrass components"),
    "deploy": ("greengrass.commands.deploy", "register components and deploy them to a fleet"),
    "provision": ("greengrass.commands.provision", "give devices their identity in AWS IoT, and renew it"),
    "gateway": ("edge.commands.gateway", "run a gateway on this machine"),
    "rollout": ("cloud.commands.rollout", "roll a release out ring by ring, watching how it behaves"),
    "ingest": ("cloud.commands.ingest", "commit gateways' results to the lake"),
    "infra": ("cloud.commands.infra", "write the AWS infrastructure as a template, without network"),
    "query": ("cloud.commands.query", "run SQL over the lake"),
    "disagreements": ("cloud.commands.disagreements", "lay out pictures on which two models differ, for labelling"),
}

# what to install where a command misses a package: pip install "tidegate[...]"
_EXTRAS = {
    "demo": "cloud,edge,simulator,train",
    "simulate": "cloud,edge,simulator",
    "up": "cloud,edge,simulator",
    "train": "cloud,train",
    "search": "cloud,train",
    "gateway": "edge",
    "infra": "cloud,infra",
}
_OURS = ("benchmarks", "cloud", "edge", "greengrass", "models", "simulator")

# what no command can foresee, and its user can mend
_DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand. Exit code 0: done, 1: failed, 2: called wrongly."""
    if argv is not None:
        return _call(argv)
    code = _call(sys.argv[1:])
    if "edge.gateway" in sys.modules:  # one ran in this process, which was started for it
        importlib.import_module("edge.leaving").leave(code)
    return code


def _call(arguments: list[str]) -> int:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    parser = argparse.ArgumentParser(prog="tidegate", description="Edge-to-cloud inference for vision models.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module_name, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == called:
            try:
                module = importlib.import_module(module_name)
            except ModuleNotFoundError as exc:
                return _say_what_to_install(name, exc)
            module.arguments(command)
            command.set_defaults(call=module.run)
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where it found each setting
    try:
        return int(args.call(args))
    except TidegateError as exc:
        print(f"tidegate {args.command}: {exc}", file=sys.stderr)
        return exc.exit_code
    except ModuleNotFoundError as exc:
        return _say_what_to_install(args.command, exc)
    except BrokenPipeError:
        # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as exc:
        if exc.errno not in _DISK_TROUBLE:
            raise
        where = f" ({exc.filename})" if exc.filename else ""
        print(
            f"tidegate {args.command}: {exc.strerror}{where}; make room there or choose another folder", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print(f"tidegate {args.command}: interrupted", file=sys.stderr)
        return 130


def _say_what_to_install(command: str, missing: ModuleNotFoundError) -> int:
    package = (missing.name or "").partition(".")[0]
    if package in _OURS or not package:
        raise missing
    extras = _EXTRAS.get(command, "cloud")
    print(
        f"tidegate {command}: {package} is not installed; install what this command needs: "
        f'pip install "tidegate[{extras}]"',
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
