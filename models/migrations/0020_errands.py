"""What control does outside of the database: leased to one process at a time, and fenced."""

from typing import Any

SCHEMA = """
CREATE TABLE errands (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    subject uuid NOT NULL,
    workflow_id uuid REFERENCES workflows,
    site_id uuid REFERENCES sites,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    params jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed',
        'abandoned')),
    fence integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 1,
    tries integer NOT NULL DEFAULT 1 CHECK (tries >= 1),
    backoff_s integer NOT NULL DEFAULT 2,
    detail text NOT NULL DEFAULT '',
    result jsonb,
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    wake_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((finished_at IS NULL) = (state IN ('waiting', 'running')))
);
CREATE UNIQUE INDEX errands_open ON errands (key) WHERE finished_at IS NULL;
CREATE INDEX errands_due ON errands (wake_at) WHERE finished_at IS NULL;
CREATE INDEX errands_subject ON errands (subject, created_at);
CREATE INDEX errands_workflow ON errands (workflow_id) WHERE finished_at IS NULL;
"""


def up(migrator: Any, db: Any) -> None:
    """Add the table."""
    db.execute_sql(SCHEMA)
