"""The local admin's password: kept as scrypt (RFC 7914), compared in constant time.

It reads `scrypt$LOG2N$R$P$SALT$HASH`, both in base64 without a `$`, so that it can stand in a file
of variables as it is, between single quotes.
"""

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from typing import Final

LOG2_N: Final = 15
R: Final = 8
P: Final = 1
"""32 MiB and about a tenth of a second on one core."""

_FORM: Final = re.compile(
    r"scrypt\$(1[4-9])\$(8)\$([1-4])\$([A-Za-z0-9+/=]{22,44})\$([A-Za-z0-9+/=]{43,88})"
)
LEAST: Final = 12
MOST: Final = 1024
"""Characters of a password: fewer are guessed, and no person types more."""


def hashed(password: str) -> str:
    """Return what is kept of *password*."""
    salt = secrets.token_bytes(16)
    told = (b64encode(part).decode() for part in (salt, _scrypt(password, salt, LOG2_N, R, P)))
    return "$".join(("scrypt", str(LOG2_N), str(R), str(P), *told))


def right(password: str, kept: str) -> bool:
    """Whether *kept* was made of *password*; takes as long for a wrong one."""
    match = _FORM.fullmatch(kept)
    if match is None or not 0 < len(password) <= MOST:
        return False
    log2_n, r, p = (int(part) for part in match.groups()[:3])
    salt, wanted = b64decode(match[4]), b64decode(match[5])
    return hmac.compare_digest(_scrypt(password, salt, log2_n, r, p), wanted)


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    n = 1 << log2_n
    memory = 128 * r * (n + p) + (1 << 20)
    return hashlib.scrypt(
        password.encode(errors="replace"), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=32
    )
