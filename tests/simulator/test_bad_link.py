"""The bad line, where it is easy to get wrong: at its end. What it does to those on it, the flows show."""

import gc
import socket
import warnings
from contextlib import ExitStack

from simulator.bad_link import BadLink
from simulator.ports import LOOPBACK


def test_a_link_that_closes_while_callers_come_in_leaves_nothing_open() -> None:
    gc.collect()
    with ExitStack() as stack:
        for _ in range(5):
            link = BadLink(9)
            for _ in range(20):
                stack.enter_context(socket.create_connection((LOOPBACK, link.port), 5))
            link.close()
        del link
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            gc.collect()
    assert [str(warning.message) for warning in left] == []
