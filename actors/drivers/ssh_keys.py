"""Keys that live as long as one login: ed25519, alone or with a certificate of some minutes."""

import secrets
import time
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_private_key,
)

from actors.drivers.errors import Refused
from config.secrets import Secret

EARLY_S: Final = 300
"""Seconds that a certificate is good before it was made: machines' clocks are behind at first."""

GOOD_FOR_S: Final = 300
"""Seconds that it is good after: it is looked at when a login begins, and not again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who logs in, by which key: *private_key* is OpenSSH's form; *serial* is the certificate's."""

    user: str
    private_key: Secret
    certificate: str = ""
    serial: int = 0

    @property
    def public(self) -> str:
        """The public half of the key, as authorized_keys has it.  Raises Refused."""
        try:
            key = load_ssh_private_key(self.private_key.reveal().encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Refused(f"the key of {self.user} is no key in OpenSSH's form") from None
        return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@dataclass(frozen=True, slots=True)
class Fresh:
    """A key that was made now, and lies nowhere."""

    key: Ed25519PrivateKey

    @classmethod
    def made(cls) -> Self:
        """Make a key."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def public(self) -> str:
        """The public key as authorized_keys has it, without a comment."""
        return public(self.key)

    def login(self, user: str, *, certificate: str = "", serial: int = 0) -> Login:
        """Return how *user* logs in by this key."""
        text = self.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        return Login(
            user=user, private_key=Secret(text.decode()), certificate=certificate, serial=serial
        )


def public(key: Ed25519PrivateKey) -> str:
    """Return the public half of *key*, as authorized_keys has it."""
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def certified(
    authority: Ed25519PrivateKey,
    *,
    user: str,
    principal: str,
    what: str,
    good_for_s: int = GOOD_FOR_S,
) -> Login:
    """Return a login of *user* by a fresh key, certified by *authority* for *principal* alone.

    The certificate permits no terminal and no forwarding; *what* stands in the host's log.
    """
    fresh, serial, now = Fresh.made(), secrets.randbits(63), int(time.time())
    made = (
        SSHCertificateBuilder()
        .public_key(fresh.key.public_key())
        .serial(serial)
        .type(SSHCertificateType.USER)
        .key_id(what.encode())
        .valid_principals([principal.encode()])
        .valid_after(now - EARLY_S)
        .valid_before(now + good_for_s)
        .sign(authority)
    )
    return fresh.login(user, certificate=made.public_bytes().decode(), serial=serial)
