"""The nucleus' end of Greengrass IPC: event-stream RPC on a unix socket, for the unmodified AWS SDK.

One asyncio loop in one thread serves all components of a device. Whatever a client sends, it can only end its own
connection.
"""

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from models.errors import ConfigError, WireError
from simulator.nucleus.eventstream import Header, Message, Parser, encode
from simulator.nucleus.personality import Personality

log = logging.getLogger(__name__)

_NAMESPACE = "aws.greengrass#"
_MESSAGE, _ERROR, _CONNECT, _CONNECT_ACK = 0, 1, 4, 5  # :message-type
_ACCEPTED, _TERMINATE = 1, 2  # :message-flags
_UNREAD_LIMIT_BYTES = 1_000_000  # events, or a frame, that a client lets pile up before its connection is closed
_DEPTH_LIMIT = 64  # of JSON: what it is merged into is walked by recursion
_SOCKET_PATH_LIMIT = 107  # sun_path of unix(7), less its final zero


class IpcError(Exception):
    """The answer to a request that is refused; `kind` is one of the SDK's error classes."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One request and what follows it; `component` made it."""

    component: str
    number: int
    send: Callable[[Message], None] = field(repr=False)

    def event(self, shape: str, payload: Mapping[str, Any]) -> None:
        """Send an event. Only from the server's own thread."""
        self.send(_message(self.number, _MESSAGE, 0, shape, payload))


