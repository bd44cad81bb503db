"""A web server in front, which is not needed: whose word it carries, and which files it may send.

Its fields are believed only from addresses that the site's settings name.
"""

from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote

from pxe_stack.http_message import Request

CLIENT = "x-real-ip"
"""Field that names the machine behind the proxy."""
MAPPING = "x-sprout-accel"
"""Field that maps folders to the proxy's internal locations: `/srv/artifacts/=/_artifacts/, …`."""


def seen_through(request: Request, proxies: Collection[str]) -> Request:
    """Return *request* as the machine behind a trusted proxy made it."""
    if request.client not in proxies:
        return request
    try:
        client = str(IPv4Address(request.fields.get(CLIENT, request.client)))
    except ValueError:
        return replace(request, client="")  # nobody: the constant answer
    return replace(request, client=client, accel=request.fields.get(MAPPING, ""))


def internal(mapping: str, location: Path) -> str | None:
    """Return the URL at which the proxy itself finds the file at *location*, None for nowhere."""
    for each in mapping.split(","):
        folder, _, url = each.strip().partition("=")
        if folder.startswith("/") and folder.endswith("/") and url.startswith("/"):
            try:
                below = location.relative_to(folder)
            except ValueError:
                continue
            return url + quote(str(below))
    return None
