"""Hosts: machines with a server type; and the one image of an installer that is its default."""

from typing import Any

SCHEMA = """
ALTER TABLE machines ADD COLUMN server_type text CHECK (length(server_type) BETWEEN 1 AND 64);
ALTER TABLE images ADD COLUMN is_default boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX images_default ON images (installer) WHERE is_default;
"""


def up(migrator: Any, db: Any) -> None:
    """Add both columns, and let no installer have two defaults."""
    db.execute_sql(SCHEMA)
