"""Kea's DHCPv4 server through its control agent: reservations in the subnet of a network.

The commands that add single reservations are not in Kea's free packages, so the configuration is
read, changed, tested, set and written as a whole.  Callers do that one at a time for each server;
who changes it by hand in the same second is not kept out.  A reservation of Sprout bears a user
context `sprout`; others are somebody else's, and are neither changed nor removed.

Source: Kea Administrator Reference Manual 2.2, sections 18.3 (config-get, -test, -set, -write) and
8.3 (host reservations).
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, Final

from actors.drivers.errors import Conflict, Garbled, NoEffect, Refused
from actors.drivers.providers import Errand, Peer, ask

_OURS: Final = "sprout"
_SERVICE: Final = "dhcp4"
_ROOT: Final = "Dhcp4"


def headers(token: str) -> dict[str, str]:
    """Return how the agent is shown `USER:PASSWORD` (RFC 7617)."""
    return {"Authorization": f"Basic {b64encode(token.encode()).decode()}"}


def reserve(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> dict[str, Any]:
    """Have Kea give a MAC its address.  Raises DriverError."""
    config = _config(peer, errand)
    kept = _reservations(peer, config, item["network"])
    _demand_free(peer, kept, item)
    wanted = {
        "hw-address": item["mac"],
        "ip-address": item["address"],
        "hostname": item["hostname"],
        "user-context": {_OURS: item["holding"]},
    }
    _drop(config, item)  # in another subnet too, where it had an address before
    kept = _reservations(peer, config, item["network"])
    kept[:] = [*(each for each in kept if not _of(each, item["mac"])), wanted]
    _set(peer, errand, config)
    now = _reservations(peer, _config(peer, errand), item["network"])
    if not any(
        _of(each, item["mac"]) and each.get("ip-address") == item["address"] for each in now
    ):
        raise NoEffect(f"{peer.name} accepted the reservation of {item['mac']}, and has it not")
    return {"external_id": f"{item['network']} {item['mac']}"}


def unreserve(peer: Peer, errand: Errand, item: Mapping[str, Any]) -> None:
    """Have Kea drop the reservation of a MAC, where it is Sprout's.  Raises DriverError."""
    config = _config(peer, errand)
    if _drop(config, item):
        _set(peer, errand, config)


def health(peer: Peer, errand: Errand) -> None:
    """Return if the DHCPv4 server answers through its agent.  Raises DriverError."""
    _command(peer, errand, "version-get")


def _drop(config: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Take what the holding of *item* has out of *config*; whether there was anything."""
    found = False
    for subnet in _subnets(config):
        kept = subnet.get("reservations", [])
        stays = [each for each in kept if not (_of(each, item["mac"]) and _held(each, item))]
        found = found or len(stays) != len(kept)
        subnet["reservations"] = stays
    return found


def _demand_free(peer: Peer, kept: list[Any], item: Mapping[str, Any]) -> None:
    for each in kept:
        mine, same = _of(each, item["mac"]), each.get("ip-address") == item["address"]
        if (mine and not _ours(each)) or (same and not mine):
            raise Conflict(
                f"{peer.name} has a reservation of {each.get('ip-address')} for "
                f"{each.get('hw-address')}; remove it there"
            )


def _config(peer: Peer, errand: Errand) -> dict[str, Any]:
    told = _command(peer, errand, "config-get").get("arguments")
    if not isinstance(told, dict) or not isinstance(told.get(_ROOT), dict):
        raise Garbled(f"{peer.name} answers no configuration")
    return {_ROOT: told[_ROOT]}  # without the hash that newer versions put beside it


def _set(peer: Peer, errand: Errand, config: Mapping[str, Any]) -> None:
    for command in ("config-test", "config-set"):
        _command(peer, errand, command, config)
    _command(peer, errand, "config-write")


def _command(
    peer: Peer, errand: Errand, command: str, arguments: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {"command": command, "service": [_SERVICE]}
    if arguments is not None:
        body["arguments"] = arguments
    told = ask(peer, errand, "POST", "/", body=body).body
    first = told[0] if isinstance(told, list) and told else None
    if not isinstance(first, dict) or type(first.get("result")) is not int:
        raise Garbled(f"{peer.name} does not answer as Kea's control agent does")
    if first["result"] != 0:
        words = "".join(c for c in str(first.get("text", "")) if c.isprintable())
        raise Refused(f"{peer.name} refuses {command}: {words[:200]}")
    return first


def _subnets(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    root = config[_ROOT]
    for place in (root, *root.get("shared-networks", ())):
        yield from place.get("subnet4", ())


def _reservations(peer: Peer, config: Mapping[str, Any], network: str) -> list[Any]:
    for subnet in _subnets(config):
        if subnet.get("subnet") == network:
            kept: list[Any] = subnet.setdefault("reservations", [])
            return kept
    raise Refused(f"{peer.name} has no subnet {network}; add it there as a subnet4")


def _of(reservation: Mapping[str, Any], mac: str) -> bool:
    return str(reservation.get("hw-address", "")).lower() == mac


def _ours(reservation: Mapping[str, Any]) -> bool:
    context = reservation.get("user-context")
    return isinstance(context, dict) and _OURS in context


def _held(reservation: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    """Whether it is of the holding that *item* is of, and not of a later one of the same MAC."""
    return _ours(reservation) and reservation["user-context"][_OURS] == item["holding"]
