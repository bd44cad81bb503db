"""Images that an installer of a distribution puts on the disk, instead of the image deployment."""

from typing import Any

SCHEMA = """
ALTER TABLE images DROP CONSTRAINT images_installer_check;
ALTER TABLE images ADD CONSTRAINT images_installer_check
    CHECK (installer IN ('image', 'autoinstall', 'preseed'));
ALTER TABLE images ADD COLUMN iso_path text NOT NULL DEFAULT '';
ALTER TABLE images ADD COLUMN initrd_bytes bigint NOT NULL DEFAULT 0 CHECK (initrd_bytes >= 0);
ALTER TABLE images ADD COLUMN older_media boolean NOT NULL DEFAULT false;
"""


def up(migrator: Any, db: Any) -> None:
    """Let images name an installer, its ISO, and what is known of both."""
    db.execute_sql(SCHEMA)
