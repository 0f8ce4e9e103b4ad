"""tidegate ingest: commit gateways' results to the lake, then acknowledge them. Runs until SIGTERM or SIGINT."""

import argparse
import logging
import os
import re
import signal
import socket
import threading
from pathlib import Path

from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.upkeep import keep_up
from cloud.ingest.worker import Ingest, collect_rarely
from cloud.lake.delta import DeltaSink
from cloud.lake.place import open_place
from greengrass.objects import open_store
from models.errors import UsageError
from models.mqtt import Broker, Connection
from models.topics import SHARDS, results_filters

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get
    parser.add_argument(
        "--lake", default=default("TIDEGATE_LAKE"), help="folder of the lake, or s3://BUCKET/PREFIX (TIDEGATE_LAKE)"
    )
    parser.add_argument(
        "--pictures",
        metavar="STORE",
        default=default("TIDEGATE_PICTURES"),
        help="where pictures go: s3://BUCKET/PREFIX or a folder (default: the folder `objects` in the lake)",
    )
    parser.add_argument(
        "--broker", metavar="HOST:PORT", default=default("TIDEGATE_BROKER"), help="MQTT broker (TIDEGATE_BROKER)"
    )
    parser.add_argument(
        "--ca", default=default("TIDEGATE_BROKER_CA"), help="PEM of the broker's authority (TIDEGATE_BROKER_CA)"
    )
    parser.add_argument(
        "--certificate", default=default("TIDEGATE_BROKER_CERTIFICATE"), help="PEM (TIDEGATE_BROKER_CERTIFICATE)"
    )
    parser.add_argument("--key", default=default("TIDEGATE_BROKER_KEY"), help="PEM (TIDEGATE_BROKER_KEY)")
    parser.add_argument(
        "--shards", default=f"0-{SHARDS - 1}", help="which shards this worker owns, e.g. 0-31 (default: %(default)s)"
    )
    parser.add_argument(
        "--commit-s", type=float, default=2.0, help="gather messages for this long, 0.05..60 s (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    if not args.lake:
        raise UsageError("no lake given: use --lake FOLDER, --lake s3://BUCKET/PREFIX, or set TIDEGATE_LAKE")
    if not 0.05 <= args.commit_s <= 60:
        raise UsageError(f"--commit-s must be in 0.05..60, got {args.commit_s}")
    lake, shards, broker = args.lake.rstrip("/"), parse_shards(args.shards), _broker(args)
    pictures = Pictures(open_store(args.pictures or f"{lake}/objects"))
    # two clients of one id would push each other off the broker
    client_id = f"ingest-{socket.gethostname()}-{os.getpid()}"
    with Connection(broker, client_id=client_id, subscriptions=results_filters(shards)) as link:
        quarantine = Quarantine(open_store(f"{lake}/quarantine"))
        ingest = Ingest(link, DeltaSink(lake), quarantine, pictures, args.commit_s)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        collect_rarely()
        threading.Thread(
            target=keep_up,
            args=(open_place(lake), pictures.store, stop),
            kwargs={"worked_s": lambda: ingest.worked_s},
            name="upkeep",
            daemon=True,
        ).start()
        while not stop.is_set() and not link.wait_until_ready(0.2):
            pass  # the connection says by itself what it waits for
        if not stop.is_set():
            log.info("taking in shards %s from %s:%d into %s", args.shards, broker.host, broker.port, lake)
        ingest.run(stop)
    return 0


def parse_shards(text: str) -> list[int]:
    """`0-31,40` -> [0 .. 31, 40]; UsageError for what is none."""
    shards: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < SHARDS:
            raise UsageError(f"--shards must be like 0-31 or 0-7,40 within 0-{SHARDS - 1}, got {text!r}")
        shards.update(range(first, last + 1))
    return sorted(shards)


def _broker(args: argparse.Namespace) -> Broker:
    if not args.broker:
        raise UsageError("no broker given: use --broker HOST:PORT or set TIDEGATE_BROKER")
    host, _, port = args.broker.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--broker must be HOST:PORT, got {args.broker!r}")
    ca, certificate, key = (Path(name) if name else None for name in (args.ca, args.certificate, args.key))
    try:
        return Broker(host, int(port), ca, certificate, key)
    except ValueError as exc:
        raise UsageError(f"{exc} (--ca, --certificate, --key)") from exc
