"""By which certificate a site's boot HTTP is known, where a web server speaks https before it."""

from collections.abc import Mapping
from typing import Any, Final

ADVERTISED: Final = "boot_cert_fingerprint"
"""What an agent calls the SHA-256 of the certificate: 32 bytes, colons between them."""


def of(url: str, advertised: Mapping[str, Any]) -> str:
    """Return what is pinned behind the boot *url* of the agent that *advertised*; "" for nothing.

    It is as the agent said it: who writes it down judges its form.
    """
    found = advertised.get(ADVERTISED, "")
    return str(found) if url.startswith("https://") else ""
