"""A limit on the memory that a foreign model can take before it is refused."""

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATISTICS = Path("/proc/self/statm")


@contextmanager
def memory_limit(limit_bytes: int) -> Iterator[None]:
    """Inside, this process can get `limit_bytes` more than it has; what asks for more fails (MemoryError, or the
    library's own error) instead of taking the machine down. Where the system does not tell sizes there is no limit."""
    if not _STATISTICS.exists():
        yield
        return
    pages = int(_STATISTICS.read_text().split()[0])
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * mmap.PAGESIZE + limit_bytes
    if before != resource.RLIM_INFINITY:
        wanted = min(wanted, before)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))
