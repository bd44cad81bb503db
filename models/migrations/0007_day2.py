"""Verbs of every kind, what was found of a machine, approvals, decisions, executions."""

from typing import Any

# Decisions and approvals outlive their machine, as the audit does: they bear ids, not references.
# Events too: that a machine was deleted is told after it is gone.
SCHEMA = """
ALTER TABLE workflows DROP CONSTRAINT workflows_kind_check;
ALTER TABLE workflows ADD CONSTRAINT workflows_kind_check CHECK (kind IN ('commission',
    'provision', 'reprovision', 'image', 'power-on', 'power-off', 'reboot', 'boot-source',
    'remote-task', 'release', 'retire', 'maintenance', 'resume', 'clear', 'deallocate',
    'clean-up'));
CREATE INDEX workflows_of_site ON workflows (site_id, kind) WHERE state = 'running';

ALTER TABLE machines ADD COLUMN found_memory_mib integer CHECK (found_memory_mib > 0);
ALTER TABLE machines ADD COLUMN found_disk_bytes bigint CHECK (found_disk_bytes > 0);
UPDATE machines SET found_memory_mib = (facts->>'memory_mib')::integer
    WHERE facts->>'memory_mib' ~ '^[1-9][0-9]{0,8}$';
UPDATE machines SET found_disk_bytes = (
        SELECT max((disk->>'bytes')::bigint) FROM jsonb_array_elements(facts->'disks') AS disk
        WHERE disk->>'bytes' ~ '^[1-9][0-9]{0,17}$')
    WHERE jsonb_typeof(facts->'disks') = 'array';
CREATE INDEX machines_free ON machines (site_id, state, hostname, id)
    WHERE state IN ('available', 'registered');

ALTER TABLE allocations ADD COLUMN let_go xid8;

ALTER TABLE events DROP CONSTRAINT events_machine_id_fkey;

CREATE TABLE policy_decisions (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL,
    machine_id uuid,
    site_id uuid NOT NULL,
    allowed boolean NOT NULL,
    rule text NOT NULL,
    reason text NOT NULL DEFAULT '',
    would_change text NOT NULL DEFAULT '',
    approval_id uuid,
    inputs jsonb NOT NULL DEFAULT '{}',
    policy text NOT NULL,
    request_id text NOT NULL DEFAULT ''
);
CREATE INDEX policy_decisions_machine ON policy_decisions (machine_id, at, id);
CREATE INDEX policy_decisions_site ON policy_decisions (site_id, at, id);

CREATE TABLE approvals (
    id uuid PRIMARY KEY,
    machine_id uuid NOT NULL,
    site_id uuid NOT NULL,
    action text NOT NULL,
    decision text NOT NULL CHECK (decision IN ('approved', 'denied')),
    reason text NOT NULL DEFAULT '',
    decided_by text NOT NULL,
    role text CHECK (role IN ('viewer', 'operator', 'admin')),
    parameters jsonb,
    parameters_sha256 text CHECK (parameters_sha256 ~ '^[0-9a-f]{64}$'),
    receipts jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    used_by text,
    workflow_id uuid,
    CHECK ((used_at IS NULL) = (used_by IS NULL)),
    CHECK ((parameters IS NULL) = (parameters_sha256 IS NULL))
);
CREATE INDEX approvals_machine ON approvals (machine_id, created_at, id);
CREATE INDEX approvals_site ON approvals (site_id, created_at, id);

CREATE TABLE action_executions (
    id uuid PRIMARY KEY,
    action text NOT NULL,
    machine_id uuid NOT NULL REFERENCES machines,
    site_id uuid NOT NULL REFERENCES sites,
    workflow_id uuid NOT NULL UNIQUE REFERENCES workflows,
    approval_id uuid,
    decision_id uuid NOT NULL,
    parameters jsonb NOT NULL DEFAULT '{}',
    requested_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX action_executions_machine ON action_executions (machine_id, created_at, id);
CREATE INDEX action_executions_site ON action_executions (site_id, created_at, id);
"""


def up(migrator: Any, db: Any) -> None:
    """Add what verbs, policy and approvals need."""
    db.execute_sql(SCHEMA)
