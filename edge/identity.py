"""A device's identity in the cloud: its private key, which never leaves it, and the certificate for that key.

    FOLDER/next/      private.key, request.csr           what was asked for
    FOLDER/<id>/      private.key, certificate.pem       what was installed
    FOLDER/current -> <id>

Who connects is configured with FOLDER/current/...: key and certificate change together, by one rename. Keys are made by
openssl, which every Debian has; nothing else that is installed on a gateway can.
"""

import hashlib
import os
import shutil
import ssl
import subprocess
from pathlib import Path

from models.durable import sync_folder, write_atomic
from models.errors import ConfigError

CURRENT = "current"
_NEXT = "next"
_ID_DIGITS = 16
_OPENSSL_S = 60


def make_request(folder: Path, name: str) -> Path:
    """A new private key, and the file with its signing request; those of an earlier call until they were installed."""
    key, request = folder / _NEXT / "private.key", folder / _NEXT / "request.csr"
    try:
        # others may pass through: the key's own owner and mode say who may read it
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        if not key.exists():
            made = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
            write_atomic(key, made, mode=0o600)
        if not request.exists():
            write_atomic(request, _openssl("req", "-new", "-key", str(key), "-subj", f"/CN={name}"))
    except OSError as exc:
        raise ConfigError(f"the identity in {folder} cannot be written: {exc.strerror}") from exc
    return request


def stage(folder: Path, certificate: bytes) -> Path:
    """Put the certificate beside the key that it was made for, without using it yet; the folder of both. ConfigError
    for one that belongs to another key."""
    staged = folder / _NEXT
    identity = certificate_id(certificate)
    installed = folder / identity[:_ID_DIGITS]
    if not staged.exists() and installed.exists():
        return installed  # by an earlier call, which may have died before it was done
    if not (staged / "private.key").exists():
        raise ConfigError(f"{folder} holds no key that waits for a certificate; make one with `identity request` first")
    write_atomic(staged / "certificate.pem", certificate)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(staged / "certificate.pem", staged / "private.key")
    except ssl.SSLError as exc:
        (staged / "certificate.pem").unlink()
        raise ConfigError(
            f"certificate {identity} is not for the key in {staged}; give the one made for {staged}/request.csr"
        ) from exc
    return staged


def switch(folder: Path, staged: Path) -> str:
    """Use what was staged from now on; its certificate's id. What was used before stays beside it, what came before
    that is deleted."""
    identity = certificate_id((staged / "certificate.pem").read_bytes())
    installed = folder / identity[:_ID_DIGITS]
    _as_before(folder / CURRENT / "private.key", staged / "private.key")
    if staged != installed:
        staged.rename(installed)
        sync_folder(folder)
    link, temporary = folder / CURRENT, folder / f".{CURRENT}"
    before = link.resolve() if link.is_symlink() else None
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(installed.name)
    temporary.replace(link)
    sync_folder(folder)
    kept = (installed.resolve(), before, (folder / _NEXT).resolve())
    for other in folder.iterdir():
        if other.is_dir() and other.resolve() not in kept:
            shutil.rmtree(other)
    return identity


def _as_before(before: Path, key: Path) -> None:
    """Whoever may read the key in use may read the next one, too: a nucleus, or a service of another user."""
    try:
        was, now = before.stat(), key.stat()
        if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
            os.chown(key, was.st_uid, was.st_gid)
        key.chmod(was.st_mode & 0o777)
    except FileNotFoundError:
        return  # the first one
    except PermissionError as exc:
        raise ConfigError(f"{key} cannot be given to the owner of {before}: call this as root") from exc


def current_id(folder: Path) -> str | None:
    """The id of the certificate in use, None where none was installed."""
    try:
        return certificate_id((folder / CURRENT / "certificate.pem").read_bytes())
    except FileNotFoundError:
        return None


def certificate_id(certificate: bytes) -> str:
    """The id under which AWS IoT knows it: the SHA-256 of its DER. ConfigError for what is no certificate in PEM."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode().strip())).hexdigest()
    except ValueError as exc:
        raise ConfigError(f"not a certificate in PEM: {exc}") from exc


def _openssl(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["openssl", *arguments], capture_output=True, timeout=_OPENSSL_S, check=False)
    except FileNotFoundError as exc:
        raise ConfigError("openssl is not installed, which makes the key; install it: apt install openssl") from exc
    except subprocess.TimeoutExpired as exc:
        raise ConfigError(f"openssl {arguments[0]} took more than {_OPENSSL_S} s; is there a lack of entropy?") from exc
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason"]
        raise ConfigError(f"openssl {arguments[0]} failed: {lines[-1]}")
    return done.stdout
