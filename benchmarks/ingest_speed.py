"""Detections a second that one ingest process takes in, against what people write first: a JSON message a frame into
SQLite (40 times as many are required), and a gzipped JSON document a minute into Parquet (5 times).

All three take the same minutes of the same gateways (fleet_minute.py): frames, events, aggregates and health, and each
acknowledges a message when what it says is durable, not before.

- Ours: `Ingest.take_in`, whole: envelopes, shares, zstd and protobuf, the plan, four Delta tables with fsync, the
  acknowledgements; the rows in the lake are counted at the end. As many messages a round as a worker takes at most.
- SQLite: `json.loads`, INSERT (a row per detection), COMMIT, for each message by itself; write-ahead log, synchronous
  FULL, one prepared statement a table. As Python's sqlite3 comes, with a rollback journal, it is told beside it.
- Parquet: as many documents as are in one of our rounds at once: gunzip, `json.loads`, a column's values from all
  documents, a file for each kind of records, zstd, fsync, rename. One file a document is slower.

They take turns, in one process on one core. The bar is on detections a second by the wall's clock, the median of the
turns; processor time is told beside it, where SQLite's waiting for the disk does not count. Python's collector of
circles is set as `tidegate ingest` sets it for ours, and as Python sets it for theirs.
"""

import gc
import gzip
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bar import Bar, report
from benchmarks.fleet_minute import VARIANTS, FleetMinutes
from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import MAX_MESSAGES_OF_A_ROUND, Ingest, collect_rarely
from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from greengrass.objects import DiskStore
from models.durable import sync_folder
from models.mqtt import Message
from models.records import FrameResult, Record
from models.wire import decode_acks

TURNS = 5
SQLITE_GATEWAYS = 3
REQUIRED = {"a JSON message a frame into SQLite": 40.0, "a gzipped JSON document a minute into Parquet": 5.0}


@dataclass(slots=True)
class Acknowledged:
    """cloud.ingest.worker.Link that counts records, as gateways would."""

    last: dict[str, int] = field(default_factory=dict)

    def receive(self, timeout_s: float) -> Message | None:
        return None

    def publish(self, topic: str, payload: bytes) -> None:
        for ack in decode_acks(payload):
            self.last[ack.stream] = max(ack.last, self.last.get(ack.stream, 0))


