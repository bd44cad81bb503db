"""How a host comes into its Proxmox VE cluster: what is to be done next, by what is seen.  Pure.

What is looked at is said by `pvesh get /cluster/status` and `pvesh get /cluster/config/join`, in
JSON.  After each move it is looked at again: what was done before needs not be done twice, and
nothing is taken for done because a command said so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from models.errors import Invalid, NotReady

MOST_NODES: Final = 256
"""Nodes of a cluster that are taken in; corosync carries far fewer."""

LONGEST_PASSWORD: Final = 128
"""Characters of a password that `POST /cluster/config/join` takes."""

_NODE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_CLUSTER: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,13}[A-Za-z0-9])?")
_FINGERPRINT: Final = re.compile(r"([0-9A-F]{2}:){31}[0-9A-F]{2}")


class CannotJoin(NotReady):
    """The host, or the cluster, is not as it must be for a join."""


class Move(StrEnum):
    """What is to be done next."""

    CREATE = "create"
    DELNODE = "delnode"
    JOIN = "join"
    WAIT = "wait"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be: *node*, a host's name, is in *cluster*.

    *member* is the address of a node that is in it; empty for the first, which creates it.
    *cluster* may be empty where there is a member: it is the member's, whatever that is called.
    *pin* is the SHA-256 of the member's certificate, or empty: then what the member says itself,
    over a connection whose host key is pinned, is trusted.
    """

    node: str
    cluster: str = ""
    member: str = ""
    pin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as a cluster lists it."""

    name: str
    address: str = ""
    online: bool = False
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster as one of its nodes, *local*, sees it."""

    name: str
    quorate: bool
    local: str
    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node | None:
        """Return the node that is called so, in whatever case."""
        return next((each for each in self.nodes if each.name.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a host is before it joins: in *cluster* already, or with what would forbid it."""

    cluster: Cluster | None = None
    guests: int = 0
    auth_key: bool = False
    corosync_conf: bool = False
    corosync: bool = False


def wanted(node: str, *, cluster: str = "", member: str = "", pin: str = "") -> Wanted:
    """Return what is to be.  Raises Invalid, at the field that is wrong."""
    pin = pin.strip().upper()
    faults = (
        (not _NODE.fullmatch(node), "/node", "want the host's name without a domain"),
        (not member and not cluster, "/cluster", "the first node needs the name of its cluster"),
        (cluster and not _CLUSTER.fullmatch(cluster), "/cluster", "want at most 15 of a-z, 0-9, -"),
        (pin and not _FINGERPRINT.fullmatch(pin), "/fingerprint", "want 32 bytes, as AA:BB:…"),
    )
    for wrong, field, words in faults:
        if wrong:
            raise Invalid(words, field=field)
    return Wanted(node=node, cluster=cluster, member=member, pin=pin)


def cluster(status: Any, info: Any = None) -> Cluster | None:
    """Return the cluster that a node is in, None where it is in none.

    *status* is what `/cluster/status` said, *info* what `/cluster/config/join` did, which tells
    fingerprints.  Raises Invalid for what neither says.
    """
    rows = [row for row in _list(status) if isinstance(row, Mapping)]
    head = next((row for row in rows if row.get("type") == "cluster"), None)
    if head is None:
        return None
    told = info if isinstance(info, Mapping) else {}
    listed = [row for row in _list(told.get("nodelist", [])) if isinstance(row, Mapping)]
    prints = {_text(row, "name"): _fingerprint(row) for row in listed}
    addresses = {_text(row, "name"): _text(row, "pve_addr") for row in listed}
    nodes = [row for row in rows if row.get("type") == "node" and _text(row, "name")]
    return Cluster(
        name=_text(head, "name"),
        quorate=_true(head.get("quorate")),
        local=next((_text(row, "name") for row in nodes if _true(row.get("local"))), ""),
        nodes=tuple(
            Node(
                name=_text(row, "name"),
                address=_text(row, "ip") or addresses.get(_text(row, "name"), ""),
                online=_true(row.get("online")),
                fingerprint=prints.get(_text(row, "name"), ""),
            )
            for row in nodes
        ),
    )


def guests(told: Any) -> int:
    """Return how many guests `/etc/pve/.vmlist` holds.  Raises Invalid."""
    ids = told.get("ids") if isinstance(told, Mapping) else None
    if not isinstance(ids, Mapping):
        raise Invalid("want the list of guests", field="/ids")
    return len(ids)


def _list(found: Any) -> list[Any]:
    if not isinstance(found, list) or len(found) > MOST_NODES:
        raise Invalid(f"want a list of at most {MOST_NODES} nodes", field="")
    return found


def _text(row: Mapping[str, Any], key: str) -> str:
    found = row.get(key)
    fits = isinstance(found, str) and len(found) <= 255 and found.isprintable()
    return str(found) if fits else ""


def _true(found: Any) -> bool:
    """Whether Proxmox VE says yes: 1, "1" or true."""
    return found in {1, "1"} if isinstance(found, int | str) else False


def _fingerprint(row: Mapping[str, Any]) -> str:
    found = _text(row, "pve_fp").upper()
    return found if _FINGERPRINT.fullmatch(found) else ""


# --- what to do next ---


def decide(want: Wanted, host: Standing, member: Cluster | None) -> Move:
    """Return what is to be done next.  Raises CannotJoin, with what is in the way."""
    if host.cluster is not None:
        return _within(want, host.cluster, member)
    _demand_free(want, host)
    return _towards(want, member) if want.member else Move.CREATE


def _within(want: Wanted, its: Cluster, member: Cluster | None) -> Move:
    right = want.cluster or its.name if member is None else member.name
    if its.name != right:
        raise CannotJoin(
            f"{want.node} is in the cluster {its.name} already, and not in {right}",
            hint="Rebuild it, or take it out of that cluster.",
        )
    seen = its.node(want.node) if member is None else member.node(want.node)
    sees = its.quorate and (member is None or member.quorate)
    return Move.DONE if sees and seen is not None and seen.online else Move.WAIT


_IN_THE_WAY: Final = (
    ("auth_key", "has an authentication key of corosync already"),
    ("corosync_conf", "has a corosync.conf already"),
    ("corosync", "runs corosync already"),
)


def _demand_free(want: Wanted, host: Standing) -> None:
    """Return if the host may join, or create, a cluster: what pvecm itself asks."""
    found = [words for name, words in _IN_THE_WAY if getattr(host, name)]
    if want.member and host.guests:
        found.append(f"has {host.guests} guest{'s' if host.guests > 1 else ''}")
    if found:
        raise CannotJoin(
            f"{want.node} {', '.join(found)}",
            hint="Only an empty host joins a cluster: rebuild it, or move its guests away.",
        )


def _towards(want: Wanted, member: Cluster | None) -> Move:
    if member is None:
        raise CannotJoin(
            f"{want.member} is in no cluster",
            hint="Name a node that is in one, or none, to have this host create it.",
        )
    if want.cluster and member.name != want.cluster:
        raise CannotJoin(f"{want.member} is in the cluster {member.name}, not in {want.cluster}")
    if not member.quorate:
        raise CannotJoin(
            f"the cluster {member.name} has no quorum",
            hint="Bring back enough of its nodes, and rebuild this host again.",
        )
    pinned(want, member)
    entry = member.node(want.node)
    if entry is None:
        return Move.JOIN
    if entry.online:
        raise CannotJoin(
            f"another node called {entry.name} is online in the cluster {member.name}",
            hint="Give this host another name, or switch that node off.",
        )
    return Move.DELNODE


def pinned(want: Wanted, member: Cluster) -> str:
    """Return the fingerprint that a join is pinned to.  Raises CannotJoin."""
    node = member.node(member.local)
    shown = "" if node is None else node.fingerprint
    if want.pin and shown and want.pin != shown:
        raise CannotJoin(
            f"the certificate of {want.member} is {shown}, and {want.pin} is pinned",
            hint="Compare it at the node itself, and set proxmox.join_fingerprint anew.",
        )
    if not (want.pin or shown):
        raise CannotJoin(f"{want.member} does not tell the fingerprint of its certificate")
    return want.pin or shown
