"""A seal names the rows that it covers, and is as unchangeable as they are."""

from typing import Any

SCHEMA = """
ALTER TABLE audit_seals ADD COLUMN ids bigint[] NOT NULL DEFAULT '{}';
CREATE UNIQUE INDEX audit_seals_follow ON audit_seals (previous);
CREATE INDEX audit_seals_last ON audit_seals (last_id);
CREATE TRIGGER audit_seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
"""


def up(migrator: Any, db: Any) -> None:
    """Add what a seal says of its rows."""
    db.execute_sql(SCHEMA)
