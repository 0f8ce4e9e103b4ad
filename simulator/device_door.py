"""AWS IoT's front door for devices, at the desk: by what a certificate is worth now, not by who signed it.

A certificate that is active and belongs to a thing leads to the broker, as that thing; one that belongs to none is a
claim, and can only ask for a device's own. Who is let in is cut off when the certificate ends. What is published to
`$aws/...` is answered here, to that client alone. The IoT policies are not looked at.
"""

import asyncio
import contextlib
import hashlib
import logging
import ssl
import threading
import weakref
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from simulator import mqtt_packets as mqtt
from simulator import streams
from simulator.authority import Authority, Identity
from simulator.control.account import Account
from simulator.control.enrolment import Enrolment
from simulator.ports import LOOPBACK

log = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.5  # at whether the certificate is active still
_TROUBLE = (OSError, mqtt.NotMqttError, ClientError, BotoCoreError)

_T = TypeVar("_T")
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DeviceDoor:
    """Listens when constructed, gone with all connections when closed. `address`: HOST:PORT."""

    def __init__(self, account: Account, enrolment: Enrolment, authority: Authority, broker: tuple[str, int]) -> None:
        self._account = account
        self._enrolment = enrolment
        self._authority = authority
        self._broker = broker
        self._transports: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="device-door", daemon=True)
        self._thread.start()
        self._server = self._call(
            asyncio.start_server(self._admit, LOOPBACK, 0, ssl=_context(authority.server(), ssl.PROTOCOL_TLS_SERVER))
        )
        self.address = f"{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    def close(self) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _stop(self) -> None:
        await streams.end(self._server)
        for transport in list(self._transports):
            transport.abort()  # TLS says goodbye, and waits for the other side's

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        certificate = hashlib.sha256(shown).hexdigest()
        self._transports.add(writer.transport)
        try:
            if not await asyncio.to_thread(self._is_active, certificate):
                log.info("certificate %s is not let in: it is not active", certificate)
                return
            thing = await asyncio.to_thread(self._thing_of, certificate)
            broker = None if thing is None else await self._to_broker(thing)
            await self._serve((reader, writer), broker, certificate)
        except _TROUBLE as exc:
            log.debug("a device's connection ended: %r", exc)
        finally:
            writer.close()

    async def _serve(self, device: Stream, broker: Stream | None, certificate: str) -> None:
        """Until one of the two hangs up, or the certificate ends."""
        work = [self._up(device, broker), self._watch(certificate)]
        if broker is not None:
            work.append(_down(broker[0], device[1]))
        tasks = [asyncio.ensure_future(item) for item in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if broker is not None:
                broker[1].close()

    async def _up(self, device: Stream, broker: Stream | None) -> None:
        """Take what the device sends."""
        reader, writer = device
        level = 0
        while (packet := await mqtt.read_packet(reader)) is not None:
            if packet.kind == mqtt.CONNECT:
                level = mqtt.protocol_level(packet)
            if packet.kind == mqtt.PUBLISH:
                said = mqtt.parse_publish(packet, level)
                if said.topic.startswith("$aws/"):
                    if said.number is not None:
                        writer.write(mqtt.puback(said.number))
                    answer = await asyncio.to_thread(self._enrolment.answer, said.topic, said.payload)
                    if answer is not None:
                        writer.write(mqtt.publish(*answer, level))
                    continue
            if packet.kind == mqtt.SUBSCRIBE:
                number, filters = mqtt.parse_subscribe(packet, level)
                if all(topic.startswith("$aws/") for topic in filters):
                    writer.write(mqtt.suback(number, len(filters), level))
                    continue
            if broker is not None:
                broker[1].write(packet.encoded())
                await broker[1].drain()
            elif packet.kind == mqtt.CONNECT:
                writer.write(mqtt.connack(level))
            elif packet.kind == mqtt.PINGREQ:
                writer.write(mqtt.pingresp())
            elif packet.kind != mqtt.PUBACK:
                return  # a claim may do no more

    async def _watch(self, certificate: str) -> None:
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            with contextlib.suppress(ClientError, BotoCoreError):  # who cannot be asked has not said no
                if not await asyncio.to_thread(self._is_active, certificate):
                    log.info("certificate %s has ended: its connection is cut off", certificate)
                    return

    def _is_active(self, certificate: str) -> bool:
        try:
            found = self._account.iot.describe_certificate(certificateId=certificate)
        except ClientError as exc:
            if exc.response["Error"]["Code"] == "ResourceNotFoundException":
                return False
            raise
        return found["certificateDescription"]["status"] == "ACTIVE"

    def _thing_of(self, certificate: str) -> str | None:
        arn = self._account.arn("iot", f"cert/{certificate}")
        things = self._account.iot.list_principal_things(principal=arn)["things"]
        return things[0] if things else None

    async def _to_broker(self, thing: str) -> Stream:
        host, port = self._broker
        context = _context(self._authority.device(thing), ssl.PROTOCOL_TLS_CLIENT)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        self._transports.add(writer.transport)
        return reader, writer


async def _down(broker: asyncio.StreamReader, device: asyncio.StreamWriter) -> None:
    """Pass on what the broker sends, packet by packet, so that answers of ours fit between."""
    while (packet := await mqtt.read_packet(broker)) is not None:
        device.write(packet.encoded())
        await device.drain()


def _context(identity: Identity, side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations(identity.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
