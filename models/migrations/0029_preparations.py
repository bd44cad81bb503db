"""Installers' ISOs that control prepares, each to become an image."""

from typing import Any

SCHEMA = """
CREATE TABLE preparations (
    id uuid PRIMARY KEY,
    ref text NOT NULL,
    name text NOT NULL,
    iso_sha256 text NOT NULL DEFAULT '',
    iso_path text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'succeeded',
        'failed')),
    detail text NOT NULL DEFAULT '',
    bytes_done bigint NOT NULL DEFAULT 0,
    bytes_total bigint NOT NULL DEFAULT 0,
    release text NOT NULL DEFAULT '',
    parts jsonb NOT NULL DEFAULT '{}',
    image_id uuid REFERENCES images ON DELETE SET NULL,
    requested_by text NOT NULL,
    request_id text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK (iso_sha256 <> '' OR iso_path <> '')
);
CREATE UNIQUE INDEX preparations_open ON preparations (ref)
    WHERE state IN ('waiting', 'running');
CREATE INDEX preparations_list ON preparations (created_at, id);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the table."""
    db.execute_sql(SCHEMA)
