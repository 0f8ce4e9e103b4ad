"""Brokers that no gateway should have to meet: one that is not who it says, and one that lets nobody subscribe."""

import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from simulator.authority import Identity
from simulator.ports import LOOPBACK


class Impostor:
    """Shows `identity` to everybody, and listens to those whom the authority `clients` vouches for. `turned_away`
    counts the clients that did not believe it; `heard` is what the others said."""

    def __init__(self, identity: Identity, *, clients: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._context.verify_mode = ssl.CERT_OPTIONAL
        self._context.load_verify_locations(clients)
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self.turned_away = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._serve, name="impostor", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Until a client has come, and has believed it or not."""
        with self._changed:
            self._changed.wait_for(lambda: self.turned_away or self.heard, timeout_s)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, secured: ssl.SSLSocket, said: bytes) -> None:
        """What a packet of a client's is answered; an impostor keeps still."""

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._meet(connection)

    def _meet(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        heard = b""
        try:
            with self._context.wrap_socket(connection, server_side=True) as secured:
                while said := secured.recv(1_000):  # the packets of a beginning come one by one
                    heard += said
                    self.answer(secured, said)
        except OSError:
            pass
        with self._changed:
            self.heard += heard
            self.turned_away += not heard
            self._changed.notify_all()


class Unwilling(Impostor):
    """A broker that takes every connection and, while `refuses`, refuses every subscription (MQTT 3.1.1, or 5 as AWS
    IoT Core does); while there is `rubbish`, it talks that; while `hangs`, it answers for no message."""

    def __init__(self, identity: Identity, *, clients: Path, version: int) -> None:
        self._version = version
        self.refuses = True
        self.hangs = False
        self.rubbish: list[bytes] = []  # each is what one connection gets before anything else
        super().__init__(identity, clients=clients)

    def answer(self, secured: ssl.SSLSocket, said: bytes) -> None:
        five = self._version == 5
        if self.rubbish and said[0] == 0x10:
            secured.sendall(self.rubbish.pop(0))
            return
        if said[0] == 0x10:  # CONNECT: CONNACK, with no properties
            secured.sendall(b"\x20\x03\x00\x00\x00" if five else b"\x20\x02\x00\x00")
        if said[0] == 0x82:  # SUBSCRIBE: SUBACK, "not authorized" or 3.1.1's "failure", else QoS 1
            reason = (b"\x87" if five else b"\x80") if self.refuses else b"\x01"
            secured.sendall((b"\x90\x04" + said[2:4] + b"\x00" if five else b"\x90\x03" + said[2:4]) + reason)
        while said and said[0] & 0xF0 == 0x30 and not self.hangs:  # PUBLISH (small ones): PUBACK
            header = 2 if said[1] < 0x80 else 3
            length = said[1] & 0x7F | (said[2] << 7 if header == 3 else 0)
            number = header + 2 + int.from_bytes(said[header : header + 2], "big")
            secured.sendall(b"\x40\x02" + said[number : number + 2])
            said = said[header + length :]
