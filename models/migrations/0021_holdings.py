"""What other systems hold for machines: addresses, reservations and names that are to be undone."""

from typing import Any

SCHEMA = """
ALTER TABLE errands DROP CONSTRAINT errands_workflow_id_fkey;
ALTER TABLE errands ADD CONSTRAINT errands_workflow_id_fkey FOREIGN KEY (workflow_id)
    REFERENCES workflows ON DELETE CASCADE;

ALTER TABLE allocations ADD COLUMN provider text NOT NULL DEFAULT 'builtin';
ALTER TABLE allocations ADD COLUMN external_id text;

-- A machine may be deleted before all that is held for it is undone.
CREATE TABLE holdings (
    id uuid PRIMARY KEY,
    capability text NOT NULL CHECK (capability IN ('ipam', 'dhcp', 'dns')),
    machine_id uuid NOT NULL,
    site_id uuid NOT NULL REFERENCES sites,
    workflow_id uuid NOT NULL,
    allocation_id uuid,
    name text NOT NULL,
    params jsonb NOT NULL,
    key text NOT NULL,
    provider text NOT NULL DEFAULT '',
    external_id text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'held', 'leaving', 'gone',
        'left')),
    detail text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    gone_at timestamptz,
    CHECK ((gone_at IS NULL) = (state NOT IN ('gone', 'left')))
);
CREATE UNIQUE INDEX holdings_open ON holdings (capability, machine_id, name)
    WHERE gone_at IS NULL;
CREATE INDEX holdings_machine ON holdings (machine_id) WHERE gone_at IS NULL;
CREATE INDEX holdings_workflow ON holdings (workflow_id) WHERE gone_at IS NULL;
CREATE INDEX holdings_addresses ON holdings (allocation_id)
    WHERE allocation_id IS NOT NULL AND state = 'held';
CREATE INDEX holdings_left ON holdings (capability) WHERE state = 'left';
"""


def up(migrator: Any, db: Any) -> None:
    """Add the table, and what an address says of whence it came."""
    db.execute_sql(SCHEMA)