@dataclass(slots=True)
class Took:
    """By detection, of each turn."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    @property
    def cpu_s(self) -> float:
        return statistics.median(self.cpu)

    @property
    def wall_s(self) -> float:
        return statistics.median(self.wall)

    def note(self, detections: int, work: Callable[..., None], *given: object) -> None:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        work(*given)
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        self.cpu.append(cpu_s / detections)
        self.wall.append(wall_s / detections)

    def __str__(self) -> str:
        return f"{1 / self.wall_s:,.0f} detections/s, {1 / self.cpu_s:,.0f} per CPU second"


def main() -> int:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    fleet = FleetMinutes()
    gateways = MAX_MESSAGES_OF_A_ROUND // len(list(fleet.messages(0, 0)))
    documents = [_documents(fleet.recorded(variant)) for variant in range(VARIANTS)]
    bodies = [[json.dumps(document).encode() for document in some] for some in documents]
    zipped = [gzip.compress(json.dumps(some).encode()) for some in documents]
    ours, theirs = Took(), {name: Took() for name in REQUIRED}
    sqlite, parquet = theirs.values()
    as_it_comes = Took()
    usually = gc.get_threshold()
    with tempfile.TemporaryDirectory() as temporary:
        folder, link = Path(temporary), Acknowledged()
        lake = folder / "lake"
        quarantine, pictures = Quarantine(DiskStore(lake / "quarantine")), Pictures(DiskStore(lake / "objects"))
        ingest = Ingest(link, DeltaSink(lake), quarantine, pictures, commit_s=0)
        database, usual = _database(folder / "results.db", "WAL"), _database(folder / "usual.db", "DELETE")
        (folder / "parquet").mkdir()
        for turn in range(TURNS):
            messages = [message for gateway in range(gateways) for message in fleet.messages(gateway, turn)]
            collect_rarely()
            ours.note(gateways * fleet.detections, ingest.take_in, messages)
            gc.set_threshold(*usually)
            few = [bodies[gateway % VARIANTS] for gateway in range(SQLITE_GATEWAYS)]
            sqlite.note(SQLITE_GATEWAYS * fleet.detections, _into_sqlite, database, few)
            as_it_comes.note(fleet.detections, _into_sqlite, usual, few[:1])
            minute = [(f"gw-{gateway:05}", zipped[gateway % VARIANTS]) for gateway in range(gateways)]
            parquet.note(gateways * fleet.detections, _into_parquet, folder / "parquet", minute, turn)
        _check(lake, link, fleet, gateways)
    times = {name: took.cpu_s / ours.cpu_s for name, took in theirs.items()}
    walls = {name: took.wall_s / ours.wall_s for name, took in theirs.items()}
    said = "; ".join(
        f"{walls[name]:.1f} x {name} (by CPU time {times[name]:.1f} x; {took})" for name, took in theirs.items()
    )
    measured = (
        f"{ours} in rounds of {len(messages)} messages of {gateways} gateways, {fleet.detections} detections and "
        f"{len(fleet.records) - len(fleet.frames)} other records each; {said}; SQLite "
        f"with its rollback journal: {as_it_comes}; medians of {TURNS} turns, fsync included"
    )
    value = min(walls[name] / required for name, required in REQUIRED.items())
    return report(Bar("ingest speed, as a part of what is required", value, 1.0, "higher", "x", measured))


def _documents(records: Sequence[Record]) -> list[dict[str, Any]]:
    """What people send: one a record, numbers as Python prints them."""
    return [_document(record) for record in records]


def _document(record: Record) -> dict[str, Any]:
    if not isinstance(record, FrameResult):
        fields = {name: getattr(record, name) for name in type(record).__dataclass_fields__}
        return {"kind": type(record).__name__.lower(), **fields}
    found = record.detections
    columns = (found.class_ids.tolist(), found.scores.tolist(), found.xyxy.tolist(), found.tracks.tolist())
    return {
        "kind": "frame",
        "camera": record.camera,
        "frame": record.frame,
        "captured_at": record.captured_at_us / 1e6,
        "model": record.model,
        "release": record.release,
        "detections": [
            {"label": label, "class_id": class_id, "score": score, "box": box, "track": track}
            for label, class_id, score, box, track in zip(record.labels, *columns, strict=True)
        ],
    }


def _database(path: Path, journal: str) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA journal_mode = {journal}")
    database.execute("PRAGMA synchronous = FULL")
    database.execute(
        "CREATE TABLE detections (gateway, camera, frame, captured_at, model, release, label, class_id, score, "
        "x1, y1, x2, y2, track)"
    )
    database.execute("CREATE TABLE others (gateway, kind, document)")
    return database


def _into_sqlite(database: sqlite3.Connection, gateways: Sequence[Sequence[bytes]]) -> None:
    acknowledged = 0
    for number, messages in enumerate(gateways):
        gateway = f"gw-{number:05}"
        for message in messages:
            row = json.loads(message)
            if row["kind"] == "frame":
                frame = (gateway, row["camera"], row["frame"], row["captured_at"], row["model"], row["release"])
                database.executemany(
                    "INSERT INTO detections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (*frame, found["label"], found["class_id"], found["score"], *found["box"], found["track"])
                        for found in row["detections"]
                    ],
                )
            else:
                database.execute("INSERT INTO others VALUES (?, ?, ?)", (gateway, row["kind"], message))
            database.commit()
            acknowledged += 1


def _into_parquet(folder: Path, minute: Sequence[tuple[str, bytes]], number: int) -> None:
    kinds: dict[str, dict[str, list[Any]]] = {}
    for gateway, body in minute:
        for row in json.loads(gzip.decompress(body)):
            row["gateway"] = gateway
            columns = kinds.setdefault(row["kind"], {name: [] for name in row})
            for name, value in row.items():
                columns[name].append(value)
    for kind, columns in kinds.items():
        path = folder / f"{kind}-{number}.parquet"
        with path.with_suffix(".new").open("wb") as file:
            pq.write_table(pa.table(columns), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".new").rename(path)
    sync_folder(folder)


def _check(lake: Path, link: Acknowledged, fleet: FleetMinutes, gateways: int) -> None:
    (row,) = Lake(lake).query("SELECT count(*) AS n, count(DISTINCT (stream, seq)) AS d FROM frames").to_pylist()
    (found,) = Lake(lake).query("SELECT count(*) AS n FROM results").to_pylist()
    minutes = gateways * TURNS
    if (row["n"], row["d"], found["n"]) != (*[minutes * len(fleet.frames)] * 2, minutes * fleet.detections):
        raise SystemExit(f"{minutes} minutes are not in the lake once: {row}, {found}")
    if sum(link.last.values()) != minutes * len(fleet.records):
        raise SystemExit(f"{sum(link.last.values())} records were acknowledged, not {minutes * len(fleet.records)}")


if __name__ == "__main__":
    sys.exit(main())
