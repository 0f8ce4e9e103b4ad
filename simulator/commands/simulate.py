"""`tidegate simulate`: a fleet of thousands on this machine, and a report of what became of its results."""

import argparse
import json
import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live

from models.durable import write_atomic
from models.errors import UsageError
from simulator.light.findings import Now
from simulator.light.happenings import AT_ONCE, Fault, seconds
from simulator.light.plots import draw_all
from simulator.light.report import document, final_table, live_table, progress_line
from simulator.light.run import run_scenario
from simulator.light.scenario import Scenario, read_scenario, shipped
from simulator.process.run import run_processes

_MARK = ".tidegate-simulation"  # in a folder that may be emptied


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a TOML file, or one of those that ship with tidegate"
    )
    parser.add_argument("--list", action="store_true", help="show the scenarios that ship with tidegate")
    parser.add_argument("--out", type=Path, help="where lake, report and plots are left (default: out/SCENARIO)")
    parser.add_argument("--seed", type=int, help="of everything that is drawn (default: the scenario's)")
    parser.add_argument("--gateways", type=int, help="so many, instead of the scenario's")
    parser.add_argument("--duration", help="simulated, like 10m or 2h, instead of the scenario's")
    parser.add_argument("--speed", type=float, help="simulated seconds a second; 0: as fast as possible")
    parser.add_argument("--embedded-broker", action="store_true", help="use amqtt even where mosquitto is installed")
    parser.add_argument("--dry-run", action="store_true", help="check the scenario, and say what would happen")
    parser.add_argument("--json", action="store_true", help="print the report as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    if args.list or not args.scenario:
        for name in shipped():
            print(f"{name:15} {read_scenario(name).about}")
        if not args.list:
            raise UsageError("no scenario given: name one of these, or a TOML file")
        return 0
    scenario = _changed(read_scenario(args.scenario), args)
    seed = scenario.seed if args.seed is None else args.seed
    if args.dry_run:
        _explain(scenario, seed)
        return 0
    out = (args.out or Path("out") / scenario.name).resolve()
    _prepare(out)
    logging.basicConfig(
        filename=out / "simulate.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    # what a gateway says of its own link, a thousand gateways say a thousand times
    logging.getLogger("edge").setLevel(logging.ERROR)
    console = Console(file=sys.stderr if args.json else sys.stdout)
    broker = True if args.embedded_broker else None
    with Live(console=console, transient=True, auto_refresh=False) as live:
        told = 0  # tenths

        def show(now: Now) -> None:
            nonlocal told
            if console.is_terminal:
                live.update(live_table(now), refresh=True)
            elif (tenth := int(10 * now.at_s / scenario.duration_s)) > told:
                told = tenth
                console.print(progress_line(now), highlight=False, soft_wrap=True)

        def say(text: str) -> None:
            live.update(f"{scenario.name}: {text} ...", refresh=True)

        if scenario.gateways.kind == "process":
            findings = run_processes(scenario, out, seed=seed, embedded_broker=broker, show=show, say=say)
        else:
            findings = run_scenario(scenario, out, seed=seed, embedded_broker=broker, show=show)
    found = document(findings)
    write_atomic(out / "report.json", json.dumps(found, indent=2).encode())
    draw_all(findings, out)
    console.print(final_table(findings))
    verdict = "nothing lost, nothing twice" if findings.holds else "THIS IS NOT AS IT SHOULD BE"
    console.print(f"{verdict}; seed {seed}; report, plots and lake are in {out}", highlight=False, soft_wrap=True)
    if args.json:
        print(json.dumps(found, indent=2))
    return 0 if findings.holds else 1


def _changed(scenario: Scenario, args: argparse.Namespace) -> Scenario:
    try:
        if args.gateways is not None:
            sites = min(scenario.gateways.sites, args.gateways)
            scenario = replace(scenario, gateways=replace(scenario.gateways, count=args.gateways, sites=sites))
        if args.duration is not None:
            end_s = seconds(args.duration, what="--duration")
            scenario = replace(
                scenario,
                duration=args.duration,
                faults=tuple(fault for fault in scenario.faults if fault.at_s < end_s),
                paces=tuple(pace for pace in scenario.paces if pace.at_s < end_s),
                rollouts=tuple(rollout for rollout in scenario.rollouts if rollout.at_s < end_s),
                deploys=tuple(deploy for deploy in scenario.deploys if deploy.at_s < end_s),
            )
        if args.speed is not None:
            scenario = replace(scenario, speed=args.speed, paces=())
    except ValueError as exc:
        raise UsageError(f"--gateways, --duration or --speed does not fit {scenario.name}: {exc}") from exc
    if args.seed is not None and args.seed < 0:
        raise UsageError(f"--seed must be at least 0, got {args.seed}")
    return scenario


def _explain(scenario: Scenario, seed: int) -> None:
    many = scenario.gateways
    gateways = f"{many.count} {many.kind} gateway{'s' if many.count > 1 else ''}"
    if many.kind == "process":
        gateways += f" (nucleus {many.nucleus})"
    where = "one site" if many.sites == 1 else f"{many.sites} sites"
    print(f"{scenario.name}: {gateways} at {where} for {scenario.duration}, seed {seed}")
    told = [(fault.at_s, _told(fault)) for fault in scenario.faults]
    for deploy in scenario.deploys:
        what = "the deployment before once more" if deploy.again else "new code is deployed"
        told.append((deploy.at_s, f"at {deploy.at}: {what}"))
    for rollout in scenario.rollouts:
        what = f"the roll-out of release {rollout.release} begins, rings {rollout.rings}"
        told.append((rollout.at_s, f"at {rollout.at}: {what}"))
    for _, line in sorted(told, key=lambda item: item[0]):
        print(f"  {line}")


def _told(fault: Fault) -> str:
    often = f"{fault.times} times within {fault.within} from {fault.at} on" if fault.times > 1 else f"at {fault.at}"
    how_long = "" if fault.what in AT_ONCE else f", for {fault.lasts or 'ever'}"
    settings = "".join(f", {name} {getattr(fault, name)}" for name in fault.settings if name != "state")
    return f"{often}: {fault.title}{settings}{how_long}"


def _prepare(out: Path) -> None:
    """An empty folder with our mark; a folder of somebody else's is left alone."""
    try:
        if out.exists() and any(out.iterdir()):
            if not (out / _MARK).exists():
                raise UsageError(f"--out {out} is in use and not from an earlier simulation; choose another folder")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).touch()
    except OSError as exc:
        raise UsageError(f"--out {out} cannot be written: {exc.strerror}; choose another folder") from exc
