"""A discovery becomes a machine: by the command that records any machine, and once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from models import audit
from models.audit import Caller
from models.commands import discoveries, inventory
from models.database import database
from models.discoveries import ARCHITECTURES, architecture
from models.errors import Invalid, Taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What is said of a stranger when it becomes a machine; the rest is known of it.

    *architecture* None: what it says itself; *interface* is the name of what it boots from.
    """

    hostname: str
    architecture: str | None = None
    interface: str = "eth0"
    network_name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int | None = None
    disk_bytes: int | None = None
    bmc: Mapping[str, Any] | None = None
    root_disk: Mapping[str, Any] | None = None


def accept(caller: Caller, discovery_id: UUID, said: Adoption) -> UUID:
    """Record the machine that a discovery is, and return its id.

    Raises NotFound, IllegalTransition where it is one already, Invalid or Taken.
    """
    with database.atomic():
        row = discoveries.locked(discovery_id)
        kind = said.architecture or architecture(row.arch)
        if kind not in ARCHITECTURES:
            said_so = "does not say which it has" if kind is None else f"cannot have {kind!r}"
            raise Invalid(
                f"a machine has an architecture, and this one {said_so}",
                field="/architecture",
                hint=f"Give one of: {', '.join(ARCHITECTURES)}.",
            )
        machine_id = _recorded(caller, row.site_id, row.mac, kind, said)
        audit.record(
            caller,
            "discovery.accept",
            kind="discovery",
            id=row.id,
            site=row.site_id,
            machine=machine_id,
            data={"mac": row.mac},
        )
    return machine_id


def _recorded(caller: Caller, site_id: UUID, mac: str, kind: str, said: Adoption) -> UUID:
    boots = inventory.NewInterface(
        name=said.interface, mac=mac, pxe_enabled=True, network_name=said.network_name
    )
    new = inventory.NewMachine(
        site_id=site_id,
        hostname=said.hostname,
        architecture=kind,
        interfaces=[boots],
        labels=said.labels,
        memory_mib=said.memory_mib,
        disk_bytes=said.disk_bytes,
        bmc=said.bmc,
        root_disk=said.root_disk,
    )
    try:
        return inventory.create_machine(caller, new)
    except Taken as exc:
        if not exc.field.startswith("/interfaces"):
            raise
        # At another site: the body has no such field to correct.
        raise Taken(str(exc), hint=exc.hint) from exc
