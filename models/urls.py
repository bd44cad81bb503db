"""URLs and addresses that somebody typed, judged by what they say alone: nothing is looked up.

Where a name leads is judged when it is called, each time (actors.drivers.reach); what can never be
called is refused here, before it is kept or handed to a machine.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from config import reach
from models.boards import wakes
from models.errors import Invalid

WEB: Final = frozenset({"http", "https"})
IPMI: Final = frozenset({"ipmi"})

_VISIBLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")
_HERE: Final = IPv4Address("127.0.0.1")
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|[0-9]+")
_PARTS: Final = 4
_NOBODY: Final = IPv4Address("255.255.255.255")
_TELLING: Final = re.compile(
    r"passw|pass(?:phrase)?$|pwd|secret|token|credential|signature|^sig$|^code$|authorization|bearer|jwt"
    r"|(?:^|[-_.])auth$|(?:^|api|access|account|private|session|subscription)[-_.]?key(?:[-_.]?id)?$",
    re.IGNORECASE,
)
"""Names of parameters by which URLs bear secrets."""


def fault(url: str, *, schemes: Collection[str] = WEB, near: bool = True) -> str:
    """Return why nothing can be asked at *url*, without repeating it; nothing where it can.

    *near*: an address that means whoever asks, or the wire it is at, is taken too.
    """
    if not _VISIBLE.fullmatch(url):
        return "it has spaces or letters that stand in no URL"
    try:
        parts = urlsplit(url)
        port = parts.port
        address = _address(parts.hostname or "")
    except ValueError:
        return "its host or its port is none"
    if parts.scheme not in schemes:
        return f"it does not begin with {' or '.join(f'{s}://' for s in sorted(schemes))}"
    if port == 0 or (address is None and not _HOST.fullmatch(parts.hostname or "")):
        return "its host or its port is none"
    return _held(parts) or ("" if address is None else _meant(address, near=near))


def board_fault(address: str, protocol: str) -> str:
    """Return why no BMC that speaks *protocol* is at *address*: a URL, or a host with its port."""
    schemes = IPMI if protocol == "ipmi" else WEB
    if "://" in address:
        return fault(address, schemes=schemes)
    if schemes is WEB:
        with suppress(ValueError):
            address = f"[{IPv6Address(address)}]"
    return fault(f"{max(schemes)}://{address}", schemes=schemes)


def service(value: str, *, field: str, hint: str, near: bool = True) -> str:
    """Return *value* if it is the URL of a service of HTTP that holds nobody's password.

    *near* is as in fault.  Raises Invalid.
    """
    if why := fault(value, near=near):
        # The value is not repeated: it may hold a password.
        raise Invalid(f"this is no URL of a service: {why}", field=field, hint=hint)
    return value


def demand_no_secret(url: str, *, field: str) -> None:
    """Raise Invalid where a parameter of *url* is called as secrets are; its value is not told."""
    parts = urlsplit(url)
    told = f"{parts.query}&{parts.fragment}".replace(";", "&")
    for name, _ in parse_qsl(told, keep_blank_values=True):
        if _TELLING.search(name):
            raise Invalid(
                f"the URL would hold a secret: {name[:64]!r} is in its query",
                field=field,
                hint="Leave it out, and name where it is kept as secretRef: env:NAME or vault:….",
            )


def board(bmc: Mapping[str, Any]) -> dict[str, Any]:
    """Return *bmc* if it may be where it says.  Raises Invalid."""
    why = "" if wakes(bmc) else board_fault(bmc["address"], bmc["protocol"])
    if why:
        raise Invalid(
            f"no BMC is there: {why}",
            field="/bmc/address",
            hint="Write the URL of its Redfish service, or a host; ipmi://HOST for IPMI.",
        )
    return dict(bmc)


def special(url: str) -> bool:
    """Whether the host of *url*, which may be a bare host, is written as an address of near by."""
    with suppress(ValueError):
        parts = urlsplit(url if "://" in url else f"//{url}")
        address = _address(parts.hostname or "")
        return address is not None and reach.special(reach.plain(address))
    return False


def _held(parts: SplitResult) -> str:
    return "it holds a user or a password" if "@" in parts.netloc else ""


def _address(host: str) -> reach.Address | None:
    """Return the address that *host* is in any way of writing one; None for a name."""
    bare = host.rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return _HERE
    with suppress(ValueError):
        return ip_address(bare)
    if ":" in bare:
        raise ValueError(bare)
    return _in_numbers(bare)


def _in_numbers(host: str) -> IPv4Address | None:
    """Return the address that inet_aton makes of *host*: of 2852039166 and of 0x7f.1 too."""
    words = host.split(".")
    if len(words) > _PARTS or not all(map(_NUMBER.fullmatch, words)):
        return None
    *first, last = (int(word, _base(word)) for word in words)
    if any(each >> 8 for each in first) or last >> (32 - 8 * len(first)):
        raise ValueError(host)
    return IPv4Address(last + sum(each << (24 - 8 * n) for n, each in enumerate(first)))


def _base(word: str) -> int:
    if word.startswith("0x"):
        return 16
    return 8 if word.startswith("0") else 10


def _meant(address: reach.Address, *, near: bool) -> str:
    plain = reach.plain(address)
    if plain in reach.METADATA:
        return "it leads to a metadata service"
    if plain.is_multicast or plain.is_unspecified or plain == _NOBODY:
        return "its address is nobody's"
    if reach.special(plain) and not near:
        return "its address means whoever asks, and nobody else"
    return ""
