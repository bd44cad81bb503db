"""As whom a one-time code signs in: whoever asked for it; nobody becomes a second person by one."""

from typing import Any

# Those that are unused at the upgrade are good for 15 minutes more, as what they were: the admin's.
SCHEMA = """
ALTER TABLE sign_in_codes ADD COLUMN name text NOT NULL DEFAULT 'admin';
ALTER TABLE sign_in_codes ADD COLUMN subject text NOT NULL DEFAULT 'admin';
ALTER TABLE sign_in_codes ADD COLUMN owner text NOT NULL DEFAULT '';
ALTER TABLE sign_in_codes ADD COLUMN grants jsonb NOT NULL DEFAULT '[["admin", null]]';
"""


def up(migrator: Any, db: Any) -> None:
    """Add who asked."""
    db.execute_sql(SCHEMA)
