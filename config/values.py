"""Kinds of values that variables hold: each says in its error what it wants."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

_HIGHEST_PORT: Final = 65535
_HOST: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def _separated_by(mark: str) -> Callable[[object], object]:
    def split(value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(word.strip() for word in value.split(mark) if word.strip())

    return split


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise ValueError("want address:port, such as 127.0.0.1:8080 or [::1]:8080")
    return value


def _loopback(value: str) -> str:
    if value and not is_loopback(f"http://{_listen(value)}"):
        raise ValueError("want a loopback address and port, such as 127.0.0.1:9101")
    return value


def _web(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("want an http:// or https:// URL")
    return value.rstrip("/")


def _absolute(value: Path) -> Path:
    return value.expanduser().absolute()


def _reachable(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        try:
            ip_network(word)
        except ValueError:
            if not _HOST.fullmatch(word):
                raise ValueError("want host names, and networks in CIDR form") from None
    return words


def _authorities(value: Path) -> Path:
    import ssl  # noqa: PLC0415 - most processes have none of these files, and no need of it

    path = _absolute(value)
    try:
        path.read_bytes()
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificate as PEM") from None
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from None
    return path


def is_loopback(url: str) -> bool:
    """Whether *url* leads to this machine itself, where nobody listens in."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Folder = Annotated[Path, AfterValidator(_absolute)]
"""A folder; ~ is the home of whoever runs the process."""

Authorities = Annotated[Path, AfterValidator(_authorities)]
"""A file of certificates as PEM, which is looked at; ~ is the home of whoever runs the process."""

Commas = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated_by(","))]
"""Words between commas."""

Semicolons = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated_by(";"))]
"""Texts between semicolons."""

Reachable = Annotated[Commas, AfterValidator(_reachable)]
"""Host names, addresses and networks between commas."""

Folders = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_separated_by(":"))]
"""Folders between colons, searched from the first."""

Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_separated_by(","))
]
"""Networks in CIDR form between commas."""

Addresses = Annotated[tuple[IPv4Address, ...], NoDecode, BeforeValidator(_separated_by(","))]
"""IPv4 addresses between commas."""

Listen = Annotated[str, AfterValidator(_listen)]
"""address:port of a listening socket."""

Loopback = Annotated[str, AfterValidator(_loopback)]
"""The same of loopback alone, or nothing."""

WebUrl = Annotated[str, AfterValidator(_web)]
"""An http or https URL without its last slash, or nothing."""
