"""The part of the settings that says how hosts are rebuilt with Proxmox VE, and what they join."""

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from config.clusters import Access, Infrastructure
from config.listeners import Listeners
from config.secrets import BadReference, Reference
from config.values import Commas, Semicolons, WebUrl

_FINGERPRINT: Final = re.compile(r"([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}")
_HASH: Final = re.compile(r"\$(y|gy|7|6|5)\$[!-~]{1,500}")
_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?")
_KEY: Final = re.compile(r"(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]{16,1024}={0,3}( [!-~]{1,255})?")
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


def _cluster(value: str) -> str:
    if value and not _CLUSTER.fullmatch(value):
        raise ValueError("want up to 15 letters, digits and hyphens")
    return value


def _reference(value: str) -> str:
    try:
        return str(Reference.parse(value)) if value else ""
    except BadReference as exc:
        # The value is not repeated: it may be the secret itself.
        raise ValueError(str(exc)) from None


def _host_keys(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_KEY.fullmatch, value)):
        raise ValueError("want lines of /etc/ssh/ssh_host_*_key.pub")
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

Cluster = Annotated[str, AfterValidator(_cluster)]
"""The name of a cluster of Proxmox VE, or nothing."""

SecretReference = Annotated[str, AfterValidator(_reference)]
"""env:NAME or vault:PATH#KEY, or nothing."""

HostKeys = Annotated[Semicolons, AfterValidator(_host_keys)]
"""Public SSH keys, between semicolons."""

Pairs = Annotated[Commas, AfterValidator(_pairs)]
"""key=id, between commas."""


class Hosting(Listeners):
    """Server types, the cluster, and the Infrastructure service."""

    server_types_file: Path | None = Field(
        None,
        description="YAML file of the kinds of servers that hosts are; it is followed. Empty: "
        "there are none, and no hosts.",
    )
    proxmox_cluster: Cluster = Field(
        "", description="Name of the cluster that hosts join; empty: hosts join none."
    )
    proxmox_existing_node: Node = Field(
        "",
        description="Host name or address of a node of that cluster; empty: the first host makes "
        "it.",
    )
    proxmox_join_fingerprint: Fingerprint = Field(
        "", description="SHA-256 of that node's certificate: 32 bytes, colons between them."
    )
    proxmox_node_keys: HostKeys = Field(
        (), description="SSH host keys of that node, as its `.pub` files have them, between `;`."
    )
    proxmox_password: SecretReference = Field(
        "",
        description="Reference (`env:NAME`, `vault:PATH#KEY`) of the root password of the "
        "cluster's nodes, which a join is done with; empty: hosts join by SSH.",
    )
    proxmox_ssh_key: SecretReference = Field(
        "",
        description="Reference of the private SSH key, in OpenSSH's form, by which the cluster's "
        "nodes let Sprout in.",
    )
    proxmox_root_password_hash: CryptHash = Field(
        SecretStr(""),
        description="Hash of the root password that hosts get, from `mkpasswd -m sha-512`, between "
        "single quotes; where their profile has one, that counts.",
    )
    infrastructure_url: WebUrl = Field(
        "", description="Base URL of the service that hosts are told to; empty: it is off."
    )
    infrastructure_token: SecretReference = Field(
        "", description="Reference of the bearer token that this service is asked with."
    )
    infrastructure_server_type_map: Pairs = Field(
        (), description="What that service calls server types: `key=id`, between commas."
    )

    def cluster(self) -> Access | None:
        """Return how the cluster is reached that hosts join; None where they join none."""
        if not self.proxmox_cluster:
            return None
        return Access(
            name=self.proxmox_cluster,
            member=self.proxmox_existing_node,
            member_keys=self.proxmox_node_keys,
            pin=self.proxmox_join_fingerprint,
            password=self.proxmox_password,
            ssh_key=self.proxmox_ssh_key,
        )

    def infrastructure(self) -> Infrastructure | None:
        """Return the service that is told of hosts; None where it is off."""
        if not self.infrastructure_url:
            return None
        pairs = (pair.partition("=") for pair in self.infrastructure_server_type_map)
        return Infrastructure(
            url=self.infrastructure_url,
            server_types={key: name for key, _, name in pairs},
            token=self.infrastructure_token,
            ca_file=self.outbound_ca_file,
        )

    def of_hosts(self) -> tuple[str, ...]:
        """Return what follows the first boot of a host, in the words of workflows' traits."""
        follows = {"cluster": self.cluster(), "infrastructure": self.infrastructure()}
        return tuple(word for word, where in follows.items() if where is not None)
