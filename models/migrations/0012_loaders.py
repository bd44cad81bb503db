"""What a machine, or those of a kind on a network, are started by, if not by the site's loader."""

from typing import Any

SCHEMA = """
ALTER TABLE networks ADD COLUMN loaders jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(loaders) = 'object');
ALTER TABLE machines ADD COLUMN loaders jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(loaders) = 'object');
"""


def up(migrator: Any, db: Any) -> None:
    """Let networks and machines choose loaders by kind of machine."""
    db.execute_sql(SCHEMA)
