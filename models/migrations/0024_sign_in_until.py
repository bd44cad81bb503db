"""Until when whoever asked for a one-time code may be in: its session ends no later."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    """Add it; codes that are unused at the upgrade have none, as before."""
    db.execute_sql("ALTER TABLE sign_in_codes ADD COLUMN until timestamptz")
