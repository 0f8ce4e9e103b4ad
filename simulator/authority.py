"""A certificate authority of our own, for the local broker and its devices.

moto's certificates carry a key that is not the one asked for, so none of them can open a TLS connection.
"""

import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from models.durable import write_atomic
from models.mqtt import Broker

VALID_DAYS = 365
_FROM_REQUEST = "AWS IoT Certificate"  # to the broker, which goes by names, nobody
_THIS_MACHINE = x509.SubjectAlternativeName(
    [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
)


@dataclass(frozen=True, slots=True)
class Identity:
    """PEM files of somebody's certificate and private key, and of the authority that vouches for them."""

    ca: Path
    certificate: Path
    key: Path

    def serving(self, listening: socket.socket) -> ssl.SSLSocket:
        """The same socket, whose callers are spoken to by TLS, each on the thread that first reads from it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)

    def broker(self, host: str, port: int) -> Broker:
        """How this somebody connects to the broker there."""
        return Broker(host, port, self.ca, self.certificate, self.key)


class Authority:
    """Signs certificates; kept in `folder`, and found again there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = folder / "ca.crt"
        key_file = folder / "ca.key"
        if not self.ca.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("tidegate local authority")
            certificate = (
                _builder(name, name, key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write_key(key_file, key)
            write_atomic(self.ca, certificate.public_bytes(serialization.Encoding.PEM))
        self._certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key_file} holds no elliptic-curve key")
        self._key = loaded

    def server(self) -> Identity:
        """The broker's own identity: 127.0.0.1 and localhost."""
        return self._issue("broker", ExtendedKeyUsageOID.SERVER_AUTH, _THIS_MACHINE)

    def server_elsewhere(self, host: str) -> Identity:
        """The identity of another server that we vouch for, which nobody may take for the broker."""
        return self._issue(host, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName([x509.DNSName(host)]))

    def server_of_before(self) -> Identity:
        """The broker's identity as it was until yesterday."""
        ended = datetime.timedelta(days=1)
        return self._issue("broker-before", ExtendedKeyUsageOID.SERVER_AUTH, _THIS_MACHINE, ended=ended)

    def device(self, thing: str) -> Identity:
        """The identity of a device or service; its common name is what the broker's access rules go by."""
        return self._issue(thing, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def sign(self, request: x509.CertificateSigningRequest) -> str:
        """A device's certificate (PEM) for the key of a signing request, whatever name that asks for: whose it is says
        the registry, as on AWS. ValueError for a request that its own key has not signed, or a key that AWS IoT does
        not take."""
        key = request.public_key()
        if not request.is_signature_valid:
            raise ValueError("its signature is not its key's")
        if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise ValueError("its key is neither RSA nor of an elliptic curve")
        certificate = (
            _builder(_name(_FROM_REQUEST), self._certificate.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _issue(
        self,
        name: str,
        usage: x509.ObjectIdentifier,
        alternative: x509.SubjectAlternativeName | None,
        *,
        ended: datetime.timedelta | None = None,
    ) -> Identity:
        identity = Identity(self.ca, self._folder / f"{name}.crt", self._folder / f"{name}.key")
        if identity.certificate.exists():
            return identity
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(_name(name), self._certificate.subject, key.public_key(), ended=ended)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternative is not None:
            builder = builder.add_extension(alternative, critical=False)
        _write_key(identity.key, key)
        certificate = builder.sign(self._key, hashes.SHA256())
        write_atomic(identity.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return identity


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    *,
    ended: datetime.timedelta | None = None,
) -> x509.CertificateBuilder:
    # valid from five minutes ago on, or until `ended` ago
    now = datetime.datetime.now(datetime.UTC)
    begins = now - datetime.timedelta(minutes=5)
    ends = now + datetime.timedelta(days=VALID_DAYS)
    if ended is not None:
        begins, ends = now - datetime.timedelta(days=VALID_DAYS), now - ended
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomic(path, pem, mode=0o600)
