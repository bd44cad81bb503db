"""The one place where TLS contexts are made, and where the files behind them are looked at.

Rule 1: both ends show a certificate, and only our authority's certificates are believed.
Rule 2: who calls checks the name of whom he called; TLS 1.2 is the least, 1.3 is preferred.
"""

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only; those of 1.3 are all such."""

_Read = TypeVar("_Read")


class Unusable(Exception):
    """One of the files cannot be used; *field* says which: `ca`, `cert` or `key`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where this process's certificate, its key, and the authority's certificates lie, as PEM."""

    ca: Path
    cert: Path
    key: Path

    def check(self) -> None:
        """Raise Unusable with a sentence for the operator when TLS cannot be spoken by them."""
        self.authorities()
        self.own()

    def authorities(self) -> list[x509.Certificate]:
        """Return the authority's certificates.  Raises Unusable."""
        return _certificates("ca", self.ca)

    def own(self) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
        """Return our certificate, those between, and its key.  Raises Unusable."""
        chain = _certificates("cert", self.cert)
        key = _private_key(self.key)
        if key.public_key() != chain[0].public_key():
            raise Unusable("key", f"{self.key} is not the key of the certificate in {self.cert}")
        return chain, key

    def server(self) -> ssl.SSLContext:
        """Return the context of a listener.  Raises OSError when the files have gone bad."""
        context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        # No resumption: each connection shows its certificate, which may have expired meanwhile.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        return context

    def client(self) -> ssl.SSLContext:
        """Return the context of a caller.  Raises OSError when the files have gone bad."""
        context = self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname = True
        return context

    def names(self) -> tuple[str, ...]:
        """Return the URIs that our own certificate names.  Raises Unusable."""
        return uris(_certificates("cert", self.cert)[0])

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.load_verify_locations(cafile=self.ca)
        # With a password OpenSSL fails where it would ask at the terminal.
        context.load_cert_chain(self.cert, self.key, password="")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def names_of(der: bytes) -> tuple[str, ...]:
    """Return the URIs that a peer's certificate names: none for what cannot be a workload's."""
    try:
        return uris(x509.load_der_x509_certificate(der))
    except ValueError:
        return ()


def uris(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the URIs that *certificate* names, none for an authority's.

    A certificate that may sign others is no workload's (X.509-SVID, section 4.1).  Raises
    ValueError for one whose extensions cannot be read.
    """
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        pass
    else:
        if constraints.value.ca:
            return ()
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.value.get_values_for_type(x509.UniformResourceIdentifier))


def _certificates(field: str, path: Path) -> list[x509.Certificate]:
    return _parsed(field, path, x509.load_pem_x509_certificates, "no certificate as PEM")


def _private_key(path: Path) -> PrivateKeyTypes:
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise Unusable("key", f"{path} cannot be read: {exc.strerror}") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Unusable("key", f"{path} is open to others: `chmod 600 {path}`")
    wanted = "no private key as PEM without a password"
    return _parsed("key", path, lambda text: load_pem_private_key(text, None), wanted)


def _parsed(field: str, path: Path, parse: Callable[[bytes], _Read], wanted: str) -> _Read:
    try:
        return parse(path.read_bytes())
    except OSError as exc:
        raise Unusable(field, f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: nothing of a key is repeated.
        raise Unusable(field, f"{path} holds {wanted}") from None
