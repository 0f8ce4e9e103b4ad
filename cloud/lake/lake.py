"""Reading the lake: SQL by DuckDB over its Delta tables, and the health messages for whoever watches a roll-out."""

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset

from cloud.lake.health_windows import COLUMNS, health_windows
from cloud.lake.place import Where, open_place
from cloud.lake.schema import FRAMES, HEALTH, TABLES, TableSpec
from cloud.lake.table import dataset_of, is_table, lake_errors
from cloud.lake.tables import GatewayHealth, health_rows
from cloud.rollout.windows import Windows
from models.errors import LakeError

# Times come out as UTC without a zone. DuckDB's zones are an extension that is not shipped with it, and without it
# everything with a zone is shown and compared in the zone of whatever machine this is; so `now()` goes the same way.
# (Arrow cannot compare the two kinds either: a filter on a time is DuckDB's to apply. One on `date` skips files.)
# `results` has a row per detection. `at_us` is what models.records.Health calls it.
_SETUP = """
SET python_enable_replacements = false;
CREATE MACRO utc(t) AS make_timestamp(epoch_us(t));
CREATE MACRO now() AS utc(get_current_timestamp());
CREATE VIEW frames AS SELECT * REPLACE (utc(captured_at) AS captured_at) FROM _frames;
CREATE VIEW results AS
    SELECT * EXCLUDE (detections, detection), unnest(detection)
    FROM (SELECT *, unnest(detections) AS detection FROM frames);
CREATE VIEW health AS
    SELECT * REPLACE (utc(reported_at) AS reported_at), epoch_us(reported_at) AS at_us FROM _health;
CREATE VIEW events AS SELECT * REPLACE (utc(happened_at) AS happened_at) FROM _events;
CREATE VIEW aggregates AS SELECT * REPLACE (utc(started_at) AS started_at) FROM _aggregates;
CREATE VIEW pictures AS SELECT * REPLACE (utc(captured_at) AS captured_at) FROM _pictures;
CREATE VIEW losses AS SELECT * REPLACE (utc(committed_at) AS committed_at) FROM _losses;
"""


class Lake:
    """A lake that `tidegate ingest` made, for reading. Each call sees what was committed before it."""

    def __init__(self, where: Where) -> None:
        """In a folder or under `s3://BUCKET/PREFIX`; LakeError when there is no lake."""
        place = open_place(where)
        with lake_errors(place, "be read"):
            missing = [spec.name for spec in TABLES if not is_table(place / spec.name)]
        if FRAMES.name in missing:
            raise LakeError(
                f"{where} is not a lake: no table {', '.join(missing)} in it; expected what `tidegate ingest --lake` "
                f"writes"
            )
        self._place = place
        self._missing = missing  # that an older tidegate did not make

    def query(self, sql: str) -> pa.Table:
        """The answer to DuckDB SQL over the views frames, results (a row per detection), events, aggregates,
        pictures, health and losses.

        Times are UTC. The SQL reaches nothing but the lake, and cannot change it. LakeError when it is wrong.
        """
        with duckdb.connect(config={"enable_external_access": False}) as database:
            for spec in TABLES:
                database.register(f"_{spec.name}", self._dataset(spec))
            database.execute(_SETUP)
            try:
                answer = database.sql(sql)
                return pa.table({}) if answer is None else answer.to_arrow_table()
            # NotImplementedError and others come from Arrow's conversion of exotic types
            except (duckdb.Error, pa.ArrowException, NotImplementedError) as exc:
                raise LakeError(_one_line(exc)) from exc

    def health(self, since_us: int = 0, until_us: int | None = None) -> list[GatewayHealth]:
        """All health messages whose window ended at `since_us` (UTC) or later, and before `until_us`, oldest first."""
        kind = HEALTH.schema.field("reported_at").type
        wanted = pc.field("reported_at") >= pc.scalar(pa.scalar(since_us, kind))
        if until_us is not None:
            wanted &= pc.field("reported_at") < pc.scalar(pa.scalar(until_us, kind))
        with lake_errors(self._place / HEALTH.name, "be read"):
            dataset = dataset_of(self._place / HEALTH.name)
            table = dataset.to_table(filter=wanted)
        return health_rows(table.sort_by([("reported_at", "ascending"), ("gateway", "ascending")]))

    def windows(self, model: str, since_us: int = 0) -> Windows:
        """What `health` says, as the columns that a roll-out of `model` is judged by: days of a large fleet at once."""
        since = pc.scalar(pa.scalar(since_us, HEALTH.schema.field("reported_at").type))
        with lake_errors(self._place / HEALTH.name, "be read"):
            dataset = dataset_of(self._place / HEALTH.name)
            known = [name for name in COLUMNS if name in dataset.schema.names]
            table = dataset.to_table(columns=known, filter=pc.field("reported_at") >= since)
        for name in set(COLUMNS).difference(known):  # of a lake that is older than the column
            table = table.append_column(name, pa.nulls(len(table), HEALTH.schema.field(name).type))
        return health_windows(table, model=model)

    def _dataset(self, spec: TableSpec) -> pa_dataset.Dataset:
        if spec.name in self._missing:
            return pa_dataset.dataset(spec.schema.empty_table())
        with lake_errors(self._place / spec.name, "be read"):
            return dataset_of(self._place / spec.name)


def _one_line(exc: Exception) -> str:
    """DuckDB's message without the picture of the statement below it, but with the advice."""
    lines = [line.strip() for line in str(exc).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("LINE ", "^"))]
    return "; ".join(kept) if kept else type(exc).__name__
