"""Machines that an external allocator holds; and networks that an external system holds."""

from typing import Any

SCHEMA = """
ALTER TABLE holdings DROP CONSTRAINT holdings_capability_check;
ALTER TABLE holdings ADD CONSTRAINT holdings_capability_check
    CHECK (capability IN ('ipam', 'dhcp', 'dns', 'allocation'));
CREATE INDEX holdings_handed_out ON holdings (machine_id, created_at)
    WHERE capability = 'allocation';

ALTER TABLE networks ADD COLUMN provider text NOT NULL DEFAULT 'builtin';
ALTER TABLE networks ADD COLUMN external_id text;
ALTER TABLE networks ADD COLUMN gone_at timestamptz;
CREATE UNIQUE INDEX networks_external ON networks (provider, external_id)
    WHERE external_id IS NOT NULL;
"""


def up(migrator: Any, db: Any) -> None:
    """Let such holdings be, and let networks say whose they are."""
    db.execute_sql(SCHEMA)
