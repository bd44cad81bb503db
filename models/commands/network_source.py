"""Whose a network is: this system's own, or of the external provider that holds it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from models.commands import providing
from models.errors import IllegalTransition, NotReady
from models.tables import Network

NETWORK: Final = "network"
BUILTIN: Final = "builtin"

HELD: Final = frozenset({"name", "gateway", "range_start", "range_end"})
"""What the provider says of a network, besides its site and CIDR; the rest is said here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who holds a network, and what it is called there."""

    provider: str
    external_id: str


def columns(source: Source | None) -> dict[str, str]:
    """Return what a network's row says of *source*."""
    if source is None:
        return {}
    return {"provider": source.provider, "external_id": source.external_id}


def demand_new() -> None:
    """Return if an operator may make networks here.  Raises IllegalTransition."""
    if _external():
        raise IllegalTransition(
            "networks are held by the external provider",
            hint="Make it there, with the slug of its site; it is taken in within some minutes.",
        )


def demand_ours(row: Network, changes: Collection[str]) -> None:
    """Return if an operator may change *changes* of a network.  Raises IllegalTransition.

    Where no provider is set any more, the network is this system's own from now on.
    """
    if row.provider == BUILTIN:
        return
    if not _external():
        row.provider, row.external_id, row.gone_at = BUILTIN, None, None
        row.save(only=["provider", "external_id", "gone_at"])
    elif held := sorted(HELD & set(changes)):
        raise IllegalTransition(
            f"{', '.join(held)} of network {row.name} is held by the external provider",
            hint="Change it there; it is taken in within some minutes.",
        )


def demand_gone(row: Network) -> None:
    """Return if an operator may delete a network.  Raises IllegalTransition."""
    if row.provider != BUILTIN and row.gone_at is None and _external():
        raise IllegalTransition(
            f"network {row.name} is held by the external provider",
            hint="Delete it there first; some minutes later it may be deleted here.",
        )


def demand_there(network: Network) -> None:
    """Return unless its provider no longer has the network.  Raises NotReady."""
    if network.gone_at is not None and _external():
        raise NotReady(
            f"the external provider no longer has network {network.name}",
            field="/networkId",
            hint="Choose another, or have it again there.",
        )


def _external() -> bool:
    return NETWORK in providing.capabilities()
