"""The syntax of names and addresses, checked once at the border.

Every function returns the canonical form or raises Invalid with the field and what to do.
"""

import re
from ipaddress import IPv4Address, IPv4Network

from models.errors import Invalid

_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
"""The form of an X-Request-Id that is taken over; another is made where one has not this form."""

_REF = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


def mac(value: str, *, field: str) -> str:
    """Return *value* as aa:bb:cc:dd:ee:ff; hyphens, dots and capitals are accepted."""
    digits = re.sub(r"[:.\-]", "", value.strip().lower())
    pairs = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    if not _MAC.fullmatch(pairs):
        raise Invalid(
            f"{value!r} is not a MAC address",
            field=field,
            hint="Write six pairs of hexadecimal digits, such as 52:54:00:12:34:56.",
        )
    if int(pairs[:2], 16) & 1:
        raise Invalid(
            f"{value!r} is a multicast address, which no interface has",
            field=field,
            hint="Use the address printed on the interface or shown by the BMC.",
        )
    return pairs


def hostname(value: str, *, field: str) -> str:
    """Return *value* in lower case; one RFC 1123 label, or several joined by dots."""
    name = value.strip().lower()
    if not name or len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise Invalid(
            f"{value!r} is not a host name",
            field=field,
            hint="Use letters, digits and hyphens, at most 63 in a label, such as node-01.",
        )
    return name


def slug(value: str, *, field: str) -> str:
    """Return *value* if it can stand in a routing key and a URL."""
    if not _SLUG.fullmatch(value):
        raise Invalid(
            f"{value!r} is not a slug",
            field=field,
            hint="Use lower-case letters, digits and hyphens, at most 40, such as ams-1.",
        )
    return value


def ref(value: str, *, field: str) -> str:
    """Return *value* if it can name an image, profile or artifact."""
    if not _REF.fullmatch(value):
        raise Invalid(
            f"{value!r} is not a reference",
            field=field,
            hint="Use letters, digits, dots, hyphens and underscores, such as debian-12.",
        )
    return value


def network(value: str, *, field: str) -> IPv4Network:
    """Return the IPv4 network that *value* is; host bits must be zero (RFC 4632)."""
    try:
        return IPv4Network(value)
    except ValueError as exc:
        raise Invalid(
            f"{value!r} is not an IPv4 network: {exc}",
            field=field,
            hint="Write the network address and its prefix length, such as 10.77.0.0/24.",
        ) from exc


def address(value: str, *, field: str) -> IPv4Address:
    """Return the IPv4 address that *value* is."""
    try:
        return IPv4Address(value)
    except ValueError as exc:
        raise Invalid(
            f"{value!r} is not an IPv4 address",
            field=field,
            hint="Write four numbers from 0 to 255, such as 10.77.0.10.",
        ) from exc


def path(value: str, *, field: str) -> str:
    """Return *value* if it is a plain relative path, safe to stand in a URL and a boot script."""
    parts = value.split("/")
    if not value or any(
        not re.fullmatch(r"[A-Za-z0-9._+-]+", p) or p in {".", ".."} for p in parts
    ):
        raise Invalid(
            f"{value!r} is not a relative path",
            field=field,
            hint="Use names of letters, digits, dots, plus, hyphens and underscores, without '..'.",
        )
    return value
