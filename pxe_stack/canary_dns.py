"""The canary's questions to the site's DNS: of the zone itself, its own name, and a machine's."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from pxe_stack.canary_findings import Finding, Level
from pxe_stack.dns_client import Unresolved, ask
from pxe_stack.dns_zone import BOOT, Host, is_address

CLIENT: Final = "dns"
FOLLOWS_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Where the site's DNS is, for which *domain*; *host* is a machine that it has to name."""

    address: str
    port: int
    domain: str
    host: Host | None = None


class _Question(NamedTuple):
    """*wanted* is what must be among the answers; "": anything."""

    kind: str
    name: str
    wanted: str = ""


def check(names: Names, boot_url: str) -> list[Finding]:
    """Return what a resolver meets at the site, whose machines boot from *boot_url*."""
    return [_asked_again(names, question) for question in _questions(names, boot_url)]


def _questions(names: Names, boot_url: str) -> Iterable[_Question]:
    yield _Question("SOA", names.domain)
    boot = urlsplit(boot_url).hostname or ""
    if is_address(boot):
        yield _Question("A", f"{BOOT}.{names.domain}", boot)
    if names.host is not None:
        name = f"{names.host.name.partition('.')[0]}.{names.domain}"
        yield _Question("A", name, names.host.address)
        yield _Question("PTR", IPv4Address(names.host.address).reverse_pointer, f"{name}.")


def _asked_again(names: Names, question: _Question) -> Finding:
    """Ask, and once more when that failed: a name follows its plan within a second."""
    found = _asked(names, question)
    if found.level is Level.OK:
        return found
    time.sleep(FOLLOWS_S)
    return _asked(names, question)


def _asked(names: Names, question: _Question) -> Finding:
    kind, name, wanted = question
    try:
        told = ask(names.address, names.port, name, kind)
    except Unresolved as exc:
        return Finding(CLIENT, kind, Level.FAILED, str(exc))
    said = f"{name} is {' '.join(told) or 'nothing'}"
    if told and (not wanted or wanted in told):
        return Finding(CLIENT, kind, Level.OK, said)
    return Finding(CLIENT, kind, Level.FAILED, f"{said}, and should be {wanted or 'there'}")
