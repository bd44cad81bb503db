"""Addresses that no URL of an operator may lead to, whatever speaks.  Pure."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052

METADATA: Final[frozenset[Address]] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, OpenStack
            "169.254.170.2",  # AWS, containers
            "169.254.170.23",  # AWS, pods
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure's host
            "fd00:ec2::254",  # AWS over IPv6
            "fd00:ec2::23",  # AWS, pods over IPv6
            "fd20:ce::254",  # Google over IPv6
        ),
    )
)
"""What hands out credentials to whoever asks; refused whatever the networks say."""


def plain(address: Address) -> Address:
    """Return the IPv4 address that *address* wraps (RFC 4291 §2.5.5.2, RFC 6052), or itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def special(address: Address) -> bool:
    """Whether *address* is no ordinary unicast address."""
    return (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address == IPv4Address("255.255.255.255")
    )


def fault(text: str, *, near: bool = False) -> str:
    """Return why the address *text* must not be connected to; nothing if it may.

    *near*: addresses that are no ordinary ones are meant.
    """
    address = plain(ip_address(text))
    if address in METADATA:
        return f"{text} is a metadata service"
    return "" if near or not special(address) else f"{text} is no ordinary address"
