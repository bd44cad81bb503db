"""What a provider of the contract must do, tried one after the other.

Everything is made under names of the check's own, and undone at its end.  Each trial says in its
name what must hold; one that fails says what was answered instead.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any, Final

from actors.drivers import contract
from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError
from actors.drivers.providers import Answer, Errand, Peer, ask
from config.secrets import Secret, SecretError

EACH_S: Final = 20.0
_ANY: Final = range(100, 600)
_GONE: Final = frozenset({404, 410})


class Wanting(Exception):
    """The provider does not do what it must; says what it did."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One trial: what must hold, and why it does not, if it does not."""

    name: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """One provider under trial; *mark* is in every name that is made there."""

    peer: Peer
    network: IPv4Network
    domain: str
    mark: str = field(default_factory=lambda: secrets.token_hex(4))

    def errand(self, key: str = "") -> Errand:
        """Return an errand with *key*, or a key of its own."""
        return Errand(
            key=f"sprout-check-{self.mark}-{key or secrets.token_hex(8)}",
            request_id=f"check-{self.mark}",
            deadline=Deadline.after(EACH_S),
        )

    def call(self, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        """Return whatever is answered."""
        return ask(self.peer, self.errand(key), method, path, body=body, expected=_ANY)

    @property
    def fqdn(self) -> str:
        return f"sprout-check-{self.mark}.{self.domain}"

    @property
    def mac(self) -> str:
        """Return a MAC that no maker gives: locally administered."""
        return f"02:5b:{':'.join(self.mark[n : n + 2] for n in range(0, 8, 2))}"

    @property
    def address(self) -> str:
        """Return the last host address of the network."""
        return str(self.network[-2])


Check = Callable[[Trial], Iterator[str]]
"""Yields the name of each thing that holds; raises Wanting or DriverError where one does not."""


def tried(trial: Trial, capability: str) -> Iterator[Finding]:
    """Yield what is found; the first that does not hold ends it."""
    last = "the beginning"
    try:
        for check in (_health, _strangers, CHECKS[capability]):
            for last in check(trial):
                yield Finding(last)
    except (Wanting, DriverError, SecretError) as exc:
        yield Finding(f"what comes after «{last}»", str(exc))
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        yield Finding(f"what comes after «{last}»", f"an answer that makes no sense: {exc!r:.200}")


def _want(answer: Answer, *statuses: int) -> Answer:
    if answer.status not in statuses:
        wanted = " or ".join(map(str, sorted(statuses)))
        raise Wanting(f"answered {answer.status}, and not {wanted}")
    return answer


def _demand(told: bool, otherwise: str) -> None:  # noqa: FBT001 - a judgement
    if not told:
        raise Wanting(otherwise)


def _health(trial: Trial) -> Iterator[str]:
    contract.health(trial.peer, trial.errand())
    yield "GET /health says ok"


def _strangers(trial: Trial) -> Iterator[str]:
    if trial.peer.token() is None:
        return
    stranger = replace(trial.peer, token=lambda: Secret("not-the-token"))
    answer = ask(stranger, trial.errand(), "GET", "/health", expected=_ANY)
    if answer.status == 200:  # health may be open; what changes something may not
        answer = ask(stranger, trial.errand(), "DELETE", "/records/sprout-check", expected=_ANY)
    _want(answer, 401, 403, *_GONE)
    yield "a wrong token is refused"


def _allocates(trial: Trial, key: str, mac: str) -> dict[str, Any]:
    item = {
        "network": str(trial.network),
        "gateway": None,
        "first": str(trial.network[1]),
        "last": str(trial.network[-2]),
        "mac": mac,
        "hostname": trial.fqdn,
    }
    return contract.allocate(trial.peer, trial.errand(key), item)


def _ipam(trial: Trial) -> Iterator[str]:
    first = _allocates(trial, "a", trial.mac)
    _demand(IPv4Address(first["address"]) in trial.network, f"gave {first['address']}")
    yield "POST /allocations gives an address of the network"
    _demand(_allocates(trial, "a", trial.mac) == first, "gave another address")
    yield "the same key gives the same address"
    second = _allocates(trial, "b", f"06{trial.mac[2:]}")
    _demand(second["address"] != first["address"], "gave one address twice")
    yield "another key gives another address"
    shown = _want(trial.call("GET", f"/allocations/{first['external_id']}"), 200).body
    _demand(isinstance(shown, dict) and shown.get("address") == first["address"], "shows another")
    yield "GET /allocations/{id} shows it"
    for each in (first, second):
        _want(trial.call("DELETE", f"/allocations/{each['external_id']}"), 200, 202, 204)
    yield "DELETE /allocations/{id} takes it back"
    _want(trial.call("GET", f"/allocations/{first['external_id']}"), *_GONE)
    _want(trial.call("DELETE", f"/allocations/{first['external_id']}"), *_GONE, 204)
    yield "what is gone is answered 404"


def _network(trial: Trial) -> Iterator[str]:
    told = _want(trial.call("GET", "/networks"), 200).body
    items = told.get("items") if isinstance(told, dict) else None
    _demand(isinstance(items, list), "answers no items")
    yield "GET /networks lists networks"
    for each in items or ():
        _demand(isinstance(each, dict) and {"id", "cidr"} <= set(each), "one is without id or cidr")
        IPv4Network(each["cidr"])
    yield "each has an id and a CIDR"


def _dhcp(trial: Trial) -> Iterator[str]:
    path = f"/reservations/{trial.mac}"
    body = {"address": trial.address, "hostname": trial.fqdn, "network": str(trial.network)}
    _want(trial.call("PUT", path, body, key="a"), 200, 201, 204)
    yield "PUT /reservations/{mac} reserves an address"
    _want(trial.call("PUT", path, body, key="a"), 200, 201, 204)
    _want(trial.call("PUT", path, body), 200, 201, 204)
    yield "it may be repeated, under the same key and another"
    leases = _want(trial.call("GET", "/leases"), 200).body
    items = leases.get("items", ()) if isinstance(leases, dict) else ()
    _demand(any(each.get("mac") == trial.mac for each in items), "does not list it")
    yield "GET /leases lists it"
    _want(trial.call("PUT", f"/reservations/06{trial.mac[2:]}", body), 409)
    yield "the same address for another MAC is answered 409"
    _want(trial.call("DELETE", path), 200, 202, 204)
    _want(trial.call("DELETE", path), *_GONE, 204)
    yield "DELETE drops it, and a second one is answered 404"


def _dns(trial: Trial) -> Iterator[str]:
    path = f"/records/{trial.fqdn}"
    body = {"type": "A", "address": trial.address, "ttl": 60}
    _want(trial.call("PUT", path, body, key="a"), 200, 201, 204)
    yield "PUT /records/{fqdn} holds a name"
    _want(trial.call("PUT", path, body, key="a"), 200, 201, 204)
    _want(trial.call("PUT", path, {**body, "address": str(trial.network[-3])}), 200, 201, 204)
    yield "it may be repeated, and may get another address"
    _want(trial.call("DELETE", path), 200, 202, 204)
    _want(trial.call("DELETE", path), *_GONE, 204)
    yield "DELETE drops it, and a second one is answered 404"


def _hardware_testing(trial: Trial) -> Iterator[str]:
    body = {"machine": f"sprout-check-{trial.mark}", "hostname": trial.fqdn, "mac": trial.mac}
    begun = _want(trial.call("POST", "/runs", body, key="a"), 201, 202).body
    again = _want(trial.call("POST", "/runs", body, key="a"), 200, 201, 202).body
    _demand(isinstance(begun, dict) and begun.get("id") == again.get("id"), "began two runs")
    yield "POST /runs begins one run under one key"
    shown = _want(trial.call("GET", f"/runs/{begun['id']}"), 200).body
    _demand(shown.get("state") in {"running", "passed", "failed"}, "shows no state of the contract")
    yield "GET /runs/{id} says how it goes"
    _want(trial.call("GET", f"/runs/none-{trial.mark}"), *_GONE)
    yield "a run that is not there is answered 404"


def _allocation(trial: Trial) -> Iterator[str]:
    body = {"machine": f"sprout-check-{trial.mark}"}
    _want(trial.call("POST", "/allocate", body, key="a"), 200, 201)
    _want(trial.call("POST", "/allocate", body, key="a"), 200, 201)
    yield "POST /allocate hands a machine out, once under one key"
    _want(trial.call("POST", "/allocate", body), 409)
    yield "a machine that is handed out is answered 409"
    _want(trial.call("POST", "/release", body), 200, 204)
    _want(trial.call("POST", "/release", body), *_GONE, 204)
    yield "POST /release takes it back, and a second one is answered 404"


CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "ipam": _ipam,
        "network": _network,
        "dhcp": _dhcp,
        "dns": _dns,
        "hardware_testing": _hardware_testing,
        "allocation": _allocation,
    }
)
"""What is tried, by capability."""
