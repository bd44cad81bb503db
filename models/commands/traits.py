"""What of a machine, and of what is asked of it, decides which steps its workflow walks."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from models import boards
from models.commands import providing, releasing
from models.installers import INSTALLERS, Installer
from models.kinds import Kind
from models.steps import Trait
from models.tables import Machine


def of(machine: Machine, kind: Kind, asked: Mapping[str, Any]) -> frozenset[Trait]:
    """Return the traits of a workflow that begins now; it keeps them, whatever changes later."""
    wipes = kind is Kind.RELEASE and asked.get("wipe") == releasing.SIGNATURES
    held = {
        Trait.BY_HAND: not boards.driven(machine.bmc),
        Trait.WAKES: boards.wakes(machine.bmc),
        Trait.READS: bool(asked.get("only_reads")),
        Trait.EJECT: bool(asked.get("eject")),
        Trait.INVENTORY_IMAGE: bool(asked.get("inventory_image")),
        Trait.WIPES: wipes,
    }
    installer = asked.get("installer")
    installs = frozenset() if installer is None else INSTALLERS[Installer(installer)].traits
    external = _EXTERNAL.get(kind, _none)(machine)
    return external | installs | {trait for trait, has in held.items() if has}


def _none(_machine: Machine) -> frozenset[Trait]:
    return frozenset()


def _provides(_machine: Machine) -> frozenset[Trait]:
    return (providing.to_provide() - {Trait.EXTERNAL_TESTS}) | providing.to_join()


def _commissions(_machine: Machine) -> frozenset[Trait]:
    return providing.to_provide()


def _undoes(machine: Machine) -> frozenset[Trait]:
    return providing.to_undo(machine) | (providing.to_provide() & {Trait.EXTERNAL_IPAM})


_EXTERNAL: Final[Mapping[Kind, Callable[[Machine], frozenset[Trait]]]] = MappingProxyType(
    {
        Kind.COMMISSION: _commissions,
        Kind.PROVISION: _provides,
        Kind.REPROVISION: _provides,
        Kind.RELEASE: _undoes,
    }
)
"""Which external providers a workflow has to do with."""
