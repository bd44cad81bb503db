"""Where a machine is served what it boots: the boot plane of the site that holds its plan."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from models.database import database
from models.errors import NotFound
from models.installer_calls import Caller

_OF_MACHINE: Final = "SELECT body->>'boot_base_url' FROM plans WHERE machine_id = %s"
_OF_MACS: Final = """
SELECT DISTINCT machine_id, body->>'boot_base_url' FROM plans JOIN interfaces USING (machine_id)
WHERE interfaces.mac = ANY(%s::macaddr[]) LIMIT 2"""
_OF_UUID: Final = """
SELECT machine_id, body->>'boot_base_url' FROM plans WHERE body->'caller'->>'uuid' = %s LIMIT 2"""
_OF_SERIAL: Final = """
SELECT machine_id, body->>'boot_base_url' FROM plans WHERE body->'caller'->>'serial' = %s LIMIT 2"""


def of_machine(machine: UUID) -> str:
    """Return the URL of the boot plane that serves *machine*.  Raises NotFound."""
    return _one(_rows(_OF_MACHINE, str(machine)))


def of_caller(caller: Caller) -> str:
    """Return the URL of the boot plane that serves the one machine that *caller* is.

    Raises NotFound, also where it may be one of several.
    """
    asked = (
        (_OF_MACS, list(caller.macs)),
        (_OF_UUID, caller.uuid.lower()),
        (_OF_SERIAL, caller.serial),
    )
    for statement, value in asked:
        if value and (found := _rows(statement, value)):
            return _one(found)
    return _one(())


def _rows(statement: str, value: Any) -> Sequence[Sequence[Any]]:
    return list(database.execute_sql(statement, (value,)).fetchall())


def _one(rows: Sequence[Sequence[Any]]) -> str:
    if len(rows) != 1:
        raise NotFound(
            "no machine of this name has a boot plan",
            hint="Register it with all its MAC addresses, and rebuild it.",
        )
    return str(rows[0][-1])
