"""A device's key and certificate: made here, changed together, and found again after a kill."""

import os
import shutil
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from edge.identity import CURRENT, certificate_id, current_id, make_request, stage, switch
from models.errors import ConfigError
from simulator.authority import Authority
from tidegate import main

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity"


def _certificate(authority: Authority, folder: Path, name: str = "line-1") -> bytes:
    """The certificate that the cloud would send back."""
    request = make_request(folder, name)
    return authority.sign(x509.load_pem_x509_csr(request.read_bytes())).encode()


def _usable(folder: Path) -> None:
    current = folder / CURRENT
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(current / "certificate.pem", current / "private.key")


def test_a_key_is_made_once_and_is_nobody_elses_to_read(folder: Path) -> None:
    request = make_request(folder, "line-1")
    key = request.with_name("private.key")
    before = key.read_bytes()

    assert make_request(folder, "line-1") == request
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o711
    asked = x509.load_pem_x509_csr(request.read_bytes())
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == "CN=line-1"
    assert b"PRIVATE" not in request.read_bytes()


def test_a_certificate_is_used_with_its_key_from_one_moment_on(authority: Authority, folder: Path) -> None:
    first = switch(folder, stage(folder, _certificate(authority, folder)))
    _usable(folder)
    staged = stage(folder, _certificate(authority, folder))
    assert current_id(folder) == first

    second = switch(folder, staged)

    _usable(folder)
    assert current_id(folder) == second != first
    assert not (folder / "next").exists()


def test_the_one_before_is_kept_and_older_ones_are_not(authority: Authority, folder: Path) -> None:
    ids = [switch(folder, stage(folder, _certificate(authority, folder))) for _ in range(3)]

    assert sorted(path.name for path in folder.iterdir()) == sorted([CURRENT, ids[1][:16], ids[2][:16]])


def test_who_may_read_the_key_may_read_the_next_one(authority: Authority, folder: Path) -> None:
    switch(folder, stage(folder, _certificate(authority, folder)))
    (folder / CURRENT / "private.key").chmod(0o640)
    if os.geteuid() == 0:
        os.chown(folder / CURRENT / "private.key", 0, 65534)

    switch(folder, stage(folder, _certificate(authority, folder)))

    found = (folder / CURRENT / "private.key").stat()
    assert found.st_mode & 0o777 == 0o640
    assert found.st_gid == (65534 if os.geteuid() == 0 else os.getegid())


def test_a_switch_that_was_killed_in_the_middle_goes_on(authority: Authority, folder: Path) -> None:
    first = switch(folder, stage(folder, _certificate(authority, folder)))
    certificate = _certificate(authority, folder)
    identity = certificate_id(certificate)
    stage(folder, certificate).rename(folder / identity[:16])  # and no further
    assert current_id(folder) == first

    assert switch(folder, stage(folder, certificate)) == identity
    assert switch(folder, stage(folder, certificate)) == identity
    _usable(folder)


def test_a_certificate_for_another_key_changes_nothing(authority: Authority, folder: Path, tmp_path: Path) -> None:
    first = switch(folder, stage(folder, _certificate(authority, folder)))
    make_request(folder, "line-1")
    other = _certificate(authority, tmp_path / "another device")

    with pytest.raises(ConfigError, match="is not for the key in"):
        stage(folder, other)
    assert current_id(folder) == first
    assert not (folder / "next" / "certificate.pem").exists()


@pytest.mark.parametrize("text", [b"", b"nothing", b"\xff"])
def test_what_is_no_certificate_is_said(folder: Path, text: bytes) -> None:
    make_request(folder, "line-1")

    with pytest.raises(ConfigError, match="not a certificate in PEM"):
        stage(folder, text)


def test_without_openssl_it_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(ConfigError, match="apt install openssl"):
        make_request(folder, "line-1")


def test_a_folder_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot be written"):
        make_request(tmp_path / "file" / "identity", "line-1")


def test_the_command_makes_installs_and_shows(
    authority: Authority, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["gateway", "identity"]
    where = ["--folder", str(folder)]
    assert main([*command, "show", *where]) == 2
    assert "holds no identity" in capsys.readouterr().err

    assert main([*command, "request", *where, "--name", "line-1"]) == 0
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(_certificate(authority, folder))
    assert main([*command, "install", *where, str(certificate)]) == 0
    assert main([*command, "show", *where]) == 0
    assert certificate_id(certificate.read_bytes()) in capsys.readouterr().out
    assert main([*command, "install", *where, str(tmp_path / "none.pem")]) == 2
    assert "none.pem cannot be read" in capsys.readouterr().err
