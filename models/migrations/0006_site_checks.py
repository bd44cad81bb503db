"""What each agent's canary met when it last played firmware against its site."""

from typing import Any

SCHEMA = """
ALTER TABLE agents ADD COLUMN checked jsonb;
ALTER TABLE agents ADD COLUMN checked_at timestamptz;
"""


def up(migrator: Any, db: Any) -> None:
    """Add what the canary says."""
    db.execute_sql(SCHEMA)
