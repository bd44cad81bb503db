"""Who speaks with an agent's id: two processes at once mean that its store was copied."""

from typing import Any

SCHEMA = """
ALTER TABLE agents ADD COLUMN lives jsonb NOT NULL DEFAULT '{}';
ALTER TABLE agents ADD COLUMN doubled_at timestamptz;
"""


def up(migrator: Any, db: Any) -> None:
    """Add what each of an agent's starts said last, and when two of them last did at once."""
    db.execute_sql(SCHEMA)
