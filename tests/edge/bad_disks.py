"""A spool on a disk that hangs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.spool_database import SpoolDatabase


@contextmanager
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While the event is cleared, whatever is written waits."""
    works = threading.Event()
    works.set()
    transaction = SpoolDatabase.transaction

    @contextmanager
    def waiting(database: SpoolDatabase) -> Iterator[None]:
        works.wait()
        with transaction(database):
            yield

    monkeypatch.setattr(SpoolDatabase, "transaction", waiting)
    yield works
    works.set()
