"""What of a machine, and of what is asked of it, decides which steps its workflow walks."""

from collections.abc import Mapping
from typing import Any

from models.commands import providing
from models.installers import INSTALLERS, Installer
from models.kinds import Kind
from models.steps import Trait
from models.tables import Machine


def of(machine: Machine, _kind: Kind, asked: Mapping[str, Any]) -> frozenset[Trait]:
    """Return the traits of a workflow that begins now; it keeps them, whatever changes later."""
    held = {
        Trait.BY_HAND: not machine.bmc,
        Trait.READS: bool(asked.get("only_reads")),
        Trait.EJECT: bool(asked.get("eject")),
    }
    installer = asked.get("installer")
    installs = frozenset() if installer is None else INSTALLERS[Installer(installer)].traits
    external = providing.chosen().traits
    return external | installs | {trait for trait, has in held.items() if has}
