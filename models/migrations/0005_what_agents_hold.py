"""When a plan changed and what an agent had of it, in transactions: clocks may lie."""

from typing import Any

# A restored dump keeps numbers of another cluster: models.commands.runs.renumber mends them.
SCHEMA = """
ALTER TABLE plans ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE FUNCTION plans_count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed := pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER plans_count_changes BEFORE INSERT OR UPDATE ON plans
    FOR EACH ROW EXECUTE FUNCTION plans_count_changes();

ALTER TABLE agents ADD COLUMN held_before xid8;
ALTER TABLE agents ADD COLUMN reported_at timestamptz;
"""


def up(migrator: Any, db: Any) -> None:
    """Add both numbers, and when an agent last reported."""
    db.execute_sql(SCHEMA)
