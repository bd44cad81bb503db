"""Credentials are refused before they are needed, with the variable's name and what to do."""

import socket
import ssl
import threading
from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from config import tls
from config.settings import BadSettings, Settings
from tests.services import certificates

HERE = "localhost"
GOOD = f"spiffe://sprout.local/site/{'1' * 8}-1111-4111-8111-{'1' * 12}/agent/x"


@pytest.fixture
def authority(tmp_path):
    return certificates.authority(tmp_path / "ours")


@pytest.fixture
def own(authority, tmp_path, monkeypatch):
    """Good credentials, and settings that name them."""
    monkeypatch.chdir(tmp_path)
    made = authority.issue("own", GOOD, hosts=(HERE, "127.0.0.1"))
    for name, value in certificates.variables(made).items():
        monkeypatch.setenv(name, value)
    return made


def refusal():
    with pytest.raises(BadSettings) as caught:
        Settings.load().credentials()
    return str(caught.value)


def test_without_tls_there_are_no_credentials():
    assert Settings.load().credentials() is None


def test_good_credentials_are_taken(own):
    assert Settings.load().credentials() == own


@pytest.mark.parametrize("name", ["CA", "CERT", "KEY"])
def test_a_file_that_is_not_named_is_asked_for(own, monkeypatch, name):
    monkeypatch.delenv(f"SPROUT_TLS_{name}_FILE")

    assert refusal() == f"SPROUT_TLS_{name}_FILE: want a file with SPROUT_TLS_ENABLED"


@pytest.mark.parametrize("name", ["CA", "CERT", "KEY"])
def test_a_file_that_is_not_there_is_named(own, monkeypatch, name):
    monkeypatch.setenv(f"SPROUT_TLS_{name}_FILE", "/nowhere/x.pem")

    assert refusal() == (
        f"SPROUT_TLS_{name}_FILE: /nowhere/x.pem cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ca", "no certificate as PEM"),
        ("cert", "no certificate as PEM"),
        ("key", "no private key as PEM without a password"),
    ],
)
@pytest.mark.parametrize("content", ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_of_something_else_is_refused(own, name, wanted, content):
    path = getattr(own, name)
    path.write_text(content)

    assert refusal() == f"SPROUT_TLS_{name.upper()}_FILE: {path} holds {wanted}"


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(own):
    key = load_pem_private_key(own.key.read_bytes(), None)
    locked = BestAvailableEncryption(b"hunter22")
    own.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))

    assert "no private key as PEM without a password" in refusal()


def test_the_key_of_another_certificate_is_refused(own, authority, monkeypatch):
    other = authority.issue("other").key
    monkeypatch.setenv("SPROUT_TLS_KEY_FILE", str(other))

    assert refusal() == (
        f"SPROUT_TLS_KEY_FILE: {other} is not the key of the certificate in {own.cert}"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_that_is_open_to_others_is_refused(own, mode):
    own.key.chmod(mode)

    assert refusal() == (f"SPROUT_TLS_KEY_FILE: {own.key} is open to others: `chmod 600 {own.key}`")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("SPROUT_BROKER", "amqp"),
        ("SPROUT_SITE_BROKER", "amqp"),
        ("SPROUT_BROKER_ADMIN_URL", "http"),
    ],
)
def test_with_tls_nothing_that_bears_a_password_crosses_a_network_in_clear(
    own, monkeypatch, name, scheme
):
    monkeypatch.setenv(name, f"{scheme}://sprout:hunter22@bus/")

    assert refusal() == f"{name}: want {scheme}s:// with SPROUT_TLS_ENABLED"


@pytest.mark.parametrize(
    "url", ["amqps://bus/", "amqp://127.0.0.1/", "amqp://[::1]:5672/", "postgres", ""]
)
def test_with_tls_a_broker_behind_tls_or_on_this_machine_is_taken(own, monkeypatch, url):
    monkeypatch.setenv("SPROUT_BROKER", url)

    assert Settings.load().broker.get_secret_value() == url


def test_who_only_calls_the_api_needs_no_readable_key(own):
    own.key.unlink()

    assert Settings.load().tls_enabled


# --- what the contexts believe ---


def handshake(server, client, name=HERE):
    """Return the TLS version and the URIs that the server saw; raises what either end does."""
    one, other = socket.socketpair()
    for end in (one, other):
        end.settimeout(60)
    seen, failures = [], []

    def answer():
        with one, suppress(OSError):
            try:
                with server.wrap_socket(one, server_side=True) as line:
                    seen.append((line.version(), tls.names_of(line.getpeercert(True))))
                    line.sendall(b"x")
            except OSError as exc:
                failures.append(exc)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with other, client.wrap_socket(other, server_hostname=name) as line:
            line.recv(1)
    finally:
        thread.join()
    if failures:
        raise failures[0]
    return seen[0]


def test_both_ends_show_their_certificates_by_tls_1_3(own):
    assert handshake(own.server(), own.client()) == ("TLSv1.3", (GOOD,))


def test_tls_1_2_is_spoken_with_forward_secrecy_and_nothing_older(own):
    old, older = own.client(), own.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(own.server(), old)[0] == "TLSv1.2"
    assert {c["kea"] for c in old.get_ciphers() if c["protocol"] == "TLSv1.2"} == {"kx-ecdhe"}

    with pytest.warns(DeprecationWarning, match="deprecated"):
        older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)ssl|protocol|reset|eof"):
        handshake(own.server(), older)


def test_a_server_of_another_name_is_refused(own):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(own.server(), own.client(), name="elsewhere.example.org")


def test_a_server_of_a_foreign_authority_is_refused(own, tmp_path):
    foreign = certificates.authority(tmp_path / "foreign").issue("edge", hosts=(HERE,))

    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed certificate in"):
        handshake(foreign.server(), own.client())


def test_the_system_s_authorities_are_not_believed(own):
    for context in (own.server(), own.client()):
        [only] = context.get_ca_certs()
        assert only["subject"] == ((("commonName", "authority"),),)


def test_a_certificate_that_may_sign_others_names_no_workload(authority):
    signer = authority.issue("signer", GOOD, signs=True)

    assert signer.names() == ()


def test_what_is_no_certificate_names_no_workload():
    assert tls.names_of(b"x") == ()
