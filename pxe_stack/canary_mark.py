"""How the site's own canary is known from machines: by its MACs, and what is said to them.

A canary is answered as any client, and leaves nothing behind: no lease, no discovery, no row.
"""

import hashlib
import hmac
from socket import inet_aton
from typing import Final

MACS: Final = "02:53:70:72:74:"
"""What each MAC of a canary begins with: administered locally, so that no machine is made so."""
CHALLENGE: Final = 224
"""Option of a canary: bytes that only an agent of its site can answer (RFC 3942: for the site)."""
CHALLENGE_BYTES: Final = 16
PROOF_BYTES: Final = 16
AGENT: Final = "sprout-canary"
"""The User-Agent of its requests over HTTP."""
TFTP_OPTION: Final = "sprout-canary"
"""An option of its requests over TFTP, which servers pass over (RFC 2347)."""


_TFTP_WORD: Final = b"\0%s\0" % TFTP_OPTION.encode()


def is_canary(mac: str) -> bool:
    """Whether *mac* is one of a canary's."""
    return mac.startswith(MACS)


def asks_tftp(request: bytes) -> bool:
    """Whether the TFTP *request* is a canary's."""
    return _TFTP_WORD in request


def proof(key: bytes, challenge: bytes, server: str) -> bytes:
    """Return what the agent at *server*, of the site with *key*, answers to *challenge*."""
    said = b"sprout canary\0" + inet_aton(server) + challenge[:CHALLENGE_BYTES]
    return hmac.new(key, said, hashlib.sha256).digest()[:PROOF_BYTES]
