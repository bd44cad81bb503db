"""Where a call may go, by its purpose.  Pure: addresses and URLs in, a verdict out.

Metadata services are never asked, whatever an operator's networks say.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from actors.drivers.errors import NotAllowed
from config import reach

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SCHEMES: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443})
"""Schemes that are spoken, and their ports."""

_IPMI: Final = 623
_BMC_PORTS: Final = frozenset({*SCHEMES.values(), _IPMI})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What one purpose may do.  Times are in seconds, sizes in bytes.

    Without *networks* every ordinary unicast address is allowed; loopback and link-local
    addresses only where a network names them.  With *public* every address of the internet is,
    beside *networks* and whatever address the names *hosts* have.  *ca_file* holds the authorities
    that certificates there may come from.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    public: bool = False
    connect_s: float = 5.0
    total_s: float = 60.0
    most_bytes: int = 4 * 1024 * 1024
    ca_file: Path | None = None
    cure: str = "name its network to allow it"

    def judge(self, address: Address, host: str = "") -> None:
        """Return if *address*, which *host* has, may be connected to, else raise NotAllowed."""
        plain = reach.plain(address)
        if plain in reach.METADATA:
            raise NotAllowed(f"{address} is a metadata service")
        if host.lower() in self.hosts or any(plain in network for network in self.networks):
            return
        if self.public:
            if not plain.is_global or reach.special(plain):
                raise NotAllowed(
                    f"{address} is no public address; SPROUT_OUTBOUND_ALLOW can name it"
                )
        elif self.networks:
            raise NotAllowed(f"{address} is outside the networks allowed here")
        elif reach.special(plain):
            raise NotAllowed(f"{address} is no ordinary address; {self.cure}")


def bmc(networks: tuple[Network, ...], ca_file: Path | None = None) -> Rules:
    """Return the rules of the purpose `bmc`: *networks* is SPROUT_BMC_NETWORKS."""
    return Rules(networks=networks, ca_file=ca_file)


def anywhere() -> tuple[Network, ...]:
    """Return the networks for what an operator's own settings name; never metadata services."""
    return ip_network("0.0.0.0/0"), ip_network("::/0")


def integration(allow: Iterable[str], ca_file: Path | None = None) -> Rules:
    """Return the rules of the purpose `integration`: *allow* is SPROUT_OUTBOUND_ALLOW."""
    networks, hosts = [], set()
    for word in allow:
        try:
            networks.append(ip_network(word))
        except ValueError:
            hosts.add(word.lower())
    return Rules(networks=tuple(networks), hosts=frozenset(hosts), public=True, ca_file=ca_file)


def setting(url: str, **bounds: Any) -> Rules:
    """Return the rules for what an operator's own setting *url* names, with these *bounds*.

    A name may come to lead to another address than was meant: to loopback and link-local ones
    only what is written as an address, or as localhost, leads.
    """
    meant = anywhere() if _written_out(url) else ()
    return Rules(networks=meant, cure="write the address itself where it is meant", **bounds)


def _written_out(url: str) -> bool:
    with suppress(ValueError):
        host = urlsplit(url).hostname or ""
        return host == "localhost" or bool(ip_address(host))
    return False


def provider(url: str = "", ca_file: Path | None = None) -> Rules:
    """Return the rules of the purpose `provider`: *url* is SPROUT_<CAP>_EXTERNAL_URL."""
    return setting(url, total_s=20.0, most_bytes=1 << 20, ca_file=ca_file)


def control() -> Rules:
    """Return the rules of the purpose `control`: the enrolment's edge, wherever that may be."""
    return Rules(networks=anywhere())


class Origin(NamedTuple):
    """Where a URL leads."""

    scheme: str
    host: str
    port: int


def origin(url: str) -> Origin:
    """Return where *url* leads.  Raises NotAllowed for what is no plain http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or SCHEMES.get(parts.scheme, 0)
    except ValueError as exc:
        raise NotAllowed(f"not a URL: {exc}") from exc
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise NotAllowed(f"want an http:// or https:// URL, not {parts.scheme or 'a bare name'}")
    if parts.username is not None or parts.password is not None:
        raise NotAllowed("a URL must not hold a user or a password")
    return Origin(parts.scheme, parts.hostname, port)


def base_url(address: str) -> str:
    """Return the origin of *address*: a URL, or a host or IP address, which means https.

    Raises NotAllowed.
    """
    if "://" not in address:
        with suppress(ValueError):
            address = f"[{IPv6Address(address)}]"
        address = f"https://{address}"
    scheme, host, port = origin(address)
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"


def board(address: str) -> str:
    """Return the one name of the BMC at *address*, in whatever way, and protocol, it is written.

    What is no address is its own name: nothing is sent there.
    """
    bare = address.removeprefix("ipmi://")
    try:
        _, host, port = origin(base_url(bare))
    except NotAllowed:
        return address
    host = host.rstrip(".")
    with suppress(ValueError):
        host = reach.plain(ip_address(host)).compressed
    return host if port in _BMC_PORTS else f"{host}:{port}"
