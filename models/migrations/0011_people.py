"""Who a person is behind a name, a token or a change of name: what four eyes are counted by."""

from typing import Any

# What was approved before has none, and is compared by name until it expires.
SCHEMA = """
ALTER TABLE approvals ADD COLUMN person text NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN person text NOT NULL DEFAULT '';
"""


def up(migrator: Any, db: Any) -> None:
    """Add whose word an approval is, and who answers for a token."""
    db.execute_sql(SCHEMA)
