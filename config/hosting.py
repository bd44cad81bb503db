"""The part of the settings that says how hosts are rebuilt with Proxmox VE, and what they join."""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from config.listeners import Listeners
from config.values import Commas, WebUrl

_FINGERPRINT: Final = re.compile(r"([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
_HASH: Final = re.compile(r"\$(y|gy|7|6|5)\$[!-~]{1,500}")
_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_PAIR: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?=[!-+\--~]{1,255}")


def _fingerprint(value: str) -> str:
    if value and not _FINGERPRINT.fullmatch(value):
        raise ValueError("want a SHA-256: 32 bytes, colons between them")
    return value.upper()


def _crypt(value: SecretStr) -> SecretStr:
    hashed = value.get_secret_value()
    if hashed and not _HASH.fullmatch(hashed):
        raise ValueError("want what `mkpasswd -m sha-512` prints, which begins with $6$")
    return value


def _node(value: str) -> str:
    if value and not _NODE.fullmatch(value):
        raise ValueError("want the host name or the address of a node")
    return value


def _pairs(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_PAIR.fullmatch, value)):
        raise ValueError("want SERVER_TYPE=ID, between commas")
    if len({pair.partition("=")[0] for pair in value}) < len(value):
        raise ValueError("a server type stands twice")
    return value


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
"""SHA-256 of a certificate as Proxmox shows it, or nothing."""

CryptHash = Annotated[SecretStr, AfterValidator(_crypt)]
"""A password as crypt(5) hashes it, or nothing."""

Node = Annotated[str, AfterValidator(_node)]
"""The host name or address of a node, or nothing."""

Pairs = Annotated[Commas, AfterValidator(_pairs)]
"""key=id, between commas."""


class Hosting(Listeners):
    """Server types, the cluster, and the Infrastructure service."""

    server_types_file: Path | None = Field(
        None,
        description="YAML file of the kinds of servers that hosts are; it is followed. Empty: "
        "there are none, and no hosts.",
    )
    proxmox_existing_node: Node = Field(
        "",
        description="Host name or address of a node of the cluster that hosts join; empty: the "
        "first host makes a new one.",
    )
    proxmox_join_fingerprint: Fingerprint = Field(
        "", description="SHA-256 of that node's certificate: 32 bytes, colons between them."
    )
    proxmox_root_password_hash: CryptHash = Field(
        SecretStr(""),
        description="Hash of the root password that hosts get, from `mkpasswd -m sha-512`, between "
        "single quotes; where their profile has one, that counts.",
    )
    infrastructure_url: WebUrl = Field(
        "", description="Base URL of the service that hosts are told to; empty: it is off."
    )
    infrastructure_server_type_map: Pairs = Field(
        (), description="What that service calls server types: `key=id`, between commas."
    )
