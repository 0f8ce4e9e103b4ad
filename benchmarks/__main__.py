"""Run every bar and print a table: `python -m benchmarks`; with `--full` those too that train for long.
Exit code 1 when one falls short.
"""

import json
import subprocess
import sys

from rich.console import Console
from rich.table import Table

BARS = (
    "wire_bytes",
    "spool_append",
    "spool_wear",
    "tracker_cpu",
    "bytes_per_detection",
    "encode_cpu",
    "demo_time",
    "canonical_cpu",
    "detectors_smallest",
    "detectors_int8",
    "classifier_int8",
    "motion_gate",
    "gateway_memory",
    "uplink_stall",
    "end_to_end",
    "two_workers",
    "cpu_loop",
    "cpu_script",
    "paced_cpu",
    "swap",
    "ingest_speed",
    "ingest_workers",
    "cdk_synth",
    "process_gateways",
    "light_gateways",
)
LONG = (
    "fashion_mnist",
    "trashnet",
    "detector_learned",
    "recovery_storm",
    "rollout_odds",
    "rollout_real",
    "rollout_kills",
)


def main() -> int:
    table = Table("bar", "value", "required", "holds", title="performance bars")
    everything_holds = True
    console = Console()
    for name in (*BARS, *LONG) if "--full" in sys.argv else BARS:
        with console.status(f"measuring {name}"):
            ran = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--json"], capture_output=True, text=True)
        try:
            bar = json.loads(ran.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            table.add_row(name, "-", "-", f"[red]could not be measured: {ran.stderr.strip()[-200:]}[/red]")
            everything_holds = False
            continue
        sign = "<=" if bar["better"] == "lower" else ">="
        verdict = "[green]yes[/green]" if bar["holds"] else "[red]no[/red]"
        table.add_row(bar["bar"], f"{bar['value']:.4g} {bar['unit']}", f"{sign} {bar['required']:g}", verdict)
        everything_holds &= bar["holds"]
    console.print(table)
    return 0 if everything_holds else 1


if __name__ == "__main__":
    sys.exit(main())
