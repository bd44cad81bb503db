"""Answers that are kept for who asks twice, jobs of sites, and indexes that lists are sorted by."""

from typing import Any

SCHEMA = """
CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    key text NOT NULL,
    asked bytea NOT NULL,
    status integer,
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

CREATE TABLE sync_jobs (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    artifact_id uuid NOT NULL REFERENCES artifacts,
    mode text NOT NULL CHECK (mode IN ('preseed', 'verify', 'prune', 'refresh')),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'succeeded',
        'failed', 'cancelled')),
    detail text NOT NULL DEFAULT '',
    files_done integer NOT NULL DEFAULT 0,
    files_total integer,
    bytes_done bigint NOT NULL DEFAULT 0,
    bytes_total bigint,
    requested_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX sync_jobs_open ON sync_jobs (site_id, artifact_id, mode)
    WHERE state IN ('waiting', 'running');
CREATE INDEX sync_jobs_list ON sync_jobs (created_at, id);

CREATE TABLE integration_jobs (
    id uuid PRIMARY KEY,
    site_id uuid NOT NULL REFERENCES sites,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('metadata-export', 'inventory-import')),
    provider text NOT NULL CHECK (provider IN ('webhook', 'openmetadata', 'http')),
    endpoint text NOT NULL,
    secret_ref text,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX integration_jobs_name ON integration_jobs (site_id, name);

CREATE TABLE integration_runs (
    id uuid PRIMARY KEY,
    job_id uuid NOT NULL REFERENCES integration_jobs,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'succeeded',
        'failed', 'cancelled')),
    detail text NOT NULL DEFAULT '',
    records integer NOT NULL DEFAULT 0,
    requested_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX integration_runs_open ON integration_runs (job_id)
    WHERE state IN ('waiting', 'running');
CREATE INDEX integration_runs_job ON integration_runs (job_id, created_at DESC);

CREATE INDEX machines_site_list ON machines (site_id, hostname, id);
CREATE INDEX machines_created ON machines (created_at, id);
CREATE INDEX workflows_list ON workflows (created_at, id);
CREATE INDEX allocations_list ON allocations (created_at, id);
CREATE INDEX allocations_machine ON allocations (machine_id, created_at);
CREATE INDEX audit_site ON audit (site_id, id);
CREATE INDEX observations_workflow ON observations (workflow_id, id);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the tables and the indexes."""
    db.execute_sql(SCHEMA)
