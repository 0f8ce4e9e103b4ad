"""The local broker: mosquitto where it is installed, else the embedded amqtt; TLS and device certificates on both.

Whoever connects must hold a certificate of our authority, and its common name says what it may do: a gateway
publishes its own results and reads its own acknowledgements, `ingest` reads results and publishes acknowledgements.
On a plain listener, for light gateways, the user name takes the place of the certificate.
"""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

from models.durable import write_atomic
from simulator import processes
from simulator.authority import Authority
from simulator.ports import LOOPBACK, free_port, wait_until_listening

log = logging.getLogger(__name__)

INGEST = "ingest"


class LocalBroker:
    """A broker process on a port of 127.0.0.1 that it keeps over restarts."""

    def __init__(
        self, folder: Path, authority: Authority, *, embedded: bool | None = None, plain: bool = False
    ) -> None:
        """`embedded`: None takes mosquitto if it is on PATH. `plain`: also listen at `plain_port` without TLS, where
        whoever connects is who its user name says: for gateways that are simulated by the thousand."""
        self.host = LOOPBACK
        self.port = free_port()
        self.plain_port = free_port() if plain else 0
        mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        self.kind = "amqtt" if embedded or (embedded is None and mosquitto is None) else "mosquitto"
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        if self.kind == "mosquitto":
            if mosquitto is None:
                raise FileNotFoundError("mosquitto is not installed")
            self._command = [mosquitto, "-c", str(_mosquitto_files(folder, authority, self.port, self.plain_port))]
        else:
            config = _amqtt_file(folder, authority, self.port, self.plain_port)
            self._command = [sys.executable, "-m", "simulator.embedded_broker", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again on the same port; returns once it listens."""
        self._process = processes.start(self._command, log=self.folder / "broker.log")
        wait_until_listening(self.port, timeout_s=15)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process is not None else None

    def kill(self) -> None:
        """Gone without a goodbye, as when the machine under it loses power."""
        if self._process is not None:
            processes.kill(self._process)
            self._process = None

    def close(self) -> None:
        if self._process is not None:
            processes.stop(self._process)
            self._process = None


def _mosquitto_files(folder: Path, authority: Authority, port: int, plain_port: int) -> Path:
    server = authority.server()
    rules = folder / "mosquitto.acl"
    rules_text = (
        "pattern write tidegate/v1/results/+/%u\n"
        "pattern read tidegate/v1/acks/%u\n"
        f"user {INGEST}\n"
        "topic read tidegate/v1/results/#\n"
        "topic write tidegate/v1/acks/#\n"
    )
    write_atomic(rules, rules_text.encode(), mode=0o600)
    config = folder / "mosquitto.conf"
    config_text = (
        f"listener {port} {LOOPBACK}\n"
        f"cafile {server.ca}\ncertfile {server.certificate}\nkeyfile {server.key}\n"
        "require_certificate true\nuse_identity_as_username true\n"
        f"acl_file {rules}\n"
        "persistence false\nmax_queued_messages 10000\n"
        "set_tcp_nodelay true\n"  # else what is above 4 KB arrives 44 ms late
        # mosquitto started by root drops to a user that cannot read our keys; nothing here needs root's rights
        "user root\n"
    )
    if plain_port:
        config_text += f"listener {plain_port} {LOOPBACK}\nallow_anonymous true\n"
    write_atomic(config, config_text.encode())
    return config


def _amqtt_file(folder: Path, authority: Authority, port: int, plain_port: int) -> Path:
    server = authority.server()
    config = folder / "amqtt.json"
    with_certificates = {
        "type": "tcp",
        "bind": f"{LOOPBACK}:{port}",
        "ssl": True,
        "cafile": str(server.ca),
        "certfile": str(server.certificate),
        "keyfile": str(server.key),
    }
    plain = {"type": "tcp", "bind": f"{LOOPBACK}:{plain_port}"}
    document: dict[str, object] = {
        # whatever a listener leaves out it takes from the default one, TLS too
        "listeners": {"default": plain, "tls": with_certificates} if plain_port else {"default": with_certificates},
        "plugins": {
            "simulator.embedded_broker.CertificateNames": {},
            "simulator.embedded_broker.TopicRules": {},
        },
    }
    write_atomic(config, json.dumps(document, indent=1).encode())
    return config
