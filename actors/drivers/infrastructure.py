"""The service that is told each host once it is of its cluster: one call, which may be repeated.

    PUT /hosts/{hardware_id}   {"hostname", "ip", "hardware_id", "server_type"}

It bears an Idempotency-Key, and says the same each time for the same rebuild.  Any answer of
success will do.  Whatever else comes may pass: it is told and tried again, since somebody can put
it right there, or in the map of server types here.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from actors.drivers.errors import Refused, Unreachable
from actors.drivers.providers import Errand, Peer, ask
from config.clusters import Infrastructure


def register(
    service: Peer, errand: Errand, rules: Infrastructure, host: Mapping[str, Any]
) -> dict[str, Any]:
    """Have the service know *host*; return what it was told.  Raises Unreachable."""
    hardware = str(host["hardware_id"])
    if not any(map(str.isalnum, hardware)):  # dots would lead to another path
        raise Unreachable(f"{hardware!r} is no hardware id by which a host is told there")
    ours = str(host["server_type"])
    theirs = rules.server_types.get(ours, "" if rules.server_types else ours)
    if ours and not theirs:
        raise Unreachable(f"the map of server types does not say what {ours} is called there")
    body = {key: host[key] for key in ("hostname", "ip", "hardware_id")} | {"server_type": theirs}
    try:
        ask(service, errand, "PUT", f"/hosts/{quote(hardware, safe='')}", body=body)
    except Refused as exc:
        raise Unreachable(str(exc)) from exc
    return {"told": body}
