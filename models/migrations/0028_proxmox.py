"""Proxmox VE as an installer; what a first boot tells; and SSH keys for each of its runs."""

from typing import Any

SCHEMA = """
ALTER TABLE images DROP CONSTRAINT images_installer_check;
ALTER TABLE images ADD CONSTRAINT images_installer_check
    CHECK (installer IN ('image', 'autoinstall', 'preseed', 'proxmox'));
ALTER TABLE runs ADD COLUMN home_address text NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN hardware_id text NOT NULL DEFAULT '';
CREATE TABLE run_keys (
    run_id uuid PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
    public_key text NOT NULL,
    private_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX plans_caller_uuid ON plans ((body->'caller'->>'uuid'))
    WHERE body->'caller'->>'uuid' <> '';
CREATE INDEX plans_caller_serial ON plans ((body->'caller'->>'serial'))
    WHERE body->'caller'->>'serial' <> '';
"""


def up(migrator: Any, db: Any) -> None:
    """Let images name it, and keep keys until their run has ended."""
    db.execute_sql(SCHEMA)
