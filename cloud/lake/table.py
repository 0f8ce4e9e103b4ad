"""One Delta table of the lake, with the last seq that it holds of every stream. deltalake lives here and in upkeep.py.

The rule of exactly once: a stream's last seq is an app transaction in the same commit as its rows. Delta refuses a
*concurrent* commit of the same app transaction, but takes a later repeat. So what `last` says and what `append`
commits on must be one state of the table: `last` is never older than the handle.
"""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError

from cloud.lake.commit import AddedFile, Change, OvertakenError, commit
from cloud.lake.files import write_file
from cloud.lake.log import LOG, Version, checkpoint_files, entry, read_transactions, read_version
from cloud.lake.place import Place
from cloud.lake.schema import CHECKPOINT_EVERY, CONFIGURATION, TableSpec
from models.errors import LakeError, StoreError

_MAX_REASON = 300  # characters
# Entries of the log may be deleted when they are two hours old (schema.CONFIGURATION).
_LOG_IS_WHOLE_S = 1800.0


class LakeTable:
    """A handle on a table of the lake, for one writer."""

    def __init__(self, lake: Place, spec: TableSpec) -> None:
        self._spec = spec
        self._place = lake / spec.name
        self.reload()

    def reload(self) -> None:
        """Forget what was known, and read the table's newest state. LakeError when it cannot be read."""
        with lake_errors(self._place, "be read"):
            self._looked_at_s = time.time()
            self._seen, self._last = read_transactions(self._place)

    def refresh(self) -> None:
        """Take in what others have committed since. LakeError when it cannot be read."""
        if not 0 <= time.time() - self._looked_at_s < _LOG_IS_WHOLE_S:
            # the next version may have expired, and to be missing is what tells that there is none
            self.reload()
            return
        with lake_errors(self._place, "be read"):
            looked_at_s = time.time()
            with contextlib.suppress(FileNotFoundError):
                while True:
                    self._take(read_version(self._place, self._seen + 1))
            self._looked_at_s = looked_at_s

    def last(self, key: str) -> int:
        """The last seq of the stream that a commit of this table has named; 0 if none has."""
        return self._last.get(key, 0)

    def append(self, rows: pa.Table, last: Mapping[str, int]) -> None:
        """Commit rows, and the last seq of their streams with them; durable on return.

        OvertakenError when a stream of these was committed by another since the handle was read. LakeError for all
        else, and then the commit may have been made or not: reload.
        """
        if not 0 <= time.time() - self._looked_at_s < _LOG_IS_WHOLE_S:
            raise OvertakenError(f"table {self._place}: nobody looked at it for {_LOG_IS_WHOLE_S} s")
        # never down: after a commit that was cut off, less may be sent than what was written then
        transactions = {key: max(seq, self.last(key)) for key, seq in last.items()}
        with lake_errors(self._place, "be written"):
            change = Change(self._new_file(rows), transactions=transactions)
            looked_at_s = time.time()
            for version in commit(self._place, change, seen=self._seen, now_ms=int(looked_at_s * 1000)):
                self._take(version)
            self._looked_at_s = looked_at_s
            if self._seen % CHECKPOINT_EVERY == 0:
                checkpoint(self._place)

    def rows(self, columns: list[str], condition: object) -> pa.Table:
        """The columns of the rows for which a pyarrow expression holds."""
        with lake_errors(self._place, "be read"):
            return dataset_of(self._place).to_table(columns=columns, filter=condition)

    def _new_file(self, rows: pa.Table) -> list[AddedFile]:
        if not len(rows):
            return []
        partition = {name: str(rows[name][0]) for name in self._spec.partition_by}
        plain = rows.drop_columns(list(partition))
        return [write_file(self._place, plain.to_batches(), plain.schema, partition=partition, new=True)]

    def _take(self, version: Version) -> None:
        self._last |= version.transactions
        self._seen = version.number


def checkpoint(place: Place) -> None:
    """Sum up the log in a file, and delete what of it has expired."""
    table = open_table(place)
    table.create_checkpoint()
    place.make_durable(checkpoint_files(table.version()))
    table.cleanup_metadata()


def open_table(place: Place) -> DeltaTable:
    """deltalake's handle on the newest version."""
    return DeltaTable(place.uri, storage_options=dict(place.options))


def is_table(place: Place) -> bool:
    """Whether there is a table. Not by deltalake's `is_deltatable`, which holds Python up while S3 answers."""
    return any(info.extension in ("json", "parquet") for info in place.list(LOG))


def dataset_of(place: Place) -> pa_dataset.Dataset:
    """Read by Arrow's own file system: deltalake's is Python's, which Arrow's threads call, and a query that stops
    before the end (LIMIT) leaves some of them reading. They take the process down if Python ends meanwhile."""
    return open_table(place).to_pyarrow_dataset(filesystem=place.files)


@contextlib.contextmanager
def lake_errors(place: Place, what: str) -> Iterator[None]:
    """Only LakeError leaves."""
    try:
        yield
    except OvertakenError:
        raise
    except (DeltaError, StoreError, OSError, pa.ArrowException, ValueError) as exc:
        raise LakeError(
            f"table {place} cannot {what}: {_reason(exc)}; is it a lake made by `tidegate ingest`, and is there space "
            f"and permission?"
        ) from exc


def _reason(exc: Exception) -> str:
    """In one line: deltalake draws the chain of causes, in colours, and S3's own answer is XML at its end."""
    said = re.search(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", str(exc), re.DOTALL)
    lines = [re.sub(r"\x1b\[[0-9;]*m|\u21b3", "", line).strip() for line in str(exc).splitlines()]
    return f"{said[1]}: {said[2]}" if said else ": ".join(filter(None, lines))[:_MAX_REASON]


def create(lake: Place, spec: TableSpec) -> None:
    """Make the table if it is not there, and add the columns that it lacks: a lake of an older tidegate is read on."""
    place = lake / spec.name
    with lake_errors(place, "be read"):
        if is_table(place):
            _widen(open_table(place), place, spec)
            return
    with lake_errors(place, "be made"), contextlib.suppress(CommitFailedError):
        # suppressed: another worker made it at the same moment
        place.make_folder()
        DeltaTable.create(
            place.uri,
            spec.schema,
            mode="ignore",
            partition_by=list(spec.partition_by) or None,
            configuration=CONFIGURATION,
            storage_options=dict(place.options),
        )


def _widen(table: DeltaTable, place: Place, spec: TableSpec) -> None:
    known = pa.schema(table.schema().to_arrow())
    lacking = {field.name for field in spec.schema if _lacks(known, field)}
    missing = [field for field in Schema.from_arrow(spec.schema).fields if field.name in lacking]
    if missing:
        with contextlib.suppress(CommitFailedError):  # another worker adds them at the same moment
            table.alter.add_columns(missing)
        table.update_incremental()
        place.make_durable([entry(table.version())])


def _lacks(known: Iterable[pa.Field], wanted: pa.Field) -> bool:
    """Whether a field is not among these, or one that is in it, however deep."""
    there = next((field for field in known if field.name == wanted.name), None)
    if there is None:
        return True
    return any(_lacks(_within(there.type), field) for field in _within(wanted.type))


def _within(kind: pa.DataType) -> list[pa.Field]:
    """The fields that a struct, or a list of them, is made of."""
    kind = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    return [kind.field(index) for index in range(kind.num_fields)] if pa.types.is_struct(kind) else []
