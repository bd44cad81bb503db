"""What the Proxmox VE installer and its first boot send: read leniently, and bounded.

Three calls: the answer request (schema 1.0), the post-installation webhook (schema 1.2), and the
phone-home of our own first-boot script.  A newer installer says more; what is not known is left
out, and what is known but wrong is left out too: only who calls must be clear.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from models.errors import Invalid

LARGEST: Final = 1 << 20
"""Bytes of a call's body that are read."""

MOST_CARDS: Final = 64
_LONGEST: Final = 256
_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_HOST_KEY: Final = re.compile(r"(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]{16,1400}={0,3}")
_NOBODY: Final = frozenset(
    {"", "none", "default string", "not specified", "to be filled by o.e.m."}
)
"""What vendors write where a serial number should stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, as far as hardware says it: MAC addresses, then UUID and serial of the system."""

    macs: tuple[str, ...] = ()
    uuid: str = ""
    serial: str = ""

    def tiers(self) -> tuple[tuple[str, ...], ...]:
        """Return by what names the machine can be found, the surest kind first."""
        return (
            tuple(f"mac {mac}" for mac in self.macs),
            (f"uuid {self.uuid.lower()}",) if self.uuid else (),
            (f"serial {self.serial}",) if self.serial else (),
        )


NOBODY: Final = Caller()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What an installation told of its end; *host_keys* as lines of SSH, without comments."""

    caller: Caller
    fqdn: str
    release: str
    machine_id: str
    host_keys: tuple[str, ...]
    address: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What a first boot told: the address that it says it has, and its hardware id."""

    address: str
    hardware_id: str


def asked(document: Any) -> Caller:
    """Return who asks for an answer.  Raises Invalid where nothing tells."""
    caller = _caller(_mapping(document))
    if caller == NOBODY:
        raise Invalid(
            "nothing says who asks: no network card, no UUID and no serial number",
            field="/network_interfaces",
        )
    return caller


def installed(document: Any) -> Installed:
    """Return what a post-installation webhook told.  Raises Invalid where it is no such call."""
    told = _mapping(document)
    cards = list(_cards(told))
    managed = next((card for card in cards if card.get("is-management") is True), {})
    return Installed(
        caller=_caller(told),
        fqdn=_text(told, "fqdn").lower(),
        release=_text(_section(told, "product"), "version"),
        machine_id=_text(told, "machine-id"),
        host_keys=tuple(_host_keys(_section(told, "ssh-public-host-keys"))),
        address=_address(_text(managed, "address").partition("/")[0]),
        token=_text(told, "token"),
    )


def home(document: Any) -> Home:
    """Return what a first boot told.  Raises Invalid at the field that is missing or wrong."""
    told = _mapping(document)
    stated = _text(told, "ip")
    address = _address(stated)
    if not address:
        raise Invalid("want the host's address", field="/ip")
    hardware = _text(told, "hardware_id") or _text(told, "hardwareId")
    if not any(map(str.isalnum, hardware)):  # it is a part of URLs, where dots lead elsewhere
        raise Invalid("want the host's hardware id", field="/hardware_id")
    return Home(address=address, hardware_id=hardware)


def wants_json(accept: str) -> bool:
    """Whether the header Accept (RFC 9110) puts JSON before TOML, the answer's own form."""
    weights = {"application/json": 0.0, "application/toml": 0.0}
    for part in accept.split(",")[:_LONGEST]:
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights["application/json"] > weights["application/toml"]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        if match := re.fullmatch(r"q\s*=\s*([01](\.[0-9]{0,3})?)", parameter):
            return min(float(match[1]), 1.0)
    return 1.0


def _mapping(document: Any) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise Invalid("want a JSON object", field="")
    return document


def _section(told: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = told
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(told: Mapping[str, Any], key: str) -> str:
    found = told.get(key)
    fits = isinstance(found, str) and len(found) <= _LONGEST and found.isprintable()
    return str(found).strip() if fits else ""


def _caller(told: Mapping[str, Any]) -> Caller:
    system = _section(told, "dmi", "system")
    macs = (_text(card, "mac").lower().replace("-", ":") for card in _cards(told))
    return Caller(
        macs=tuple(dict.fromkeys(mac for mac in macs if _MAC.fullmatch(mac))),
        uuid=_told(system, "uuid").lower(),
        serial=_told(system, "serial"),
    )


def _told(system: Mapping[str, Any], key: str) -> str:
    found = _text(system, key)
    return "" if found.lower() in _NOBODY or not set(found) - set("0-. ") else found


def _cards(told: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("network_interfaces", "network-interfaces"):
        listed = told.get(key)
        if isinstance(listed, list):
            yield from (card for card in listed[:MOST_CARDS] if isinstance(card, Mapping))


def _host_keys(told: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("ed25519", "ecdsa", "rsa"):
        found = told.get(kind)
        words = found.split()[:2] if isinstance(found, str) else []
        if _HOST_KEY.fullmatch(" ".join(words)):
            yield " ".join(words)


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
