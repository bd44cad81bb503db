"""NetBox's IPAM: the next free address of a prefix, marked as Sprout's.

NetBox knows no Idempotency-Key.  What is made bears a tag of it in its description, which is looked
for first; and only what bears one is ever removed.

Source: netboxlabs.com/docs/netbox, REST API, «ipam/prefixes/{id}/available-ips».
"""

from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from ipaddress import IPv4Interface
from typing import Any, Final
from urllib.parse import urlencode

from actors.drivers.errors import Conflict, Garbled, Refused
from actors.drivers.providers import Errand, Peer, ask

_PREFIXES: Final = "/api/ipam/prefixes/"
_ADDRESSES: Final = "/api/ipam/ip-addresses/"
_MARK: Final = "sprout-"


def headers(token: str) -> dict[str, str]:
    """Return how NetBox is shown a token of its version 1."""
    return {"Authorization": f"Token {token}"}


def allocate(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the address that NetBox gives, and its id there.  Raises DriverError."""
    mark = _mark(errand.key)
    made = _marked(peer, errand, mark) or _made(peer, errand, item, mark)
    try:
        address = IPv4Interface(made["address"]).ip
        number = int(made["id"])
    except (KeyError, TypeError, ValueError) as exc:
        raise Garbled(f"{peer.name} answers no IPv4 address") from exc
    return {"external_id": str(number), "address": str(address)}


def release(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Remove an address, if it is what was made for this errand.  Raises DriverError."""
    mark = _mark(item["key"])
    known = item["external_id"]
    if not known:
        found = _marked(peer, errand, mark)
        if found is None:
            return
        known = str(found.get("id", ""))
    path = f"{_ADDRESSES}{int(known)}/"
    answer = ask(peer, errand, "GET", path, expected=(HTTPStatus.NOT_FOUND,))
    if answer.status == HTTPStatus.NOT_FOUND:
        return
    if not isinstance(answer.body, dict) or answer.body.get("description") != mark:
        raise Conflict(f"{peer.name}: address {known} there is no longer what Sprout made")
    ask(peer, errand, "DELETE", path, expected=(HTTPStatus.NOT_FOUND,))


def health(peer: Peer, errand: Errand) -> None:
    """Return if NetBox says which version it is.  Raises DriverError."""
    told = ask(peer, errand, "GET", "/api/status/").body
    if not isinstance(told, dict) or "netbox-version" not in told:
        raise Garbled(f"{peer.name} does not answer as NetBox does")


def _made(peer: Peer, errand: Errand, item: Mapping[str, Any], mark: str) -> dict[str, Any]:
    prefix = item["network"]
    found = _results(peer, errand, _PREFIXES, {"prefix": prefix, "limit": "2"})
    if len(found) != 1:
        raise Refused(f"{peer.name} has {len(found)} prefixes {prefix}, and needs exactly one")
    path = f"{_PREFIXES}{int(found[0].get('id', 0))}/available-ips/"
    body = {"dns_name": item["hostname"], "description": mark}
    answer = ask(peer, errand, "POST", path, body=body, expected=(HTTPStatus.CONFLICT,))
    if answer.status == HTTPStatus.CONFLICT:
        raise Refused(f"{peer.name} has no free address in {prefix}; widen it there")
    if not isinstance(answer.body, dict):
        raise Garbled(f"{peer.name} answers no address")
    return answer.body


def _marked(peer: Peer, errand: Errand, mark: str) -> dict[str, Any] | None:
    found = _results(peer, errand, _ADDRESSES, {"description": mark, "limit": "2"})
    return next((each for each in found if each.get("description") == mark), None)


def _results(
    peer: Peer, errand: Errand, path: str, query: Mapping[str, str]
) -> list[dict[str, Any]]:
    told = ask(peer, errand, "GET", f"{path}?{urlencode(query)}").body
    found = told.get("results") if isinstance(told, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Garbled(f"{peer.name} answers no list")
    return found


def _mark(key: str) -> str:
    return f"{_MARK}{sha256(key.encode()).hexdigest()[:32]}"
