"""PowerDNS's authoritative server: a name and its address, forward and backward.

Records of Sprout bear a comment of the account `sprout`, which names their holding.  Those without
it are somebody else's, and neither overwritten nor removed; where a holding is undone, the records
of another stay.  Without a zone of the backward name, there is no backward record.

Source: doc.powerdns.com/authoritative/http-api, version 4.7.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Any, Final

from actors.drivers.errors import Conflict, Garbled, NoEffect, Refused
from actors.drivers.providers import Errand, Peer, ask

_SERVER: Final = "/api/v1/servers/localhost"
_ACCOUNT: Final = "sprout"
_NO_ZONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)


def headers(token: str) -> dict[str, str]:
    """Return how PowerDNS is shown the key that it was given as `api-key`."""
    return {"X-API-Key": token}


def record(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Have the server hold A and PTR of a name.  Raises DriverError."""
    name = f"{item['fqdn']}."
    zone = _zone_of(peer, errand, name)
    if zone is None:
        raise Refused(
            f"{peer.name} has no zone for {name} Create it there: pdnsutil create-zone "
            f"{item['fqdn'].partition('.')[2]}"
        )
    before = _put(peer, errand, zone, _rrset(name, "A", item["address"], item))
    backward = _backward(item["address"])
    its_zone = _zone_of(peer, errand, backward)
    if its_zone is not None:
        _put(peer, errand, its_zone, _rrset(backward, "PTR", name, item))
    for old in before - {item["address"]}:  # which another machine has next
        _drop(peer, errand, _backward(old), "PTR", item)
    return {"external_id": f"{zone}{name}", "backward": its_zone is not None}


def unrecord(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Have the server drop A and PTR of a name, where they are Sprout's.  Raises DriverError."""
    for name, kind in ((f"{item['fqdn']}.", "A"), (_backward(item["address"]), "PTR")):
        _drop(peer, errand, name, kind, item)


def health(peer: Peer, errand: Errand) -> None:
    """Return if the server answers for itself.  Raises DriverError."""
    told = ask(peer, errand, "GET", _SERVER).body
    if not isinstance(told, dict) or told.get("type") != "Server":
        raise Garbled(f"{peer.name} does not answer as PowerDNS does")


def _rrset(name: str, kind: str, content: str, item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "ttl": item["ttl"],
        "changetype": "REPLACE",
        "records": [{"content": content, "disabled": False}],
        "comments": [{"content": _comment(item), "account": _ACCOUNT}],
    }


def _drop(peer: Peer, errand: Errand, name: str, kind: str, item: Mapping[str, Any]) -> None:
    zone = _zone_of(peer, errand, name)
    found = None if zone is None else _found(peer, errand, zone, name, kind)
    if zone is not None and found is not None and _ours(found, _comment(item)):
        _patch(peer, errand, zone, {"name": name, "type": kind, "changetype": "DELETE"})


def _put(peer: Peer, errand: Errand, zone: str, rrset: Mapping[str, Any]) -> set[str]:
    """Have the server hold *rrset*; return what stood there before."""
    name, kind = rrset["name"], rrset["type"]
    there = _found(peer, errand, zone, name, kind)
    if there is not None and not _ours(there):
        raise Conflict(
            f"{peer.name} has a record {kind} of {name} that is not Sprout's; remove it there, or "
            "rename the machine"
        )
    _patch(peer, errand, zone, rrset)
    now = _found(peer, errand, zone, name, kind)
    if now is None or now.get("records") != rrset["records"]:
        raise NoEffect(f"{peer.name} accepted {kind} of {name}, and does not have it")
    return {str(each["content"]) for each in (there or {}).get("records", ())}


def _patch(peer: Peer, errand: Errand, zone: str, rrset: Mapping[str, Any]) -> None:
    ask(peer, errand, "PATCH", f"{_SERVER}/zones/{zone}", body={"rrsets": [rrset]})


def _found(peer: Peer, errand: Errand, zone: str, name: str, kind: str) -> dict[str, Any] | None:
    path = f"{_SERVER}/zones/{zone}?rrset_name={name}&rrset_type={kind}"
    told = ask(peer, errand, "GET", path).body
    if not isinstance(told, dict) or not isinstance(told.get("rrsets"), list):
        raise Garbled(f"{peer.name} answers no zone")
    among = (each for each in told["rrsets"] if isinstance(each, dict))
    return next((r for r in among if (r.get("name"), r.get("type")) == (name, kind)), None)


def _ours(rrset: Mapping[str, Any], content: str | None = None) -> bool:
    """Whether it is Sprout's, and of the holding whose comment is *content*, where one is meant."""
    comments = rrset.get("comments")
    among = comments if isinstance(comments, list) else []
    return any(
        isinstance(each, dict)
        and each.get("account") == _ACCOUNT
        and content in {None, each.get("content")}
        for each in among
    )


def _comment(item: Mapping[str, Any]) -> str:
    return f"holding {item['holding']}"


def _zone_of(peer: Peer, errand: Errand, name: str) -> str | None:
    """Return the name of the nearest zone above *name* that the server has."""
    for zone in _above(name):
        path = f"{_SERVER}/zones/{zone}?rrsets=false"
        if ask(peer, errand, "GET", path, expected=_NO_ZONE).status == HTTPStatus.OK:
            return zone
    return None


def _above(name: str) -> Iterator[str]:
    labels = name.rstrip(".").split(".")
    return (f"{'.'.join(labels[n:])}." for n in range(1, len(labels)))


def _backward(address: str) -> str:
    return f"{IPv4Address(address).reverse_pointer}."
