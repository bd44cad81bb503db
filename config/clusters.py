"""The cluster that hosts join, and the service that they are told to, as they were set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a cluster is reached.  *password* and *ssh_key* are references: env:NAME, vault:PATH#KEY.

    *member* is the address of a node that is in it, *member_keys* are its SSH host keys; without
    one the first host makes the cluster *name*.  *pin* is the SHA-256 of that node's certificate.
    *password* is that of its root; without one hosts join by SSH.  *ssh_key* lets Sprout into
    nodes: an ed25519 key in OpenSSH's form, whose public half root's shared keys hold.
    """

    name: str = ""
    member: str = ""
    member_keys: tuple[str, ...] = ()
    pin: str = ""
    password: str = ""
    ssh_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Infrastructure:
    """A service that is told each host; *server_types* are what it calls them, by ours.

    *token* is what it is asked with, or a reference to that.
    """

    url: str
    server_types: Mapping[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
