"""Rights to blobs under the deployment's own key, and what the records say of blobs."""

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from models import audit, blobs
from models.audit import Caller
from models.blobs import Right
from models.bootplan import File
from models.database import database
from models.tables import Key

LINK_S: Final = 3600
"""How long a site may begin to read a file of a plan."""

UPLOAD_S: Final = 24 * 3600
"""How long a task's evidence may be uploaded: longer than most cuts of an uplink."""

MOST_BYTES: Final = 64 << 20
"""Of one task's evidence, unless its grant says otherwise."""

_KEY: Final = "blobs"

_NAMED: Final = """
SELECT DISTINCT a.prefix || '/' || sums.key
FROM images i JOIN artifacts a ON a.id = i.artifact_id, jsonb_each_text(i.checksums) AS sums
WHERE a.backend = 'filesystem' AND sums.value = %s ORDER BY 1
"""


def key() -> bytes:
    """Return the key that rights are signed with, made when it is first asked for."""
    kept: Key | None = Key.get_or_none(Key.name == _KEY)
    if kept is None:
        Key.insert(name=_KEY, value=secrets.token_bytes(32)).on_conflict_ignore().execute()
        kept = Key.get_by_id(_KEY)
    return bytes(kept.value)


def links(files: Iterable[File], site: UUID, now: datetime, base: str = "") -> dict[str, str]:
    """Return by SHA-256 the URLs by which *site* may fetch *files* for LINK_S seconds.

    Without *base* (the edge's URL) each is seen from the edge that the site was enrolled at.
    """
    return blobs.links(key(), files, site=site, expires=_until(now, LINK_S), base=base)


def upload(
    task: UUID, site: UUID, now: datetime, *, most_bytes: int = MOST_BYTES, base: str = ""
) -> str:
    """Return the URL, with `{sha256}` in it, by which a task may upload for UPLOAD_S seconds."""
    expires = _until(now, UPLOAD_S)
    return blobs.upload(key(), task, site=site, most_bytes=most_bytes, expires=expires, base=base)


def right(text: str, *, method: str, sha256: str, now: datetime) -> Right:
    """Return what *text* allows to *method* of a blob.  Raises RightRefused and RightExpired."""
    return blobs.right(key(), text, method=method, sha256=sha256, now=now.timestamp())


def named(sha256: str) -> list[str]:
    """Return which paths below the artifact folder should hold *sha256*, as images say."""
    return [str(path) for (path,) in database.execute_sql(_NAMED, (sha256,))]


def kept(caller: Caller, sha256: str, *, size: int, site: UUID | None = None) -> None:
    """Record that a blob of *size* bytes was uploaded and is visible."""
    with database.atomic():
        audit.record(caller, "blob.put", kind="blob", id=sha256, site=site, data={"bytes": size})


def _until(now: datetime, seconds: int) -> int:
    return int(now.timestamp()) + seconds
