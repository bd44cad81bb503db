"""Leases, backoff, agents in and out of contact, pools, blobs, events, automation, dead letters."""

from typing import Any

SCHEMA = """
ALTER TABLE workflows ADD COLUMN wake_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE workflows ADD COLUMN away_s double precision NOT NULL DEFAULT 0;
ALTER TABLE workflows ADD COLUMN parent_id uuid REFERENCES workflows;
UPDATE workflows SET wake_at = deadline_at;
DROP INDEX workflows_due;
CREATE INDEX workflows_due ON workflows (wake_at) WHERE state = 'running';
CREATE INDEX workflows_run ON workflows (run_id) WHERE state = 'running';
ALTER TABLE workflows DROP CONSTRAINT workflows_kind_check;
ALTER TABLE workflows ADD CONSTRAINT workflows_kind_check CHECK (kind IN ('commission',
    'provision', 'power-on', 'power-off', 'reboot', 'boot-source', 'clean-up'));
ALTER TABLE workflows DROP CONSTRAINT workflows_outcome_check;
ALTER TABLE workflows ADD CONSTRAINT workflows_outcome_check CHECK (outcome IN ('open', 'done',
    'failed', 'refused', 'paused'));

ALTER TABLE machines ADD COLUMN fence integer NOT NULL DEFAULT 0;

ALTER TABLE tasks DROP CONSTRAINT tasks_state_check;
ALTER TABLE tasks ADD CONSTRAINT tasks_state_check CHECK (state IN ('granted', 'started', 'done',
    'failed', 'abandoned', 'lost'));
CREATE INDEX tasks_held ON tasks (machine_id) WHERE finished_at IS NULL;
CREATE INDEX tasks_leases ON tasks (lease_expires_at) WHERE state IN ('granted', 'started');

ALTER TABLE runs ADD COLUMN valid_for_s integer NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN valid_until timestamptz;
ALTER TABLE runs ADD COLUMN withdrawn_at timestamptz;
CREATE INDEX runs_served ON runs (machine_id) WHERE withdrawn_at IS NULL;

ALTER TABLE agents ADD COLUMN contact_since timestamptz NOT NULL DEFAULT now();
ALTER TABLE agents ADD COLUMN drained boolean NOT NULL DEFAULT true;
ALTER TABLE agents ADD COLUMN away_s double precision NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN synced_at timestamptz;
ALTER TABLE agents ADD COLUMN snapshot_at timestamptz;

ALTER TABLE allocations DROP CONSTRAINT allocations_state_check;
ALTER TABLE allocations ADD CONSTRAINT allocations_state_check CHECK (state IN ('reserved',
    'active', 'releasing', 'released'));
DROP INDEX allocations_interface;
CREATE UNIQUE INDEX allocations_interface ON allocations (interface_id)
    WHERE state IN ('reserved', 'active');

ALTER TABLE networks ADD COLUMN pool_start inet;
ALTER TABLE networks ADD COLUMN pool_end inet;
ALTER TABLE networks ADD CONSTRAINT networks_pool CHECK ((pool_start IS NULL) = (pool_end IS NULL)
    AND (pool_start IS NULL OR (pool_start << cidr AND pool_end << cidr
        AND pool_start <= pool_end
        AND (pool_end < range_start OR pool_start > range_end))));

CREATE TABLE ranges (
    id uuid PRIMARY KEY,
    network_id uuid NOT NULL REFERENCES networks,
    first inet NOT NULL,
    last inet NOT NULL,
    agent_id uuid NOT NULL REFERENCES agents,
    cut_at timestamptz NOT NULL DEFAULT now(),
    CHECK (first <= last)
);
CREATE UNIQUE INDEX ranges_first ON ranges (network_id, first);

CREATE TABLE keys (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE events (
    id bigserial PRIMARY KEY,
    machine_id uuid NOT NULL REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    shard smallint NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    request_id text NOT NULL DEFAULT '',
    data jsonb NOT NULL DEFAULT '{}',
    published_at timestamptz
);
CREATE UNIQUE INDEX events_order ON events (machine_id, seq);
CREATE INDEX events_unpublished ON events (shard, id) WHERE published_at IS NULL;
CREATE FUNCTION events_wake_relay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('sprout_domain_events', '');
    RETURN NULL;
END $$;
CREATE TRIGGER events_wake_relay AFTER INSERT ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_wake_relay();

CREATE TABLE automation_commands (
    user_name text NOT NULL,
    message_id text NOT NULL,
    digest text NOT NULL,
    answer jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_name, message_id)
);

CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    message_id text NOT NULL,
    queue text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL DEFAULT '',
    body bytea NOT NULL,
    died_at timestamptz,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    replayed_at timestamptz,
    replayed_by text
);
CREATE INDEX dead_letters_list ON dead_letters (kept_at, id);
"""


def up(migrator: Any, db: Any) -> None:
    """Add what the engine and the sites need."""
    db.execute_sql(SCHEMA)
