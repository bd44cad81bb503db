"""What the holder of a certificate said, proved to whoever reads it elsewhere and later.

For words that go by way of a broker: there the reader sees no peer whose certificate it could ask.

Rule 1: the certificate was good when its holder signed, and that was at most AGE_S ago.
Rule 2: nothing is signed by a certificate that has run out: what nobody would believe stays here.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, VerificationError

from config import tls
from config.tls import Credentials, Unusable

AGE_S: Final = 7 * 86400
"""Seconds that words may be on their way: a dead letter is looked at on Monday."""

_MOST: Final = 6
"""Certificates of a chain that are looked at."""

_ECDSA: Final = ec.ECDSA(SHA256())
_PSS: Final = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
_SHOWN: Final = frozenset(
    {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
)
_MALFORMED: Final = (
    ValueError,
    TypeError,
    OverflowError,
    OSError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)
"""What cryptography, base64 and datetime raise about the words of a stranger."""


class Unproven(Exception):
    """Nothing shows who said it: says why."""


class Prover:
    """Proves what is said to be said by the holder of *credentials*, which names *uri*.

    The files are looked at each time, so that renewed ones are taken without a restart.
    """

    def __init__(self, credentials: Credentials, uri: str) -> None:
        self._credentials = credentials
        self._uri = uri
        self._stamp: tuple[int, ...] = ()
        self._own: tuple[list[x509.Certificate], PrivateKeyTypes] | None = None

    def look(self) -> None:
        """Read the files if they are new.  Raises Unusable where nothing can be proved by them."""
        self._current()

    def proof(self, text: bytes, now: float) -> dict[str, Any]:
        """Return what proves that the holder said *text*; *now* is seconds since the epoch.

        Raises Unusable.
        """
        chain, key = self._current()
        if not chain[0].not_valid_before_utc <= _utc(now) <= chain[0].not_valid_after_utc:
            ends = f"{chain[0].not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC"
            raise Unusable("cert", f"{self._credentials.cert} is not valid now: it ends {ends}")
        return {
            "at": int(now),
            "chain": [_text(each.public_bytes(Encoding.DER)) for each in chain],
            "signature": _text(_signed(key, _bound(text, int(now)))),
        }

    def _current(self) -> tuple[list[x509.Certificate], PrivateKeyTypes]:
        stamp = _stamp(self._credentials.cert) + _stamp(self._credentials.key)
        if self._own is None or stamp != self._stamp:
            chain, key = self._credentials.own()
            if tls.uris(chain[0]) != (self._uri,):
                raise Unusable("cert", f"{self._credentials.cert} is not of {self._uri} alone")
            _signed(key, b"")  # a kind of key that cannot sign is told of now
            self._own, self._stamp = (chain, key), stamp
        return self._own


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when the file at *path* is written or replaced; a lost one is another."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_ino, found.st_size


def holder(proof: object, text: bytes, credentials: Credentials, now: float) -> tuple[str, ...]:
    """Return the URIs of whoever said *text*, by *proof*; *now* is seconds since the epoch.

    Only the authority of *credentials* is believed.  Raises Unproven, and Unusable where its file
    has gone bad.
    """
    at, chain, signature = _read(proof)
    try:
        _check(chain[0].public_key(), signature, _bound(text, at))
    except InvalidSignature:
        raise Unproven("its proof is of other words") from None
    except _MALFORMED as exc:
        raise Unproven(f"its certificate's key cannot be read: {exc!r}") from exc
    if abs(now - at) > AGE_S:
        raise Unproven(f"it was said {now - at:.0f} s ago")
    try:
        _verifier(credentials.authorities(), at).verify(chain[0], chain[1:])
        return tls.uris(chain[0])
    except (VerificationError, *_MALFORMED) as exc:
        raise Unproven(f"its certificate is refused: {exc}") from exc


def _read(proof: object) -> tuple[int, list[x509.Certificate], bytes]:
    if not isinstance(proof, Mapping):
        raise Unproven("it bears no proof of who says it")
    try:
        chain = [x509.load_der_x509_certificate(_bytes(each)) for each in proof["chain"][:_MOST]]
        at = int(proof["at"])
        _utc(at)
        signature = _bytes(proof["signature"])
    except (*_MALFORMED, KeyError) as exc:
        raise Unproven(f"its proof is malformed: {exc!r}") from exc
    if not chain:
        raise Unproven("its proof holds no certificate")
    return at, chain, signature


def _verifier(authorities: list[x509.Certificate], at: int) -> verification.ClientVerifier:
    store = verification.Store(authorities)
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign_certificates)
    )
    own = ExtensionPolicy.permit_all().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_be_shown
    )
    return (
        verification.PolicyBuilder()
        .store(store)
        .time(_utc(at))
        .max_chain_depth(_MOST)
        .extension_policies(ca_policy=authority, ee_policy=own)
        .build_client_verifier()
    )


def _may_sign_certificates(
    _policy: object, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a certificate is signed by a key that may not sign certificates")


def _may_be_shown(
    _policy: object, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and not _SHOWN & set(usage):
        raise ValueError("it is for servers only")


def _signed(key: PrivateKeyTypes, text: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(text, _ECDSA)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, _PSS, SHA256())
    raise Unusable("key", "want a key of RSA or of an elliptic curve (ECDSA)")


def _check(key: CertificatePublicKeyTypes, signature: bytes, text: bytes) -> None:
    """Return if *signature* was made by *key*.  Raises InvalidSignature, Unproven."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, text, _ECDSA)
    elif isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, text, _PSS, SHA256())
    else:
        raise Unproven("its certificate's key is neither of RSA nor of an elliptic curve")


def _bound(text: bytes, at: int) -> bytes:
    """Return what is signed: for nothing else does a key of ours sign words like these."""
    return b"sprout proof 1 %d\n" % at + text


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
