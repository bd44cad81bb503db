"""Runs of integration jobs are done: what each brought, and each delivery that it tried."""

from typing import Any

SCHEMA = """
ALTER TABLE integration_jobs ADD COLUMN etag text NOT NULL DEFAULT '';
ALTER TABLE integration_runs
    ADD COLUMN dry_run boolean NOT NULL DEFAULT false,
    ADD COLUMN result jsonb NOT NULL DEFAULT '{}';
CREATE TABLE integration_deliveries (
    id bigserial PRIMARY KEY,
    run_id uuid NOT NULL REFERENCES integration_runs ON DELETE CASCADE,
    part integer NOT NULL,
    attempt integer NOT NULL,
    what text NOT NULL,
    status integer NOT NULL,
    ms double precision NOT NULL,
    excerpt text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX integration_deliveries_run ON integration_deliveries (run_id, id);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the columns and the table."""
    db.execute_sql(SCHEMA)
