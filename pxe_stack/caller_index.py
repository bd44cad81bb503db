"""Which machine's plan is meant by what an installer knows of itself: a table beside the plans.

Only plans whose installer asks are in it, each under all its names.
"""

import sqlite3
from typing import Final
from uuid import UUID

from models.bootplan import BootPlan
from models.installer_calls import Caller

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS callers (
    name TEXT NOT NULL, machine TEXT NOT NULL, PRIMARY KEY (name, machine)
) STRICT;
CREATE INDEX IF NOT EXISTS callers_machine ON callers (machine)
"""


def keep(connection: sqlite3.Connection, plan: BootPlan) -> None:
    """Have the machine of *plan* found by the names of its caller, and by no others."""
    forget(connection, plan.machine)
    names = (name for tier in plan.caller.tiers() for name in tier)
    connection.executemany(
        "INSERT OR IGNORE INTO callers VALUES (?, ?)", [(name, str(plan.machine)) for name in names]
    )


def forget(connection: sqlite3.Connection, machine: UUID) -> None:
    """Have *machine* found no more."""
    connection.execute("DELETE FROM callers WHERE machine = ?", (str(machine),))


def find(connection: sqlite3.Connection, caller: Caller) -> str | None:
    """Return the machine that is surely *caller*; None for nobody, and for one of several.

    A kind of name that is surer decides alone: boards of one vendor may share a serial number.
    """
    for tier in caller.tiers():
        marks = ", ".join("?" * len(tier))
        found = connection.execute(
            f"SELECT DISTINCT machine FROM callers WHERE name IN ({marks}) LIMIT 2",  # noqa: S608 - marks
            tier,
        ).fetchall()
        if found:
            return str(found[0][0]) if len(found) == 1 else None
    return None
