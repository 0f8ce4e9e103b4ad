"""Certificate signing requests: what a device sends so that its private key need not leave it."""

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from models.errors import UsageError

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A request that AWS IoT will take. `public_key` is DER (SubjectPublicKeyInfo)."""

    pem: str
    public_key: bytes


def read_request(data: bytes, where: str) -> SigningRequest:
    """The request in a PEM file; UsageError for what is none, or what AWS IoT would not sign."""
    try:
        request = x509.load_pem_x509_csr(data)
        key = request.public_key()
    except ValueError as exc:
        raise UsageError(
            f"{where} is not a certificate signing request in PEM ({exc}); make one on the device with "
            f"`tidegate gateway identity request`"
        ) from exc
    if b"PRIVATE KEY" in data:
        raise UsageError(f"{where} holds a private key too; it must not leave the device: send the request alone")
    if not request.is_signature_valid:
        raise UsageError(f"{where}: the request is not signed by its own key; make it anew on the device")
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            raise UsageError(f"{where}: AWS IoT takes the curves {', '.join(_CURVES)}, got {key.curve.name}")
    elif not isinstance(key, rsa.RSAPublicKey) or key.key_size < _RSA_BITS:
        raise UsageError(f"{where}: AWS IoT takes keys of RSA from {_RSA_BITS} bits on, or of an elliptic curve")
    return SigningRequest(
        request.public_bytes(Encoding.PEM).decode(), key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def public_key_of(certificate: str) -> bytes:
    """A certificate's public key, as in `SigningRequest`; UsageError for what is no certificate in PEM."""
    return _certificate(certificate).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate_id(certificate: str) -> str:
    """The id under which AWS IoT knows a certificate: the SHA-256 of its DER."""
    return hashlib.sha256(_certificate(certificate).public_bytes(Encoding.DER)).hexdigest()


def expiry_of(certificate: str) -> str:
    """The day on which it ends, as YYYY-MM-DD."""
    return _certificate(certificate).not_valid_after_utc.date().isoformat()


def _certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as exc:
        raise UsageError(f"not a certificate in PEM: {exc}") from exc


def make_key(name: str) -> tuple[bytes, bytes]:
    """A private key for a claim, and its signing request, both PEM. Devices make their own."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        request.public_bytes(Encoding.PEM),
    )
