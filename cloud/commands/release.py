"""`tidegate release`: sign a run folder's chosen variant and its fallback, and publish them under the next number."""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cloud.lineage import released_lineage
from cloud.model_card import CARD
from cloud.predicted_shift import predict_shift, shift_in_words
from cloud.sign import ROOT, ROOT_LIFETIME, Keys, check_run, create_keys, has_keys, load_keys, sign_release
from greengrass.objects import ObjectStore, open_store
from greengrass.registry import ReleaseId, fetch_run, next_release, publish, read_release, releases
from models.durable import write_atomic
from models.errors import UsageError
from models.manifest import Manifest, read_manifest, write_manifest

DEFAULT_DAYS = 365
MAX_DAYS = ROOT_LIFETIME.days


def arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("run", nargs="?", type=Path, metavar="RUN", help="the run folder to release")
    what.add_argument("--list", metavar="NAME", help="show the releases of a model instead")
    parser.add_argument(
        "--registry",
        metavar="URI",
        default=os.environ.get("TIDEGATE_REGISTRY"),
        help="s3://BUCKET/PREFIX or a folder (default: $TIDEGATE_REGISTRY)",
    )
    parser.add_argument(
        "--keys",
        metavar="DIR",
        type=Path,
        default=os.environ.get("TIDEGATE_KEYS"),
        help="folder of signing keys, made on a model's first release (default: $TIDEGATE_KEYS)",
    )
    parser.add_argument(
        "--floor",
        metavar="N",
        type=int,
        help="the lowest release that gateways may go back to from now on (default: as in the release before). "
        "Raise it only once a roll-out is confirmed: what is below can't be reverted to",
    )
    parser.add_argument(
        "--reference",
        metavar="DIR",
        type=Path,
        help="pictures as the cameras see them, on which to predict how answers will differ from those of the release "
        "before (default: the run's golden frames, which are few)",
    )
    parser.add_argument(
        "--against",
        metavar="N",
        type=int,
        help="the release that it is to take the place of (default: the newest; name it where that was taken back)",
    )
    parser.add_argument(
        "--expires-days",
        metavar="N",
        type=int,
        default=DEFAULT_DAYS,
        help="how long gateways may accept the release for the first time (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> int:
    if args.registry is None:
        raise UsageError(
            "which registry? give --registry URI (a folder or s3://BUCKET/PREFIX) or set TIDEGATE_REGISTRY"
        )
    store = open_store(args.registry)
    return _list(store, args) if args.list is not None else _release(store, args)


def _list(store: ObjectStore, args: argparse.Namespace) -> int:
    found = [read_release(store, ReleaseId(args.list, number)) for number in releases(store, args.list)]
    if args.json:
        print(json.dumps([_entry(manifest) for manifest in found], indent=2))
        return 0
    if not found:
        Console().print(f"no releases of {args.list!r} in {args.registry}")
        return 0
    table = Table("release", "task", "labels", "variant", "bytes", "accuracy", "floor")
    for manifest in found:
        variant = manifest.variant()
        accuracy = f"{variant.accuracy:.3f}" if variant.accuracy == variant.accuracy else "-"
        row = (manifest.task, len(manifest.labels), variant.name, variant.bytes, accuracy, manifest.floor)
        table.add_row(f"{manifest.name}@{manifest.release}", *map(str, row))
    Console().print(table)
    return 0


def _release(store: ObjectStore, args: argparse.Namespace) -> int:
    if args.keys is None:
        raise UsageError("which keys? give --keys DIR (made there on first use) or set TIDEGATE_KEYS")
    if not 1 <= args.expires_days <= MAX_DAYS:
        raise UsageError(f"--expires-days must be in 1..{MAX_DAYS}, got {args.expires_days}")
    name = check_run(args.run).name  # before keys are made for what cannot be signed
    published = releases(store, name)
    lowest = read_release(store, ReleaseId(name, published[-1])).floor if published else 0
    floor = lowest if args.floor is None else args.floor
    if floor < lowest:
        raise UsageError(
            f"--floor must be at least {lowest}, as in {name}@{published[-1]}, got {floor}: it never falls"
        )
    before = _before(name, published, args.against)
    keys = _keys(args.keys, name, first=not published)
    number = next_release(store, name)
    expires = datetime.now(UTC) + timedelta(days=args.expires_days)
    with tempfile.TemporaryDirectory() as temporary:
        package, run = Path(temporary) / "package", Path(temporary) / "run"
        shutil.copytree(args.run, run)
        _enter_evidence(store, run, before, args.reference)
        sign_release(run, keys, release=number, floor=floor, expires=expires, out=package)
        shutil.copyfile(package / CARD, run / CARD)
        release = publish(store, package, run)
        # it is in the registry; a run folder that can't be written to is no reason to fail
        with contextlib.suppress(OSError):
            write_atomic(args.run / CARD, (package / CARD).read_bytes())
        manifest = read_manifest(package)
    root = (args.keys / name / ROOT).absolute()
    digest = hashlib.sha256(keys.root).hexdigest()
    if args.json:
        shift = manifest.predicted_shift
        document = {**_entry(manifest), "root": str(root), "root_sha256": digest, "predicted_shift": shift}
        print(json.dumps(document, indent=2))
    else:
        print(release)
        print("\n".join(shift_in_words(manifest.predicted_shift)))
        print(f"root of trust: {root}\nits sha256: {digest}")
    return 0


def _before(name: str, published: list[int], against: int | None) -> ReleaseId | None:
    if against is not None and against not in published:
        raise UsageError(f"--against {against}: {name} has the releases {', '.join(map(str, published)) or 'none'}")
    return ReleaseId(name, against or published[-1]) if published else None


def _enter_evidence(store: ObjectStore, run: Path, before: ReleaseId | None, reference: Path | None) -> None:
    """Write into the run's manifest what is known only now: how its answers will differ, and its whole lineage."""
    manifest = read_manifest(run)
    shift: dict[str, Any] = {}
    if before is not None:
        with tempfile.TemporaryDirectory() as temporary:
            parent = fetch_run(store, before, Path(temporary) / "run")
            shift = predict_shift(run, parent, against=str(before), reference=reference)
    lineage = released_lineage(run, manifest)
    write_manifest(run, replace(manifest, predicted_shift=shift, lineage=lineage))


def _keys(folder: Path, name: str, *, first: bool) -> Keys:
    if has_keys(folder, name) or not first:
        # new keys for a model that gateways know already would sign what they all refuse
        return load_keys(folder, name)
    keys = create_keys(folder, name)
    Console(stderr=True).print(
        f"New signing keys of model {name!r} are in {folder / name}. Keep that folder safe and backed up: "
        f"without it no gateway takes another release of this model.",
        highlight=False,
    )
    return keys


def _entry(manifest: Manifest) -> dict[str, object]:
    variant = manifest.variant()
    return {
        "release": f"{manifest.name}@{manifest.release}",
        "name": manifest.name,
        "number": manifest.release,
        "floor": manifest.floor,
        "variant": variant.name,
        "bytes": variant.bytes,
        "sha256": variant.sha256,
    }
