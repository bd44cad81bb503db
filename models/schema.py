"""Whether the database is as this version of the code wants it."""

from pathlib import Path
from typing import Final

from models.database import database

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def pending() -> list[str]:
    """Return the names of migrations that the database lacks, oldest first.

    Those that only a newer version knows do not count: migrations add, and never take away.
    """
    known = "SELECT to_regclass('schema_migration') IS NOT NULL"
    ((there,),) = database.execute_sql(known).fetchall()
    applied = {name for (name,) in _applied()} if there else set()
    return sorted({path.stem for path in _SCRIPTS.glob("[0-9]*.py")} - applied)


def _applied() -> list[tuple[str]]:
    return list(database.execute_sql("SELECT name FROM schema_migration").fetchall())