class Operations(Protocol):
    """What the server serves. All is called in the server's own thread."""

    def component_of(self, token: str) -> str | None:
        """The component that was given this token (SVCUID) by the device that runs."""

    def call(self, stream: Stream, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The response; IpcError refuses. A subscription keeps the stream for its events."""

    def closed(self, stream: Stream) -> None:
        """The stream, which may have been a subscription, is gone."""


class IpcServer:
    """Listens when constructed, until closed."""

    def __init__(self, path: Path, operations: Operations, personality: Personality) -> None:
        if len(os.fsencode(path)) > _SOCKET_PATH_LIMIT:
            raise ConfigError(f"the path of a unix socket may be {_SOCKET_PATH_LIMIT} bytes long, got {path}")
        self.path = path
        self._operations = operations
        self._personality = personality
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        try:
            self._server = self._loop.run_until_complete(asyncio.start_unix_server(self._serve, path))
        except OSError as exc:
            self._loop.close()
            raise ConfigError(f"cannot listen on the unix socket {path}: {exc}") from exc
        self._thread = threading.Thread(target=self._loop.run_forever, name="ipc", daemon=True)
        self._thread.start()

    def post(self, function: Callable[..., None], *args: object) -> None:
        """Have the server's own thread call this soon; nothing happens once the server is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Close all connections and stop listening."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(writer, self._operations, self._personality)
        self._connections.add(connection)
        try:
            while not writer.is_closing() and (data := await reader.read(65_536)):
                connection.receive(data)
        except WireError as exc:
            log.info("IPC connection of %s closed: %s", connection.component or "nobody yet", exc)
        except ConnectionError:
            pass  # the client went away without a goodbye
        except Exception:  # a bug of ours ends this connection, not the device
            log.exception("IPC connection of %s closed", connection.component or "nobody yet")
        finally:
            self._connections.discard(connection)
            connection.close()

    async def _shut_down(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class _Connection:
    """One client's connection: who it is, and its open streams."""

    def __init__(self, writer: asyncio.StreamWriter, operations: Operations, personality: Personality) -> None:
        self.component: str | None = None
        self._writer = writer
        self._operations = operations
        self._personality = personality
        self._parser = Parser(limit_bytes=personality.frame_limit_bytes)
        self._streams: dict[int, Stream] = {}

    def receive(self, data: bytes) -> None:
        for message in self._parser.feed(data):
            if self._writer.is_closing():
                return
            if self.component is None:
                self._connect(message)
            else:
                self._request(self.component, message)

    def close(self) -> None:
        for stream in self._streams.values():
            self._operations.closed(stream)
        self._streams.clear()
        self._writer.close()

    def _connect(self, message: Message) -> None:
        if message.headers.get(":message-type") != _CONNECT or message.headers.get(":version") != "0.1.0":
            raise WireError("the first message must be a connect of version 0.1.0")
        token = _json_object(message.payload).get("authToken")
        self.component = self._operations.component_of(token) if isinstance(token, str) else None
        if self.component is None:
            if self._personality.answers_bad_token:
                self._send(Message(_headers(0, _CONNECT_ACK, 0)))
            raise WireError("connect with a token (SVCUID) that no running component holds")
        self._send(Message(_headers(0, _CONNECT_ACK, _ACCEPTED)))

    def _request(self, component: str, message: Message) -> None:
        kind, number = message.headers.get(":message-type"), message.headers.get(":stream-id")
        flags = message.headers.get(":message-flags", 0)
        if kind != _MESSAGE or not isinstance(number, int) or number < 1 or not isinstance(flags, int):
            raise WireError(f"a request needs type 0 and a stream, got {dict(message.headers)!r}")
        if flags & _TERMINATE:
            stream = self._streams.pop(number, None)
            if stream is not None:
                self._operations.closed(stream)
            return
        if number in self._streams:
            raise WireError(f"stream {number} is open already")
        operation = str(message.headers.get("operation", "")).removeprefix(_NAMESPACE)
        stream = Stream(component, number, self._send)
        try:
            answer = self._operations.call(stream, operation, _json_object(message.payload))
            subscribed = operation.startswith("SubscribeTo")
            last = _TERMINATE if self._personality.terminates_answers and not subscribed else 0
            response = _message(number, _MESSAGE, last, f"{operation}Response", answer)
            limit_bytes = self._personality.frame_limit_bytes
            if len(encode(response)) > limit_bytes:
                raise IpcError("ServiceError", f"the answer to {operation} is longer than {limit_bytes} B")
        except IpcError as exc:
            # the SDK reads "message": of a nucleus that sends "_message" alone, its `.message` is None
            problem = {"_message": str(exc), "_errorCode": exc.kind}
            if self._personality.names_message:
                problem["message"] = str(exc)
            self._send(_message(number, _ERROR, _TERMINATE, exc.kind, problem))
            return
        if subscribed:
            self._streams[number] = stream
        self._send(response)

    def _send(self, message: Message) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(encode(message))
        most = max(_UNREAD_LIMIT_BYTES, self._personality.frame_limit_bytes)
        if self._writer.transport.get_write_buffer_size() > most:
            log.warning("IPC connection of %s closed: it does not read its events", self.component)
            self._writer.transport.abort()


def _headers(stream: int, kind: int, flags: int) -> dict[str, Header]:
    return {":message-type": kind, ":message-flags": flags, ":stream-id": stream}


def _message(stream: int, kind: int, flags: int, shape: str, payload: Mapping[str, Any]) -> Message:
    headers = {
        ":content-type": "application/json",
        "service-model-type": _NAMESPACE + shape,
        **_headers(stream, kind, flags),
    }
    return Message(headers, json.dumps(payload).encode())


def _json_object(payload: bytes) -> dict[str, Any]:
    try:
        document = json.loads(payload.decode(), parse_constant=_no_number)
        # half a surrogate pair is JSON to Python, and no text to anybody else
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise WireError(f"a payload is no JSON: {exc}") from exc
    if _depth(document) > _DEPTH_LIMIT:
        raise WireError(f"a payload may be nested {_DEPTH_LIMIT} deep")
    if not isinstance(document, dict):
        raise WireError(f"a payload must be a JSON object, got {type(document).__name__}")
    return document


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _depth(document: object) -> int:
    depth, level = 0, [document]
    while level:
        depth += 1
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return depth
