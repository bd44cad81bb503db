"""Sync jobs are done: as tasks of their own, at one agent after another, and they tell how far."""

from typing import Any

SCHEMA = """
ALTER TABLE sync_jobs
    ADD COLUMN agent_id uuid REFERENCES agents,
    ADD COLUMN task_id uuid,
    ADD COLUMN fence integer NOT NULL DEFAULT 0,
    ADD COLUMN attempt integer NOT NULL DEFAULT 0,
    ADD COLUMN wake_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN deadline_at timestamptz NOT NULL DEFAULT now() + interval '1 day',
    ADD COLUMN findings jsonb NOT NULL DEFAULT '[]';
CREATE INDEX sync_jobs_due ON sync_jobs (wake_at) WHERE state IN ('waiting', 'running');

ALTER TABLE tasks
    ALTER COLUMN workflow_id DROP NOT NULL,
    ALTER COLUMN machine_id DROP NOT NULL,
    ADD COLUMN sync_job_id uuid REFERENCES sync_jobs ON DELETE CASCADE,
    ADD CONSTRAINT tasks_of_one CHECK (num_nonnulls(workflow_id, sync_job_id) = 1
        AND num_nonnulls(machine_id, sync_job_id) = 1);
CREATE INDEX tasks_sync_job ON tasks (sync_job_id) WHERE sync_job_id IS NOT NULL;
"""


def up(migrator: Any, db: Any) -> None:
    """Let a task be a sync job's instead of a machine's, and a job know how far it is."""
    db.execute_sql(SCHEMA)
