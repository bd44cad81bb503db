"""Providers that speak Sprout's own contract: deploy/providers/openapi.yaml.

Each function does one thing and may be repeated: the key makes what is made once, and what is gone
already is gone.
"""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from actors.drivers.errors import Conflict, Garbled
from actors.drivers.providers import Errand, Peer, ask

_MOST: Final = 500
"""Rows of one run of tests that are taken in."""

_MOST_NETWORKS: Final = 2000
_OF_NETWORK: Final = ("id", "site", "name", "cidr", "gateway", "first", "last")

_GONE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


def allocate(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the address that an IPAM gives, and its id there.  Raises DriverError."""
    asked = ("network", "gateway", "first", "last", "mac", "hostname")
    answer = ask(peer, errand, "POST", "/allocations", body={each: item[each] for each in asked})
    told = _object(peer, answer.body)
    return {"external_id": _text(peer, told, "id"), "address": _text(peer, told, "address")}


def release(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Give an address back; where its id was never heard, it is asked for by the same key."""
    known = item["external_id"]
    if not known:
        first = replace(errand, key=item["key"])
        known = allocate(peer, first, item)["external_id"]
    _drop(peer, errand, f"/allocations/{quote(known, safe='')}")


def reserve(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Have a DHCP server give a MAC its address.  Raises DriverError."""
    body = {each: item[each] for each in ("address", "hostname", "network")}
    answer = ask(peer, errand, "PUT", f"/reservations/{quote(item['mac'], safe='')}", body=body)
    return {"external_id": _maybe(answer.body, "id") or item["mac"]}


def unreserve(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Have a DHCP server drop the reservation of a MAC.  Raises DriverError."""
    _drop(peer, errand, f"/reservations/{quote(item['mac'], safe='')}")


def record(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Have a name server hold a name and its address, both ways.  Raises DriverError."""
    body = {"type": "A", "address": item["address"], "ttl": item["ttl"]}
    answer = ask(peer, errand, "PUT", f"/records/{quote(item['fqdn'], safe='')}", body=body)
    return {"external_id": _maybe(answer.body, "id") or item["fqdn"]}


def unrecord(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Have a name server drop a name.  Raises DriverError."""
    _drop(peer, errand, f"/records/{quote(item['fqdn'], safe='')}")


def begin_test(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> str:
    """Have a machine's hardware tested; return the id of the run.  Raises DriverError."""
    body = {each: item[each] for each in ("machine", "hostname", "mac")}
    return _text(peer, _object(peer, ask(peer, errand, "POST", "/runs", body=body).body), "id")


def found_by_test(peer: Peer, errand: Errand, run: str) -> list[dict[str, Any]] | None:
    """Return what a run of tests found, None while it runs.  Raises DriverError."""
    told = _object(peer, ask(peer, errand, "GET", f"/runs/{quote(run, safe='')}").body)
    state = told.get("state")
    if state == "running":
        return None
    if state not in {"passed", "failed"}:
        raise Garbled(f"{peer.name} answers a run without a state of the contract")
    results = told.get("results") or []
    if not isinstance(results, list):
        raise Garbled(f"{peer.name} answers results that are no list")
    rows = [_result(peer, each) for each in results[:_MOST]]
    if state == "failed" and not any(row["outcome"] == "fail" for row in rows):
        rows.append({"name": "hardware", "outcome": "fail", "detail": f"{peer.name} says so"})
    return rows


def _result(peer: Peer, told: Any) -> dict[str, Any]:
    row = {key: _maybe(told, key) for key in ("name", "outcome", "subject", "detail")}
    if not row["name"] or row["outcome"] not in {"pass", "fail", "skip"}:
        raise Garbled(f"{peer.name} answers a test without a name or an outcome")
    return row


def networks(peer: Peer, errand: Errand) -> list[dict[str, str]]:
    """Return all networks: each of its fields as text, empty where there is none that is fit.

    Raises DriverError.
    """
    items = _object(peer, ask(peer, errand, "GET", "/networks").body).get("items")
    if not isinstance(items, list):
        raise Garbled(f"{peer.name} answers networks without a list of items")
    if len(items) > _MOST_NETWORKS:
        raise Garbled(f"{peer.name} answers {len(items)} networks, over {_MOST_NETWORKS}")
    return [{key: _maybe(row, key) for key in _OF_NETWORK} for row in items]


def take_machine(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Have an allocator note that a machine is handed out.  Raises DriverError."""
    body = {each: item[each] for each in ("machine", "labels")}
    answer = ask(peer, errand, "POST", "/allocate", body=body)
    return {"external_id": _maybe(answer.body, "id") or item["machine"]}


def give_machine_back(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Have an allocator note that a machine is free; of one it never gave, nothing is told.

    Where it was never heard whether it gave it, that is asked by the same key.
    """
    if not item["external_id"]:
        first = Errand(key=item["key"], request_id=errand.request_id, deadline=errand.deadline)
        try:
            take_machine(peer, first, item)
        except Conflict:  # somebody else has it
            return
    body = {"machine": item["machine"]}
    ask(peer, errand, "POST", "/release", body=body, expected=_GONE)


def health(peer: Peer, errand: Errand) -> None:
    """Return if the provider says that it works.  Raises DriverError."""
    told = _object(peer, ask(peer, errand, "GET", "/health").body)
    if told.get("status") != "ok":
        raise Garbled(f"{peer.name} does not say that its status is ok")


def _drop(peer: Peer, errand: Errand, path: str) -> None:
    ask(peer, errand, "DELETE", path, expected=_GONE)


def _object(peer: Peer, body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Garbled(f"{peer.name} answers no JSON object")
    return body


def _text(peer: Peer, told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not value.isprintable():
        raise Garbled(f"{peer.name} answers without {key!r}")
    return value


def _maybe(body: Any, key: str) -> str:
    value = body.get(key) if isinstance(body, dict) else None
    return value[:200] if isinstance(value, str) and value.isprintable() else ""
