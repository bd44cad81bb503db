"""Errands that are done one at a time, whoever does them: those of one lane."""

from typing import Any

SCHEMA = """
ALTER TABLE errands ADD COLUMN lane text NOT NULL DEFAULT '' CHECK (length(lane) <= 200);
CREATE UNIQUE INDEX errands_one_in_lane ON errands (lane) WHERE lane <> '' AND state = 'running';
CREATE INDEX errands_lane ON errands (lane) WHERE lane <> '';
"""


def up(migrator: Any, db: Any) -> None:
    """Add the lane; what was asked before is in none."""
    db.execute_sql(SCHEMA)
