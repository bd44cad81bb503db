"""The agent's own authority over logins: its key is made here, lies here, and never leaves.

The file is sealed by the site's key, so that a copy of the folder without the enrolment lets nobody
in.  To have another authority, remove the file and start the agent again: machines that trust the
old one alone are installed anew, or given the line that `sprout sites ssh-ca` prints.
"""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from actors.drivers import ssh_keys
from actors.drivers.ssh_keys import Login
from models import ssh_access

FILE: Final = "ssh-authority.pem"

log = structlog.get_logger()


class Authority:
    """What certifies logins of this agent's tasks."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public(self) -> str:
        """The public key, as machines trust it."""
        return ssh_keys.public(self._key)

    def login(self, machine: UUID, what: str) -> Login:
        """Return a login to *machine* alone, good for some minutes; *what* it is for."""
        return ssh_keys.certified(
            self._key,
            user=ssh_access.USER,
            principal=ssh_access.principal(machine),
            what=what,
        )


def opened(folder: Path, site_key: bytes) -> Authority | None:
    """Return the authority that lies in *folder*, made there where there is none.

    None where it cannot be opened: an authority that machines trust is never replaced unasked.
    """
    path, seal = folder / FILE, _seal(site_key)
    try:
        if not path.exists():
            _write(path, Ed25519PrivateKey.generate(), seal)
        key = load_pem_private_key(path.read_bytes(), seal)
    except (OSError, ValueError, TypeError) as exc:
        log.warning(
            "authority.unusable", file=str(path), why=str(exc), hint="remove it for another"
        )
        return None
    return Authority(key) if isinstance(key, Ed25519PrivateKey) else None


def _seal(site_key: bytes) -> bytes:
    return hmac.new(site_key, b"sprout ssh authority 1", hashlib.sha256).hexdigest().encode()


def _write(path: Path, key: Ed25519PrivateKey, seal: bytes) -> None:
    """Write *key* whole or not at all; nobody else can read it, at no moment."""
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(seal))
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
