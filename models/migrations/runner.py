"""Applies the numbered scripts under an advisory lock: any number of processes may try at once."""

from pathlib import Path
from typing import Final

from playhouse.migrations import Runner  # type: ignore[import-untyped] # no stubs

from models.database import borrowed, database

_LOCK: Final = 0x5B0A7
"""The advisory lock's key: peewee's own runner takes none."""


def migrate() -> list[str]:
    """Apply what is pending and return the names; waits while another process does so."""
    with borrowed():
        database.execute_sql("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            return list(Runner(database, directory=str(Path(__file__).parent)).up())
        finally:
            database.execute_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))
