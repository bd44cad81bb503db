"""What a site may do at the broker: its account's name, password and permissions, all derived.

Nothing of it is stored or sent: control and edge derive the same from the site's signing key.
https://www.rabbitmq.com/docs/access-control#authorisation
"""

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

from models.messages import LEASE_QUEUE, REPORT_QUEUE, UPWARD_EXCHANGE, agent_queues

WRITES: Final = (REPORT_QUEUE, LEASE_QUEUE)
"""The queues that a site adds messages to."""


def name(site: UUID) -> str:
    """Return the name of the site's account: short enough for a role of PostgreSQL."""
    return f"site-{site.hex[:16]}"


def password(signing_key: bytes) -> str:
    """Return the account's password: 48 hexadecimal digits of HMAC-SHA-256."""
    return hmac.new(signing_key, b"broker account", "sha256").hexdigest()[:48]


def permissions(site: UUID) -> Mapping[str, Any]:
    """Return what the account may do: declare nothing, say what is for control, read its own."""
    return {
        "configure": "^$",
        "write": f"^{re.escape(UPWARD_EXCHANGE)}$",
        "read": f"^{re.escape(agent_queues(site))}",
    }


def url(base: str, site: UUID, signing_key: bytes) -> str:
    """Return *base* with the site's account instead of the one that it names."""
    parts = urlsplit(base)
    place = parts.netloc.rpartition("@")[2]
    account = f"{quote(name(site))}:{password(signing_key)}"
    return urlunsplit(parts._replace(netloc=f"{account}@{place}"))
