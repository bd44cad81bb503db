"""What a sync job is about: the files of an artifact store, and where a site may have them from."""

from typing import Any, Final
from uuid import UUID

from models import keeping
from models.bootplan import File
from models.commands import blobs
from models.commands.moves import now
from models.database import database
from models.errors import Invalid
from models.job_views import Mode
from models.tables import Network, SyncJob

MOST: Final = 400
"""Files of one store in one job: what a message holds, with the URL of each."""

_FILES: Final = """
SELECT a.prefix || '/' || sums.key, lower(sums.value),
    max(CASE WHEN sums.key = i.image_path THEN i.image_bytes ELSE 0 END)
FROM images i JOIN artifacts a ON a.id = i.artifact_id, jsonb_each_text(i.checksums) AS sums
WHERE a.id = %s GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %s
"""
_NEEDED: Final = """
SELECT sums.value FROM images i, jsonb_each_text(i.checksums) AS sums
UNION
SELECT files.value ->> 'sha256' FROM plans p, jsonb_array_elements(p.body -> 'files') AS files
WHERE p.site_id = %s
"""


def params(job: SyncJob) -> dict[str, Any]:
    """Return what the job's task is told.  Raises Invalid for what cannot be done at all."""
    if job.mode == Mode.PRUNE:
        rows = database.execute_sql(_NEEDED, (str(job.site_id),))
        return {"mode": job.mode, "needed": keeping.told(sha256 for (sha256,) in rows if sha256)}
    files = _files(job.artifact_id)
    told = [{"path": file.path, "sha256": file.sha256, "size": file.size} for file in files]
    return {"mode": job.mode, "files": told, **_links(job, files)}


def _files(artifact_id: UUID) -> list[File]:
    rows = list(database.execute_sql(_FILES, (str(artifact_id), MOST + 1)))
    if not rows:
        raise Invalid("no image names a file of this artifact store with its checksum")
    if len(rows) > MOST:
        raise Invalid(f"its images name over {MOST} files; give some a store of their own")
    return [File(role="sync", path=path, sha256=sha256, size=size) for path, sha256, size in rows]


def _links(job: SyncJob, files: list[File]) -> dict[str, dict[str, str]]:
    if job.mode == Mode.VERIFY:
        return {}
    networks = Network.select(Network.boot_base_url).where(Network.site_id == job.site_id)
    ours = {row.boot_base_url for row in networks if row.boot_base_url}
    return {
        "blobs": blobs.links(files, job.site_id, now()),
        "origins": blobs.elsewhere(files, ours),
    }
