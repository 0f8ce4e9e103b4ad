"""tidegate query: SQL over the lake."""

import argparse
import csv
import json
import math
import os
import sys
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cloud.lake.lake import Lake
from models.errors import UsageError

MAX_ROWS_SHOWN = 200
FOLDED_WIDTH = 30  # a cell that is longer may be folded to let a row fit the screen
MAX_CELL_SHOWN = 200  # characters

EXAMPLES = """\
views:
  frames      a row per frame; detections is a list of structs
  results     a row per detection
  events      lines crossed, zones entered and left, and so on
  aggregates  a row per class, zone and minute
  pictures    snapshots and crops, and where they are
  health      a row per window of a gateway
  losses      ranges of records that are nowhere else, and why

times are UTC. For example:
  tidegate query "SELECT label, count(*) FROM results GROUP BY label"
  tidegate query "SELECT happened_at, rule, label, uri FROM events LEFT JOIN pictures USING (gateway, picture)"
  tidegate query "SELECT * FROM health WHERE reported_at > now() - INTERVAL 10 MINUTE" --json
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("sql", metavar="SQL", help="DuckDB SQL over the views below")
    parser.add_argument(
        "--lake",
        default=os.environ.get("TIDEGATE_LAKE"),
        help="folder of the lake, or s3://BUCKET/PREFIX (default: TIDEGATE_LAKE)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print a JSON list of objects")
    form.add_argument("--csv", action="store_true", help="print CSV with a header; nested values as JSON")


def run(args: argparse.Namespace) -> int:
    if not args.lake:
        raise UsageError("no lake given: use --lake FOLDER, --lake s3://BUCKET/PREFIX, or set TIDEGATE_LAKE")
    if not args.sql.strip():
        raise UsageError("the SQL is empty; try 'SELECT count(*) FROM frames'")
    answer = Lake(args.lake).query(args.sql)
    names, rows = distinct_names(answer.column_names), plain_rows(answer)
    if args.json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], ensure_ascii=False))
    elif args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(value) for value in row] for row in rows)
    else:
        _show(names, rows)
    return 0


def plain_rows(answer: pa.Table) -> list[list[Any]]:
    """The rows as what JSON knows: times in ISO 8601, maps as objects, NaN as null."""
    columns = [
        [_plain(value) for value in column.to_pylist(maps_as_pydicts="lossy")] for column in answer.itercolumns()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def distinct_names(names: list[str]) -> list[str]:
    """A join may give two columns of one name: the second `a` becomes `a_1`."""
    taken: list[str] = []
    for name in names:
        other, k = name, 0
        while other in taken:
            k += 1
            other = f"{name}_{k}"
        taken.append(other)
    return taken


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(_plain(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            # DuckDB's sum() of integers is one
            return int(value) if value == value.to_integral_value() else float(value)
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
        case bytes():
            return value.hex()
    return str(value)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _show(names: list[str], rows: list[list[Any]]) -> None:
    console = Console()
    heads = [_printable(name) for name in names]
    cells = [[_shown(value) for value in row] for row in rows[:MAX_ROWS_SHOWN]]
    widths = [max(len(row[column]) for row in [heads, *cells]) for column in range(len(heads))]
    if sum(min(width, FOLDED_WIDTH) + 3 for width in widths) <= console.width:
        console.print(_across(heads, cells))
    else:
        for row in cells:
            console.print(_across(["column", "value"], [list(pair) for pair in zip(heads, row, strict=True)]))
    if len(rows) > len(cells):
        print(f"{len(cells)} of {len(rows)} rows; --json and --csv print all", file=sys.stderr)


def _across(heads: list[str], cells: list[list[str]]) -> Table:
    table = Table()
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _shown(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(_cell(value))
    return _printable(text if len(text) <= MAX_CELL_SHOWN else text[: MAX_CELL_SHOWN - 3] + "...")


def _printable(text: str) -> str:
    """What a gateway wrote must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
