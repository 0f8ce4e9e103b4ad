"""A bad line between a gateway and its broker: TCP through a proxy that is as slow, lossy or cut off as is asked for.

TCP hides loss and turns it into waiting, so the proxy does the same: a segment that is lost `n` times arrives `n` round
trips late (as Linux repairs with selective acknowledgements, RFC 8985), and everything behind it waits. What loses,
doubles or overtakes whole messages is simulator/bad_post.py.
"""

import asyncio
import contextlib
import random
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from simulator import streams
from simulator.ports import LOOPBACK

_SEGMENT_BYTES = 1_400
_REPAIR_S = 0.2  # above the round trip: Linux' shortest retransmission time-out
_WAITING = 1_000  # segments in a direction, before the sender has to wait


@dataclass
class Knobs:
    """May be turned at any time, and hold for what enters from then on: `delay_s` each way, and `loss`, the part of the
    segments that are lost, also when they are repeated. A link that is `dead` delivers nothing and tells nobody; what
    TCP goes on repeating meanwhile arrives when it is not dead any more."""

    delay_s: float = 0.0
    loss: float = 0.0
    dead: bool = False


class BadLink:
    """A port of this machine that leads to another one of it."""

    def __init__(self, to_port: int, *, seed: int = 0) -> None:
        self.knobs = Knobs()
        self.connections = self.refused = 0  # so far
        self._to_port = to_port
        self._random = random.Random(seed)
        self._cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server = self._loop.run_until_complete(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="bad-link", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """End all connections, and refuse new ones until `mend`."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._abort_all)

    def mend(self) -> None:
        """A link like any other again."""
        self._cut = False
        self.knobs = Knobs()

    def close(self) -> None:
        self._cut = True
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _serve(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self._cut:
            self.refused += 1
            near.transport.abort()
            return
        self.connections += 1
        self._open.add(near)
        try:
            far_reader, far = await asyncio.open_connection(LOOPBACK, self._to_port)
        except (OSError, asyncio.CancelledError):
            near.transport.abort()
            self._open.discard(near)
            return
        self._open.add(far)
        pumps = [asyncio.ensure_future(self._pump(*ends)) for ends in ((near_reader, far), (far_reader, near))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the link closes: asyncio's own streams complain about a task that ends by it
        finally:
            for writer in (near, far):
                writer.transport.abort()
                self._open.discard(writer)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Returns when either end has gone and what was under way has arrived."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_WAITING)
        delivering = asyncio.ensure_future(self._deliver(under_way, writer))
        try:
            with contextlib.suppress(OSError):
                while (segment := await reader.read(_SEGMENT_BYTES)) and not delivering.done():
                    await under_way.put((self._loop.time() + self._lateness_s(), segment))
            await under_way.put((self._loop.time() + self.knobs.delay_s, b""))
            await delivering
        finally:
            delivering.cancel()

    async def _deliver(self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, segment = await under_way.get()
                # a queue: whoever is late makes those behind it late
                await asyncio.sleep(due - self._loop.time())
                while self.knobs.dead:
                    await asyncio.sleep(_REPAIR_S)
                if not segment:
                    return
                writer.write(segment)
                await writer.drain()

    def _lateness_s(self) -> float:
        lost = 0
        while self._random.random() < self.knobs.loss:
            lost += 1
        return self.knobs.delay_s + lost * (2 * self.knobs.delay_s + _REPAIR_S)

    def _abort_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _shut_down(self) -> None:
        self._abort_all()
        await streams.end(self._server)
