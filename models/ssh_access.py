"""How a site gets into a machine's system by SSH: which host keys it has, whom it lets in.  Pure.

A site's agent has an authority of its own.  A machine that it installs lets in, as root, whoever
bears a certificate of that authority for this machine alone; no key lies anywhere between tasks.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

USER: Final = "root"
"""Whom a task is run as."""

ADVERTISED: Final = "ssh_ca"
"""What an agent's registration calls the public key of its authority."""

_KEY: Final = re.compile(r"(?P<kind>[a-z0-9@.-]{1,64}) (?P<blob>[A-Za-z0-9+/]{32,4096}={0,2})")


def public_key(text: object) -> str:
    """Return *text*'s kind and key without its comment; empty where it is no public key."""
    found = _KEY.match(text) if isinstance(text, str) else None
    return "" if found is None or not _blob(found) else found[0]


def _blob(found: re.Match[str]) -> bytes:
    try:
        blob = base64.b64decode(found["blob"], validate=True)
    except binascii.Error:
        return b""
    kind = found["kind"].encode()
    return blob if blob.startswith(len(kind).to_bytes(4) + kind) else b""


def fingerprint(key: str) -> str:
    """Return SHA256:... of a public key, as ssh-keygen -l shows it; empty for what is no key."""
    found = _KEY.match(key)
    blob = b"" if found is None else _blob(found)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest}" if blob else ""


def principal(machine: UUID) -> str:
    """Return whom a certificate must name to be let into *machine*."""
    return f"sprout-{machine}"


def authorised(authority: str, machine: UUID) -> str:
    """Return the line of authorized_keys by which *machine* lets tasks of *authority* in."""
    options = f'restrict,cert-authority,principals="{principal(machine)}"'
    return f"{options} {public_key(authority)} sprout-site"


def lines(authorities: Iterable[object], machine: UUID) -> tuple[str, ...]:
    """Return what *machine* needs to let in tasks of *authorities*, once each."""
    known = dict.fromkeys(filter(None, map(public_key, authorities)))
    return tuple(authorised(each, machine) for each in known)
