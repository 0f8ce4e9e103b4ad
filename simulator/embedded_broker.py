"""amqtt as a process of its own, with mosquitto's rules: `python -m simulator.embedded_broker CONFIG`."""

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from amqtt.broker import Broker
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from models.errors import WireError
from models.topics import acks_topic, parse_results_topic


class CertificateNames(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets in whoever shows a certificate of our authority, under its common name; without TLS, where the broker
    listens so, under the user name it gives."""

    async def authenticate(self, *, session: Session) -> bool | None:
        if session.ssl_object is None:
            return bool(session.username)
        name = _common_name(session.ssl_object.getpeercert() or {})
        session.username = name
        return name is not None


class TopicRules(BaseTopicPlugin):  # type: ignore[misc]
    """A gateway's own topics for a gateway, everybody's for ingest."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        name = session.username if session else None
        if name is None or topic is None:
            return False
        if name == "ingest":
            own = "tidegate/v1/acks/" if action == Action.PUBLISH else "tidegate/v1/results/"
            return bool(topic.startswith(own))
        if action == Action.PUBLISH:
            try:
                return bool(parse_results_topic(topic).gateway == name)
            except WireError:
                return False
        return bool(topic == acks_topic(name))


def _common_name(certificate: dict[str, object]) -> str | None:
    subject = certificate.get("subject", ())
    if not isinstance(subject, tuple):
        return None
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[0] if names else None


async def serve(config: dict[str, object]) -> None:
    """Run until SIGTERM."""
    broker = Broker(config)
    await broker.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_bytes())))
