"""`tidegate disagreements`: pictures on which a model and its challenger differ, in a folder for labelling."""

import argparse
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from cloud.disagreements import OURS, THEIRS, Missing, Sample, samples, write_samples
from cloud.lake.lake import Lake
from greengrass.registry import parse_release
from models.errors import UsageError
from models.manifest import NAME

_DEFAULT_DAYS = 7.0
_DEFAULT_LIMIT = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make, or an empty one")
    parser.add_argument(
        "--lake",
        default=os.environ.get("TIDEGATE_LAKE"),
        help="folder of the lake, or s3://BUCKET/PREFIX (default: TIDEGATE_LAKE)",
    )
    parser.add_argument(
        "--model", metavar="NAME[@RELEASE]", help="only where this one looked on (default: whichever did)"
    )
    parser.add_argument(
        "--days", type=float, default=_DEFAULT_DAYS, help="pictures of so many last days (default: %(default)g)"
    )
    parser.add_argument(
        "--limit", type=int, default=_DEFAULT_LIMIT, help="at most so many, the newest (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    if not args.lake:
        raise UsageError("no lake given: use --lake FOLDER, --lake s3://BUCKET/PREFIX, or set TIDEGATE_LAKE")
    if not 0 < args.days <= 36_500:
        raise UsageError(f"--days must be in 0..36500, got {args.days:g}")
    if args.limit < 1:
        raise UsageError(f"--limit must be at least 1, got {args.limit}")
    model, release = _parse(args.model)
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UsageError(f"{args.out} is there already, and not empty; name another folder")
    since = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=args.days)
    found = samples(Lake(args.lake), since=since, model=model, release=release)
    missing: list[Missing] = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("pictures", total=None)

        def there() -> Iterator[Sample]:
            for one in found:
                if isinstance(one, Missing):
                    missing.append(one)
                else:
                    bar.advance(task)
                    yield one

        written = write_samples(args.out, islice(there(), args.limit))
    if args.json:
        gone = [{"picture": one.name, "because": one.because} for one in missing]
        print(json.dumps({"out": str(args.out), "pictures": written, "missing": gone}))
        return 0
    print(f"{written} pictures in {args.out}/images, what was said of them in annotations/{OURS} and {THEIRS}")
    if missing:
        console.print(f"{len(missing)} cannot be had, the first, {missing[0].name}: {missing[0].because}", markup=False)
    return 0


def _parse(text: str | None) -> tuple[str | None, int | None]:
    if text is None:
        return None, None
    if "@" in text:
        found = parse_release(text)
        return found.name, found.release
    if not NAME.fullmatch(text):
        raise UsageError(f"--model {text}: expected NAME or NAME@RELEASE")
    return text, None
